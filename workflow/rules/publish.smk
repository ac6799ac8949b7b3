"""Copy results to an object store, where `tracking.publish` names one; what is there follows what is here."""

PUBLISHED = config["tracking"]["publish"].rstrip("/")

explained(object_store.require_plugin, PUBLISHED, f"{CONFIG_FILES}, tracking.publish")


RUN_ARTIFACTS = paths.published_of_run(config, encryption.wanted(config["export"]["etlt"]))
DATASET_ARTIFACTS = paths.published_of_dataset(config)


rule publish_run:
    """Copy the results of one experiment on one split to the object store."""
    input:
        if_published([f"<run>/{artifact}" for artifact in RUN_ARTIFACTS]),
    output:
        published(RUN_ARTIFACTS, "experiments/{exp}/split{k}/"),
    log:
        "<logs>/publish_run/{exp}.split{k}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    script:
        "../scripts/publish.py"


rule publish_dataset:
    """Copy the tables and pages of all experiments to the object store."""
    input:
        if_published([f"<results>/<dataset>/{artifact}" for artifact in DATASET_ARTIFACTS]),
    output:
        published(DATASET_ARTIFACTS),
    log:
        "<logs>/publish_dataset.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    script:
        "../scripts/publish.py"


rule publish:
    """Target: all results copied to the object store that `tracking.publish` names."""
    input:
        [
            published(RUN_ARTIFACTS, f"experiments/{exp}/split{k}/")
            for exp, k in queries.runs(config)
        ],
        rules.publish_dataset.output,
