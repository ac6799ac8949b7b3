from actionrec.sources import table


rule list_table:
    """Read the user's list: the videos or segments of each class, and the part each is given."""
    input:
        nameable(video_lists),
    output:
        tables=collect("<tables>/videos/{cls}.tsv", cls=CLASSES),
        parts=collect("<tables>/parts/{cls}.tsv", cls=CLASSES),
    log:
        "<logs>/list_table.log",
    localrule: True
    conda:
        "../../../envs/data.yaml"
    params:
        lists=queries.lists(config),
        contents=contents_of_others(video_lists),
        labels=as_written(config["dataset"]["labels"]),
        classes=CLASSES,
        videos=as_written(config["dataset"]["videos"]),
        skip=lookup("dataset/skip", within=config),
        given=SPLITS["method"] == "given",
    script:
        "../../scripts/list_table.py"
