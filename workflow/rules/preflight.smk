"""Say what the machine lacks for a run."""


rule preflight:
    """Target: say what this machine has and lacks for the configuration, and what to type."""
    log:
        "<logs>/preflight.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        config=params.preflight(config),
        ngc=bool(queries.ngc_checksums(config)),
    script:
        "../scripts/preflight.py"
