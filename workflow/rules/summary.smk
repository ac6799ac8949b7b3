include: "report.smk"  # its page is part of the target `summary`


rule summarise_experiments:
    """Put all experiments and splits side by side, and test which of them differ."""
    input:
        of_every_run("model.json"),
        of_every_run("history.csv"),
        of_every_run("predictions.csv"),
        of_every_run("split.tsv"),
        metrics=of_every_run("metrics.json"),
    output:
        summary=report(
            "<results>/<dataset>/summary.csv", caption="../report/summary.rst", category="Summary"
        ),
        comparisons=report(
            "<results>/<dataset>/comparisons.csv",
            caption="../report/comparisons.rst",
            category="Summary",
        ),
    log:
        "<logs>/summarise_experiments.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        runs=list(queries.runs(config)),
        benchmarks=str(BENCHMARKS),
        gpus={exp: queries.gpus(config, exp, task="train") for exp in config["experiments"]},
    script:
        "../scripts/summarise_experiments.py"


rule summary:
    """Target: the summary table and the report page."""
    input:
        rules.summarise_experiments.output,
        rules.write_report.output,
        of_every_run("mlflow.json") if config["tracking"]["mlflow"] else [],
        RECORDS,
