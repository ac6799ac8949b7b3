ruleorder: generate_demo > download_archive


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
        "../../envs/data.yaml"
    threads: 2
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    script:
        "../scripts/generate_demo.py"


rule download_archive:
    """Download one archive and verify its checksum."""
    output:
        ensure("<resources>/<dataset>/archives/{archive}.rar", sha256=archive("sha256")),
    log:
        "<logs>/download_archive/{archive}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    resources:
        download=1,
    params:
        urls=archive("urls"),
        sha256=archive("sha256"),
    message:
        "Downloading {wildcards.archive}.rar"
    script:
        "../scripts/download_archive.py"


rule unpack_class:
    """Unpack the videos of one class: an archive of its own within the archive."""
    input:
        archive_path("videos"),
    output:
        "<results>/<dataset>/videos/{cls}.tsv",
    log:
        "<logs>/unpack_class/{cls}.log",
    benchmark:
        "<benchmarks>/unpack_class/{cls}.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        videos=f"resources/{DATASET}/videos/{{cls}}",
    script:
        "../scripts/unpack_class.py"


rule unpack_splits:
    """Unpack the official split files of the classes in use."""
    input:
        archive_path("splits"),
    output:
        collect("<resources>/<dataset>/splits/{cls}_test_split{k}.txt", cls=CLASSES, k=[1, 2, 3]),
    log:
        "<logs>/unpack_splits.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        classes=CLASSES,
    script:
        "../scripts/unpack_splits.py"
