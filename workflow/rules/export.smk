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
