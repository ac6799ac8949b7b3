"""Count, compare and show the videos of a dataset."""


rule summarise_dataset:
    """Count videos and frames, list bad and duplicate videos, and how the splits divide them."""
    input:
        manifests=collect("<tables>/frames/{cls}.tsv", cls=CLASSES),
        official=paths.all_split_files(config),
        given=paths.all_part_tables(config),
        groups=paths.group_tables(config),
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
        frames=f"{RESOURCES}/frames",
        videos=as_written(queries.videos_folder(config)),
        draw=SPLITS,
        source_video=as_written(config["dataset"]["source_video"]),
    script:
        "../scripts/summarise_dataset.py"


rule write_dataset_page:
    """Show the dataset on one page that opens from disk: look before you train."""
    input:
        summary="<results>/<dataset>/dataset.json",
        manifests=collect("<tables>/frames/{cls}.tsv", cls=CLASSES),
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
        name=config["dataset"]["name"],
        tolerate=lookup("frames/tolerate", within=config),
        flips=queries.flips(config),
        classes=CLASSES,
        frames=f"{RESOURCES}/frames",
        templates=pages.digest(pages.templates("dataset")),
    script:
        "../scripts/write_dataset_page.py"


rule dataset:
    """Target: every class unpacked, decoded, counted and shown."""
    input:
        rules.summarise_dataset.output,
        rules.write_dataset_page.output,
