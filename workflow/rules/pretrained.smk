rule fetch_pretrained:
    """Fetch the weights that a stream starts from: a file, a URL or another experiment's model."""
    input:
        pretrained_source,
    output:
        "<resources>/pretrained/{exp}.split{k}.{stream}.pth",
    log:
        "<logs>/fetch_pretrained/{exp}.split{k}.{stream}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    resources:
        download=1,
    params:
        source=stream_source,
    script:
        "../scripts/fetch_pretrained.py"
