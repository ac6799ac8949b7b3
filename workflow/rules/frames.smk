rule extract_frames:
    """Turn the videos of one class into RGB frames, and list them in a manifest."""
    input:
        table=videos_table,
        crops=crops_table,
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
        videos=None if LISTED else f"resources/{DATASET}/videos/{{cls}}",
        frames=f"resources/{DATASET}/frames/{{cls}}",
        fmt=lookup("frames/format", within=config),
        size=queries.frame_size(config),
        encoder=lookup("frames/encoder", within=config),
        quality=lookup("frames/quality", within=config),
        tolerate=lookup("frames/tolerate", within=config),
    script:
        "../scripts/extract_frames.py"


rule extract_flow:
    """Make the optical flow between the frames of one class, and list it in a manifest."""
    input:
        frames=frames_of_flow,
        table=cropped_table,
        crops=crops_table,
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
        path=lookup("flow/path", within=config),
    script:
        "../scripts/extract_flow.py"


rule summarise_dataset:
    """Count clips and frames, list bad and duplicate clips, and see how the splits divide them."""
    input:
        manifests=collect("<results>/<dataset>/frames/{cls}.tsv", cls=CLASSES),
        official=official_files(CLASSES, SPLITS["numbers"]),
        given=given_files(CLASSES),
    output:
        "<results>/<dataset>/dataset.json",
    log:
        "<logs>/summarise_dataset.log",
    conda:
        "../../envs/data.yaml"
    threads: 4
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        classes=CLASSES,
        frames=f"resources/{DATASET}/frames",
        draw=SPLITS,
        source_video=config["dataset"].get("source_video"),
    script:
        "../scripts/summarise_dataset.py"


rule write_dataset_page:
    """Show the dataset on one page that opens from disk: look before you train."""
    input:
        template=workflow.source_path("../report/dataset.html.jinja"),
        summary="<results>/<dataset>/dataset.json",
        manifests=collect("<results>/<dataset>/frames/{cls}.tsv", cls=CLASSES),
    output:
        report(
            "<results>/<dataset>/dataset.html",
            caption="../report/dataset.rst",
            category="Dataset",
        ),
    log:
        "<logs>/write_dataset_page.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        name=DATASET,
        classes=CLASSES,
        frames=f"resources/{DATASET}/frames",
    script:
        "../scripts/write_dataset_page.py"


rule dataset:
    """Target: every class unpacked, decoded, counted and shown."""
    input:
        rules.summarise_dataset.output,
        rules.write_dataset_page.output,
