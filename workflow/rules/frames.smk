rule extract_frames:
    """Turn the videos of one class into RGB frames, and list them in a manifest."""
    input:
        videos_table,
    output:
        "<results>/<dataset>/frames/{cls}.tsv",
    log:
        "<logs>/extract_frames/{cls}.log",
    benchmark:
        "<benchmarks>/extract_frames/{cls}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 4
    resources:
        mem="2GB",
        runtime=60,
    params:
        videos=f"resources/{DATASET}/videos/{{cls}}",
        frames=f"resources/{DATASET}/frames/{{cls}}",
        fmt=lookup("frames/format", within=config),
        encoder=lookup("frames/encoder", within=config),
        quality=lookup("frames/quality", within=config),
        tolerate=lookup("frames/tolerate", within=config),
    script:
        "../scripts/extract_frames.py"


rule summarise_dataset:
    """Count clips and frames, and list bad and duplicate clips."""
    input:
        collect("<results>/<dataset>/frames/{cls}.tsv", cls=CLASSES),
    output:
        "<results>/<dataset>/dataset.json",
    log:
        "<logs>/summarise_dataset.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        classes=CLASSES,
    script:
        "../scripts/summarise_dataset.py"


rule dataset:
    """Target: every class unpacked, decoded and counted."""
    input:
        rules.summarise_dataset.output,
