rule make_split:
    """Decide which video trains, which validates and which tests."""
    input:
        manifests=frame_manifests,
        flows=flow_manifests,
        official=split_files,
        given=given_parts,
    output:
        "<results>/{exp}/split{k}/split.tsv",
    log:
        "<logs>/make_split/{exp}.split{k}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        classes=experiment(queries.classes),
        draw={key: value for key, value in SPLITS.items() if key != "numbers"},
        source_video=config["dataset"].get("source_video"),
    script:
        "../scripts/make_split.py"


rule link_split:
    """Lay the split out as TAO reads it: a tree of links to the frames, nothing moved."""
    input:
        "<results>/{exp}/split{k}/split.tsv",
    output:
        directory("<results>/{exp}/split{k}/data"),
    log:
        "<logs>/link_split/{exp}.split{k}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        frames=f"resources/{DATASET}/frames",
        links=LINKS,
    script:
        "../scripts/link_split.py"
