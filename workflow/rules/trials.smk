"""Try the experiments of a sweep that has a budget; the best train on."""

BUDGET_OF_SWEEP = {budget.sweep: budget for budget in BUDGETS.values()}


rule render_trial:
    """Write the spec of an experiment's trial, its training's but for the end."""
    input:
        "<run>/specs/train.yaml",
        changes=noticed_changes,
    output:
        "<run>/specs/trial.yaml",
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
        spec="<run>/specs/trial.yaml",
        split="<run>/split.tsv",
        data=data_for(f"trial{WEIGHTS}"),
        pretrained=ask(paths.weights, "exp", "k"),
    output:
        model=ensure(f"<run>/trial{WEIGHTS}", non_empty=True),
        choice="<run>/trial.json",
        history="<run>/trial.csv",
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
            f"<experiments>/{exp}/split{{k}}/trial.json"
            for exp in BUDGET_OF_SWEEP[wildcards.sweep].members
        ],
    output:
        report(
            "<experiments>/{sweep}/split{k}/trials.csv",
            caption="../report/trials.rst",
            category="Trials",
            labels={"sweep": "{sweep}", "split": "{k}"},
        ),
    log:
        "<logs>/rank_trials/{sweep}.split{k}.log",
    wildcard_constraints:
        sweep=queries.alternatives(list(BUDGET_OF_SWEEP)),
    localrule: True
    conda:
        "../../envs/engine.yaml"
    params:
        keep=lambda wildcards: BUDGET_OF_SWEEP[wildcards.sweep].keep,
        members=lambda wildcards: BUDGET_OF_SWEEP[wildcards.sweep].members,
    script:
        "../scripts/rank_trials.py"
