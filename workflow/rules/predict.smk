"""Predict new videos with the exported models."""

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
