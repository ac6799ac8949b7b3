rule summarise_experiments:
    """Put all experiments and splits side by side."""
    input:
        metrics=of_every_run("metrics.json"),
        choices=of_every_run("model.json"),
        splits=of_every_run("split.tsv"),
    output:
        report(
            "<results>/<dataset>/summary.csv", caption="../report/summary.rst", category="Summary"
        ),
    log:
        "<logs>/summarise_experiments.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        runs=list(queries.runs(config)),
    script:
        "../scripts/summarise_experiments.py"


rule write_report:
    """Draw training curves and confusion matrices on one page that opens from disk."""
    input:
        template=own_file("../report/report.html.jinja"),
        summary="<results>/<dataset>/summary.csv",
        dataset="<results>/<dataset>/dataset.json",
        metrics=of_every_run("metrics.json"),
        histories=of_every_run("history.csv"),
        predictions=of_every_run("predictions.csv"),
        verifications=paths.verifications(config),
    output:
        report(
            "<results>/<dataset>/report.html", caption="../report/report.rst", category="Summary"
        ),
    log:
        "<logs>/write_report.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        runs=list(queries.runs(config)),
    script:
        "../scripts/write_report.py"


rule summary:
    """Target: the summary table and the report page."""
    input:
        rules.summarise_experiments.output,
        rules.write_report.output,
        RECORDS,
