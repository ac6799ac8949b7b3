"""Put experiments side by side, and show them on one page."""

TEMPLATES = pages.digest(pages.templates("report"))


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


rule describe_run:
    """Draw the figures of one experiment on one split, and pictures of its mistakes."""
    input:
        metrics="<run>/metrics.json",
        history="<run>/history.csv",
        predictions="<run>/predictions.csv",
        explanations="<run>/explanations.json",
        data=data_for("report.json"),
    output:
        report="<run>/report.json",
        figures="<run>/report.part.html",
        mistakes="<run>/mistakes.part.html",
    log:
        "<logs>/describe_run/{exp}.split{k}.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        templates=TEMPLATES,
    script:
        "../scripts/describe_run.py"


rule write_report:
    """Put all that is known of the experiments on one page that opens from disk."""
    input:
        summary="<results>/<dataset>/summary.csv",
        comparisons="<results>/<dataset>/comparisons.csv",
        dataset="<results>/<dataset>/dataset.json",
        reports=of_every_run("report.json"),
        figures=of_every_run("report.part.html"),
        mistakes=of_every_run("mistakes.part.html"),
        verifications=paths.verifications(config),
        settings=RECORDS,
    output:
        page=report(
            "<results>/<dataset>/report.html", caption="../report/report.rst", category="Summary"
        ),
        data="<results>/<dataset>/report.json",
    log:
        "<logs>/write_report.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        name=config["dataset"]["name"],
        runs=list(queries.runs(config)),
        sources=queries.source_experiments(config),
        flips=queries.flips(config),
        templates=TEMPLATES,
    script:
        "../scripts/write_report.py"


if config["tracking"]["mlflow"]:

    rule record_run:
        """Record a run with MLflow: settings, figures, and where its files are."""
        input:
            metrics="<run>/metrics.json",
            history="<run>/history.csv",
            predictions="<run>/predictions.csv",
            report="<run>/report.json",
            settings="<experiments>/{exp}/settings.yaml",
        output:
            "<run>/mlflow.json",
        log:
            "<logs>/record_run/{exp}.split{k}.log",
        localrule: True
        conda:
            None
        params:
            dataset=config["dataset"]["name"],
            store=config["tracking"]["mlflow"],
        script:
            "../scripts/record_run.py"


rule summary:
    """Target: the summary table and the report page."""
    input:
        rules.summarise_experiments.output,
        rules.write_report.output,
        of_every_run("mlflow.json") if config["tracking"]["mlflow"] else [],
        RECORDS,


if config["tracking"]["publish"]:

    include: "publish.smk"

else:

    rule publish:
        """Target: refused, as `tracking.publish` names no object store."""
        input:
            no_store,
