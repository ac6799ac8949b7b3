rule generate_demo:
    """Draw the demo's videos and pack them, with split files, as HMDB51 is packed."""
    output:
        videos="<resources>/demo/archives/demo_videos.rar",
        splits="<resources>/demo/archives/demo_splits.rar",
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


rule unpack_class:
    """Unpack the videos of one class: an archive of its own within the archive, or a folder."""
    input:
        archive_path("videos"),
    output:
        "<results>/<dataset>/videos/{cls}.tsv",
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
        videos=f"resources/{DATASET}/videos/{{cls}}",
        sha256=ARCHIVES.get("videos", {}).get("sha256"),
    script:
        "../../scripts/unpack_class.py"
