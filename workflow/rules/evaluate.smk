rule predict_videos:
    """Predict every test video with TAO's inference task."""
    input:
        spec="<results>/{exp}/split{k}/specs/inference.yaml",
        split="<results>/{exp}/split{k}/split.tsv",
        data=ancient("<results>/{exp}/split{k}/data"),
        model=f"<results>/{{exp}}/split{{k}}/{MODEL}",
        image=container_images,
    output:
        "<results>/{exp}/split{k}/predictions.csv",
    log:
        "<logs>/predict_videos/{exp}.split{k}.log",
    benchmark:
        "<benchmarks>/predict_videos/{exp}.split{k}.tsv"
    conda:
        "../../envs/engine.yaml"
    threads: 8
    resources:
        gpu=gpus_of("inference"),
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
        spec="<results>/{exp}/split{k}/specs/evaluate.yaml",
        split="<results>/{exp}/split{k}/split.tsv",
        data=ancient("<results>/{exp}/split{k}/data"),
        model=f"<results>/{{exp}}/split{{k}}/{MODEL}",
        predictions="<results>/{exp}/split{k}/predictions.csv",
        image=container_images,
    output:
        report(
            "<results>/{exp}/split{k}/metrics.json",
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
        gpu=gpus_of("evaluate"),
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        runner=config["tao"]["runner"],
        toolkit=TOOLKIT,
        engine=ENGINE,
        labels=experiment(queries.classes),
    script:
        "../scripts/evaluate_model.py"


rule evaluate:
    """Target: every experiment scored on every split."""
    input:
        of_every_run("metrics.json"),
