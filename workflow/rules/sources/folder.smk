from actionrec.sources import folder


rule link_class:
    """List the videos of one class in the user's folder, and link to it."""
    input:
        class_folder,
    output:
        "<tables>/videos/{cls}.tsv",
    log:
        "<logs>/link_class/{cls}.log",
    localrule: True
    conda:
        "../../../envs/data.yaml"
    params:
        source=as_written(config["dataset"]["path"]),
        link=f"{RESOURCES}/videos/{{cls}}",
    script:
        "../../scripts/link_class.py"
