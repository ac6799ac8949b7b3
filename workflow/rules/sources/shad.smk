"""Read the segments of videos that SHAD's annotations name."""

from actionrec.sources import shad

explained(shad.require_classes, CLASSES, f"{CONFIG_FILES}, dataset.classes")


def annotation_files(wildcards):
    """Return SHAD's annotations; refuse a folder without them."""
    return shad.annotation_files(Path(config["dataset"]["path"]))


rule list_shad:
    """Read SHAD's annotations: the segments of each class, and where the people are in them."""
    input:
        nameable(annotation_files),
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
        root=as_written(config["dataset"]["path"]),
        contents=contents_of_others(annotation_files),
        classes=CLASSES,
        sequences=lookup("dataset/sequences", within=config),
    script:
        "../../scripts/list_shad.py"
