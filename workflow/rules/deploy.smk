explained(support.check_packages, config, specs, EXPORTED)


if EXPORTED == "model.onnx":

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

    rule verify_export:
        """Predict the original test videos with the export; fail where it differs."""
        input:
            onnx="<run>/export/model.onnx",
            card="<run>/export/model.json",
            predictions="<run>/predictions.csv",
            split="<run>/split.tsv",
            videos=ask(paths.video_tables, "exp"),
            crops=ask(paths.crops_tables, "exp"),
        output:
            "<run>/export/verification.json",
        log:
            "<logs>/verify_export/{exp}.split{k}.log",
        benchmark:
            "<benchmarks>/verify_export/{exp}.split{k}.tsv"
        conda:
            "../../envs/engine.yaml"
        threads: 4
        resources:
            mem_mb=growing(4000),
            runtime=growing(120),
        params:
            folder=None if LISTED else f"{RESOURCES}/videos",
            classes=ask(paths.verified_classes, "exp"),
            left_out=ask(queries.other_classes, "exp"),
            margin=lookup("export/margin", within=config),
        script:
            "../scripts/verify_export.py"

    rule package_deepstream:
        """Write the package for NVIDIA DeepStream."""
        input:
            card="<run>/export/model.json",
            onnx="<run>/export/model.onnx",
        output:
            directory("<run>/export/deepstream"),
        log:
            "<logs>/package_deepstream/{exp}.split{k}.log",
        localrule: True
        conda:
            "../../envs/engine.yaml"
        params:
            version=lookup("export/deepstream", within=config),
        script:
            "../scripts/package_deepstream.py"

    rule package_triton:
        """Write the model repository for NVIDIA Triton."""
        input:
            card="<run>/export/model.json",
            onnx="<run>/export/model.onnx",
        output:
            directory("<run>/export/triton"),
        log:
            "<logs>/package_triton/{exp}.split{k}.log",
        localrule: True
        conda:
            "../../envs/engine.yaml"
        params:
            kind=lookup("export/triton", within=config),
        script:
            "../scripts/package_triton.py"

    rule build_engine:
        """Build a TensorRT engine with trtexec, and compare it with the ONNX file."""
        input:
            card="<run>/export/model.json",
            onnx="<run>/export/model.onnx",
            image=container_images,
        output:
            directory("<run>/export/tensorrt"),
        log:
            "<logs>/build_engine/{exp}.split{k}.log",
        conda:
            "../../envs/engine.yaml"
        threads: 4
        resources:
            gpu=1,
            mem_mb=growing(16000),
            runtime=growing(60),
        params:
            runner=config["tao"]["runner"],
            settings=lookup("export/tensorrt", within=config),
        script:
            "../scripts/build_engine.py"


rule export:
    """Target: every model in its deployable forms, described and verified."""
    input:
        of_every_run(f"export/{EXPORTED}"),
        of_every_run("export/model.etlt") if encryption.wanted(config["export"]["etlt"]) else [],
        [of_every_run(f"export/{form}") for form in queries.export_forms(config)],
        RECORDS,
