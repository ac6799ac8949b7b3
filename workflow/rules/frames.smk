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
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        videos=f"resources/{DATASET}/videos/{{cls}}",
        frames=f"resources/{DATASET}/frames/{{cls}}",
        fmt=lookup("frames/format", within=config),
        encoder=lookup("frames/encoder", within=config),
        quality=lookup("frames/quality", within=config),
        tolerate=lookup("frames/tolerate", within=config),
    script:
        "../scripts/extract_frames.py"


rule extract_flow:
    """Make the optical flow between the frames of one class, and list it in a manifest."""
    input:
        frames_of_flow,
    output:
        "<results>/<dataset>/flow/{cls}.tsv",
    log:
        "<logs>/extract_flow/{cls}.log",
    benchmark:
        "<benchmarks>/extract_flow/{cls}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 4
    resources:
        mem_mb=growing(2000),
        runtime=growing(720),
    params:
        frames=f"resources/{DATASET}/frames/{{cls}}",
        method=lookup("flow/method", within=config),
        preset=lookup("flow/preset", within=config),
        mapping=lookup("flow/mapping", within=config),
        path=lookup("flow/path", within=config, default=None),
    script:
        "../scripts/extract_flow.py"


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
