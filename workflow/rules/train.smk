"""Train the models."""


rule train_model:
    """Train one experiment; its checkpoints stay in train/, so that a killed job resumes."""
    input:
        unpack(trial_outcome),
        spec="<run>/specs/train.yaml",
        split="<run>/split.tsv",
        data=data_for(MODEL),
        pretrained=ask(paths.weights, "exp", "k"),
        image=container_images,
    output:
        model=ensure(f"<run>/{MODEL}", non_empty=True),
        choice="<run>/model.json",
        history="<run>/history.csv",
    log:
        "<logs>/train_model/{exp}.split{k}.log",
    benchmark:
        "<benchmarks>/train_model/{exp}.split{k}.tsv"
    conda:
        "../../envs/engine.yaml"
    threads: 8
    resources:
        **several_machines("train"),
        gpu=ask(queries.job_resource, "exp", task="train", name="gpu"),
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


rule record_settings:
    """Write down the settings that an experiment's results depend on, for later plans to compare."""
    input:
        template=own_file("../templates/settings.yaml"),
        models=ask(paths.models, "exp"),
    output:
        "<experiments>/{exp}/settings.yaml",
    log:
        "<logs>/record_settings/{exp}.log",
    localrule: True
    conda:
        None
    params:
        settings=lambda wildcards: experiment_settings(wildcards.exp),
    template_engine:
        "yte"


rule train:
    """Target: every experiment trained on every split."""
    input:
        of_every_run(MODEL),
        RECORDS,
