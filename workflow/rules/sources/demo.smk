"""Draw the demo's videos, and pack them as HMDB51 is packed."""


rule generate_demo:
    """Draw the demo's videos and pack them, with split files, as HMDB51 is packed."""
    output:
        videos="<resources>/<dataset>/archives/demo_videos.rar",
        splits="<resources>/<dataset>/archives/demo_splits.rar",
    log:
        "<logs>/generate_demo.log",
    benchmark:
        "<benchmarks>/generate_demo.tsv"
    conda:
        "../../../envs/data.yaml"
    threads: 2
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    script:
        "../../scripts/generate_demo.py"


include: "archives.smk"
