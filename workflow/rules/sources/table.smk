from actionrec.sources import table


rule list_table:
    """Read the user's list: the clips of each class, and the part each is given."""
    input:
        video_lists,
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
        labels=lookup("dataset/labels", within=config),
        classes=CLASSES,
        videos=lookup("dataset/videos", within=config),
        skip=lookup("dataset/skip", within=config),
        given=SPLITS["method"] == "given",
    script:
        "../../scripts/list_table.py"
