"""Export the models in the forms that are deployed."""


rule export_model:
    """Export the model as ONNX that says how it is used, or with an old toolkit as .etlt."""
    input:
        spec="<run>/specs/export.yaml",
        model=f"<run>/{MODEL}",
        image=container_images,
    output:
        exported=f"<run>/export/{EXPORTED}",
        labels="<run>/export/labels.txt",
    log:
        "<logs>/export_model/{exp}.split{k}.log",
    conda:
        "../../envs/engine.yaml"
    threads: 2
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        runner=config["tao"]["runner"],
        toolkit=TOOLKIT,
        engine=ENGINE,
        labels=ask(queries.classes, "exp"),
        description=ask_spec(from_spec.description),
        softmax=lookup("export/softmax", within=config),
    script:
        "../scripts/export_model.py"


if EXPORTED == "model.onnx":

    rule encrypt_onnx:
        """Encrypt the ONNX model as TAO's .etlt, with the key in TAO_KEY."""
        input:
            "<run>/export/model.onnx",
        output:
            "<run>/export/model.etlt",
        log:
            "<logs>/encrypt_onnx/{exp}.split{k}.log",
        localrule: True
        conda:
            "../../envs/data.yaml"
        script:
            "../scripts/encrypt_onnx.py"

    rule convert_fp16:
        """Write the model in half precision, compared with the original."""
        input:
            "<run>/export/model.onnx",
        output:
            "<run>/export/model.fp16.onnx",
        log:
            "<logs>/convert_fp16/{exp}.split{k}.log",
        conda:
            "../../envs/engine.yaml"
        resources:
            mem_mb=growing(4000),
            runtime=growing(30),
        params:
            description=ask_spec(from_spec.description),
        script:
            "../scripts/convert_fp16.py"

    rule describe_export:
        """Write model.json: inputs, sampling, labels, calibration, test figures, checksums."""
        input:
            onnx="<run>/export/model.onnx",
            fp16="<run>/export/model.fp16.onnx" if config["export"]["precision"] == "fp16" else [],
            split="<run>/split.tsv",
            data=data_for("export/model.json"),
            metrics="<run>/metrics.json",
            frames=ask(paths.frame_tables, "exp"),
        output:
            "<run>/export/model.json",
        log:
            "<logs>/describe_export/{exp}.split{k}.log",
        conda:
            "../../envs/engine.yaml"
        threads: 4
        resources:
            mem_mb=growing(4000),
            runtime=growing(60),
        params:
            description=ask_spec(from_spec.description),
            clips=lambda wildcards: from_spec.clip_selection(
                specs[wildcards.exp], queries.overrides(config, wildcards.exp)
            ),
            flow=ask(queries.flow, "exp"),
            validation=params.validation_part(config),
            interlaced=lookup("frames/interlaced", within=config),
            keep=lookup("export/keep", within=config),
            engine=ENGINE,
        script:
            "../scripts/describe_export.py"


rule export:
    """Target: every model in its deployable forms, described and verified."""
    input:
        of_every_run(f"export/{EXPORTED}"),
        of_every_run("export/model.etlt") if encryption.wanted(config["export"]["etlt"]) else [],
        [of_every_run(f"export/{form}") for form in queries.export_forms(config)],
        RECORDS,
