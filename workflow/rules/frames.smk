rule extract_frames:
    """Turn the videos of one class into RGB frames, and list them in a manifest."""
    input:
        table=videos_table,
        crops=ask(paths.crops_table, "cls"),
    output:
        "<tables>/frames/{cls}.tsv",
    log:
        "<logs>/extract_frames/{cls}.log",
    benchmark:
        "<benchmarks>/extract_frames/{cls}.tsv"
    wildcard_constraints:
        cls=queries.alternatives([cls for cls in CLASSES if cls not in LARGE]),
    conda:
        "../../envs/data.yaml"
    threads: threads_of_class
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        videos=None if LISTED else f"{RESOURCES}/videos/{{cls}}",
        frames=f"{RESOURCES}/frames/{{cls}}",
        fmt=queries.frame_format(config),
        size=queries.frame_size(config),
        encoder=lookup("frames/encoder", within=config),
        quality=lookup("frames/quality", within=config),
        interlaced=lookup("frames/interlaced", within=config),
        check=lookup("frames/check", within=config),
    script:
        "../scripts/extract_frames.py"


rule extract_flow:
    """Make the optical flow between the frames of one class, and list it in a manifest."""
    input:
        frames=frames_of_flow,
        table=ask(paths.cropped_table, "cls"),
        crops=ask(paths.crops_table, "cls"),
    output:
        "<tables>/flow/{cls}.tsv",
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
        frames=f"{RESOURCES}/frames/{{cls}}",
        method=lookup("flow/method", within=config),
        preset=lookup("flow/preset", within=config),
        mapping=lookup("flow/mapping", within=config),
        flo=ask(params.flow_files, "cls"),
    script:
        "../scripts/extract_flow.py"


if LARGE:

    include: "chunks.smk"
