onstart:
    explained(refuse_unready_machine)
    warn_of_full_disk()


rule preflight:
    """Target: say what this machine has and lacks for the configuration, and what to type."""
    log:
        "<logs>/preflight.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        config=preflight_keys,
        ngc=bool(queries.ngc_checksums(config)),
    script:
        "../scripts/preflight.py"
