from actionrec.sources import shad

explained(shad.require_classes, CLASSES, f"{CONFIG_FILES}, dataset.classes")


rule list_shad:
    """Read SHAD's annotations: the clips of each class, and where the people are in them."""
    input:
        lambda wildcards: shad.annotation_files(Path(config["dataset"]["path"])),
    output:
        tables=collect("<tables>/videos/{cls}.tsv", cls=CLASSES),
        crops=collect("<tables>/crops/{cls}.tsv", cls=CLASSES),
    log:
        "<logs>/list_shad.log",
    benchmark:
        "<benchmarks>/list_shad.tsv"
    conda:
        "../../../envs/data.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        root=config["dataset"]["path"],
        classes=CLASSES,
        sequences=lookup("dataset/sequences", within=config),
    script:
        "../../scripts/list_shad.py"
