"""Download the archives of a dataset."""


rule download_archive:
    """Download one archive and verify its checksum, or link to one that is here."""
    input:
        own_archive,
    output:
        (str if config["dataset"]["keep_archives"] else temp)(
            "<resources>/<dataset>/archives/{archive}"
        ),
    log:
        "<logs>/download_archive/{archive}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    resources:
        download=1,
    params:
        identity=ask(params.archive_identity, "archive"),
    message:
        "Downloading {wildcards.archive}"
    script:
        "../scripts/download_archive.py"
