"""Unpack videos from an archive, class by class."""


rule unpack_class:
    """Unpack the videos of one class: an archive of its own within the archive, or a folder."""
    input:
        paths.archive(config, "videos"),
    output:
        "<tables>/videos/{cls}.tsv",
    log:
        "<logs>/unpack_class/{cls}.log",
    benchmark:
        "<benchmarks>/unpack_class/{cls}.tsv"
    conda:
        "../../../envs/data.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        videos=f"{RESOURCES}/videos/{{cls}}",
        sha256=ARCHIVES.get("videos", {}).get("sha256"),
    script:
        "../../scripts/unpack_class.py"
