rule train_model:
    """Train one experiment; its checkpoints stay in train/, so that a killed job resumes."""
    input:
        unpack(trial_outcome),
        spec="<results>/{exp}/split{k}/specs/train.yaml",
        split="<results>/{exp}/split{k}/split.tsv",
        data=ancient("<results>/{exp}/split{k}/data"),
        pretrained=pretrained_weights,
        image=container_images,
    output:
        model=ensure(f"<results>/{{exp}}/split{{k}}/{MODEL}", non_empty=True),
        choice="<results>/{exp}/split{k}/model.json",
        history="<results>/{exp}/split{k}/history.csv",
    log:
        "<logs>/train_model/{exp}.split{k}.log",
    benchmark:
        "<benchmarks>/train_model/{exp}.split{k}.tsv"
    conda:
        "../../envs/engine.yaml"
    threads: 8
    resources:
        gpu=gpus_of("train"),
        mem_mb=growing(16000),
        runtime=growing(720),
    params:
        runner=config["tao"]["runner"],
        toolkit=TOOLKIT,
        engine=ENGINE,
        checkpoint=config["tao"]["checkpoint"],
    message:
        "Training {wildcards.exp} on split {wildcards.k}"
    script:
        "../scripts/train_model.py"


rule train:
    """Target: every experiment trained on every split."""
    input:
        of_every_run(MODEL),
