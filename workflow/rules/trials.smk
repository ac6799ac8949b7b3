SWEEPS = {budget.sweep: budget for budget in BUDGETS.values()}


rule render_trial:
    """Write the spec of an experiment's trial, its training's but for the end."""
    input:
        "<results>/{exp}/split{k}/specs/train.yaml",
    output:
        "<results>/{exp}/split{k}/specs/trial.yaml",
    log:
        "<logs>/render_trial/{exp}.split{k}.log",
    localrule: True
    conda:
        "../../envs/engine.yaml"
    params:
        epochs=lambda wildcards: BUDGETS[wildcards.exp].epochs,
    script:
        "../scripts/render_trial.py"


use rule train_model as train_trial with:
    input:
        spec="<results>/{exp}/split{k}/specs/trial.yaml",
        split="<results>/{exp}/split{k}/split.tsv",
        data=ancient("<results>/{exp}/split{k}/data"),
        pretrained=pretrained_weights,
    output:
        model=ensure(f"<results>/{{exp}}/split{{k}}/trial{WEIGHTS}", non_empty=True),
        choice="<results>/{exp}/split{k}/trial.json",
        history="<results>/{exp}/split{k}/trial.csv",
    log:
        "<logs>/train_trial/{exp}.split{k}.log",
    benchmark:
        "<benchmarks>/train_trial/{exp}.split{k}.tsv"
    message:
        "Trial of {wildcards.exp} on split {wildcards.k}"


rule rank_trials:
    """Rank the trials of a sweep on one split, by validation; the best of them train on."""
    input:
        lambda wildcards: [
            f"<results>/{exp}/split{{k}}/trial.json" for exp in SWEEPS[wildcards.sweep].members
        ],
    output:
        report(
            "<results>/{sweep}/split{k}/trials.csv",
            caption="../report/trials.rst",
            category="Trials",
            labels={"sweep": "{sweep}", "split": "{k}"},
        ),
    log:
        "<logs>/rank_trials/{sweep}.split{k}.log",
    wildcard_constraints:
        sweep=queries.alternatives(list(SWEEPS)),
    localrule: True
    conda:
        "../../envs/engine.yaml"
    params:
        keep=lambda wildcards: SWEEPS[wildcards.sweep].keep,
        members=lambda wildcards: SWEEPS[wildcards.sweep].members,
    script:
        "../scripts/rank_trials.py"
