"""Divide the videos into train, val and test."""


rule unpack_splits:
    """Unpack the official split files of the classes in use."""
    input:
        splits_source,
    output:
        collect("<resources>/<dataset>/splits/{cls}_test_split{k}.txt", cls=CLASSES, k=[1, 2, 3]),
    log:
        "<logs>/unpack_splits.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        folder=splits_folder,
        contents=contents_of_others(splits_folder),
        classes=CLASSES,
        sha256=ARCHIVES.get("splits", {}).get("sha256"),
    script:
        "../scripts/unpack_splits.py"


rule make_split:
    """Decide which video trains, which validates and which tests."""
    input:
        manifests=ask(paths.frame_tables, "exp"),
        page=page_before_split,
        flows=ask(paths.flow_tables, "exp"),
        official=ask(paths.split_files, "exp", "k"),
        given=ask(paths.part_tables, "exp"),
        groups=paths.group_tables(config),
    output:
        "<run>/split.tsv",
    log:
        "<logs>/make_split/{exp}.split{k}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        classes=ask(queries.classes, "exp"),
        draw={key: value for key, value in SPLITS.items() if key != "numbers"},
        source_video=as_written(config["dataset"]["source_video"]),
    script:
        "../scripts/make_split.py"


rule link_split:
    """Lay the split out as TAO reads it: a tree of links to the frames, nothing moved."""
    input:
        "<run>/split.tsv",
    output:
        directory("<run>/data"),
    log:
        "<logs>/link_split/{exp}.split{k}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        frames=f"{RESOURCES}/frames",
        links=LINKS,
    script:
        "../scripts/link_split.py"
