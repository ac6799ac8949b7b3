"""Predict the test videos with the models, and new videos with the exported models."""


rule predict_videos:
    """Predict every test video with TAO's inference task."""
    input:
        spec="<run>/specs/inference.yaml",
        split="<run>/split.tsv",
        data=data_for("predictions.csv"),
        model=f"<run>/{MODEL}",
        image=container_images,
    output:
        "<run>/predictions.csv",
    log:
        "<logs>/predict_videos/{exp}.split{k}.log",
    benchmark:
        "<benchmarks>/predict_videos/{exp}.split{k}.tsv"
    conda:
        "../../envs/engine.yaml"
    threads: 8
    resources:
        **several_machines("inference"),
        gpu=ask(queries.job_resource, "exp", task="inference", name="gpu"),
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        runner=config["tao"]["runner"],
        toolkit=TOOLKIT,
        engine=ENGINE,
    script:
        "../scripts/predict_videos.py"


if config["predict"]["videos"]:

    rule predict_new:
        """Predict a chunk of the new videos; those that are predicted already are kept."""
        input:
            card="<run>/export/model.json",
            onnx="<run>/export/model.onnx",
        output:
            "<run>/predicted/chunks/{chunk}.csv",
        log:
            "<logs>/predict_new/{exp}.split{k}.{chunk}.log",
        wildcard_constraints:
            chunk="[0-9]+of[0-9]+",
        conda:
            "../../envs/engine.yaml"
        threads: 4
        resources:
            mem_mb=growing(4000),
            runtime=growing(120),
        params:
            states=chunk_of_new_videos,
            earlier=f"{EXPERIMENTS}/{{exp}}/split{{k}}/predicted/predictions.csv",
            annotated=queries.annotated_folder(config, f"{EXPERIMENTS}/{{exp}}/split{{k}}"),
        script:
            "../scripts/predict_new.py"

    rule gather_new:
        """Put the predictions of all new videos into one table."""
        input:
            chunks_of_new_videos,
        output:
            "<run>/predicted/predictions.csv",
        log:
            "<logs>/gather_new/{exp}.split{k}.log",
        localrule: True
        conda:
            "../../envs/engine.yaml"
        script:
            "../scripts/gather_new.py"


rule predict:
    """Target: the predictions of new videos, by each experiment that is to make them."""
    input:
        paths.new_predictions(config),
