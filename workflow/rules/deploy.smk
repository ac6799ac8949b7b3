"""Verify exports, and write packages of them for NVIDIA's servers."""

explained(package_checks.check_packages, config, specs, EXPORTED)


if EXPORTED == "model.onnx":

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
