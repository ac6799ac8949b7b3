rule render_specs:
    """Write the complete TAO spec files of one experiment; no task needs command-line overrides."""
    input:
        pretrained=pretrained_weights,
    output:
        train="<results>/{exp}/split{k}/specs/train.yaml",
        evaluate="<results>/{exp}/split{k}/specs/evaluate.yaml",
        inference="<results>/{exp}/split{k}/specs/inference.yaml",
        export="<results>/{exp}/split{k}/specs/export.yaml",
    log:
        "<logs>/render_specs/{exp}.split{k}.log",
    localrule: True
    conda:
        "../../envs/engine.yaml"
    params:
        classes=experiment(settings.classes),
        overrides=experiment(settings.overrides),
        pretrained_classes=experiment(settings.pretrained_classes),
        validation="test" if SPLITS["validation"] == "test" else "val",
    script:
        "../scripts/render_specs.py"
