"""Predict the test videos with the trained models, and measure how well they do."""


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


rule evaluate_model:
    """Score the model on the test side with TAO's evaluate task; count confusions."""
    input:
        spec="<run>/specs/evaluate.yaml",
        split="<run>/split.tsv",
        data=data_for("metrics.json"),
        model=f"<run>/{MODEL}",
        predictions="<run>/predictions.csv",
        image=container_images,
    output:
        report(
            "<run>/metrics.json",
            caption="../report/metrics.rst",
            category="Evaluation",
            labels={"experiment": "{exp}", "split": "{k}"},
        ),
    log:
        "<logs>/evaluate_model/{exp}.split{k}.log",
    benchmark:
        "<benchmarks>/evaluate_model/{exp}.split{k}.tsv"
    conda:
        "../../envs/engine.yaml"
    threads: 8
    resources:
        **several_machines("evaluate"),
        gpu=ask(queries.job_resource, "exp", task="evaluate", name="gpu"),
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        runner=config["tao"]["runner"],
        toolkit=TOOLKIT,
        engine=ENGINE,
        labels=ask(queries.classes, "exp"),
    script:
        "../scripts/evaluate_model.py"


rule explain_predictions:
    """Say what the model saw in its surest mistakes; the native engine also says where it looked."""
    input:
        predictions="<run>/predictions.csv",
        split="<run>/split.tsv",
        data=data_for("explanations.json"),
        model=f"<run>/{MODEL}" if config["tao"]["runner"] == "native" else [],
    output:
        "<run>/explanations.json",
    log:
        "<logs>/explain_predictions/{exp}.split{k}.log",
    benchmark:
        "<benchmarks>/explain_predictions/{exp}.split{k}.tsv"
    conda:
        "../../envs/engine.yaml"
    threads: 8
    resources:
        gpu=1 if config["tao"]["runner"] == "native" else 0,
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        spec=lambda wildcards: SPEC_SETTINGS[wildcards.exp],
        labels=ask(queries.classes, "exp"),
        engine=ENGINE,
    script:
        "../scripts/explain_predictions.py"


rule evaluate:
    """Target: every experiment scored on every split."""
    input:
        of_every_run("metrics.json"),
        RECORDS,
