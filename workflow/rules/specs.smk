"""Write the specs that TAO's tasks read."""


rule render_spec:
    """Write the complete TAO spec file of one task, which then needs no command-line overrides."""
    input:
        pretrained=ask(paths.starting_weights, "exp", "k", "task"),
        changes=noticed_changes,
    output:
        "<run>/specs/{task}.yaml",
    log:
        "<logs>/render_spec/{exp}.split{k}.{task}.log",
    localrule: True
    conda:
        "../../envs/engine.yaml"
    params:
        classes=ask(queries.classes, "exp"),
        native=ask(params.native_settings, "exp", "task"),
        overrides=ask(params.spec_keys, "exp", "task"),
        encrypt=config["tao"]["encrypt"],
        runner=config["tao"]["runner"],
        pretrained_classes=ask(queries.pretrained_classes, "exp"),
        toolkit=TOOLKIT,
        validation=params.validation_part(config),
    script:
        "../scripts/render_spec.py"
