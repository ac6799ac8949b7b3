rule fetch_pretrained:
    """Fetch the weights that an experiment starts from: a file, a URL or another's model."""
    input:
        pretrained_source,
    output:
        "<resources>/pretrained/{exp}.split{k}.pth",
    log:
        "<logs>/fetch_pretrained/{exp}.split{k}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    resources:
        download=1,
    params:
        source=experiment(settings.pretrained),
    script:
        "../scripts/fetch_pretrained.py"
