rule render_spec:
    """Write the complete TAO spec file of one task, which then needs no command-line overrides."""
    input:
        pretrained=starting_weights,
    output:
        "<results>/{exp}/split{k}/specs/{task}.yaml",
    log:
        "<logs>/render_spec/{exp}.split{k}.{task}.log",
    localrule: True
    conda:
        "../../envs/engine.yaml"
    params:
        classes=experiment(queries.classes),
        native=native_keys,
        overrides=spec_keys,
        encrypt=config["tao"]["encrypt"],
        runner=config["tao"]["runner"],
        pretrained_classes=experiment(queries.pretrained_classes),
        toolkit=TOOLKIT,
        validation="test" if SPLITS["validation"] == "test" else "val",
    script:
        "../scripts/render_spec.py"
