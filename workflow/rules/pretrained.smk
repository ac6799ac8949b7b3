"""Fetch the weights that trainings start from."""


rule fetch_pretrained:
    """Fetch the weights that a stream starts from: a file, a URL or another experiment's model."""
    input:
        weights_source,
    output:
        f"<pretrained>/{{exp}}.split{{k}}.{{stream}}{WEIGHTS}",
    log:
        "<logs>/fetch_pretrained/{exp}.split{k}.{stream}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    resources:
        download=1,
    params:
        source=ask(params.weights_origin, "exp", "stream"),
        contents=contents_of_others(unnamed_weights),
    script:
        "../scripts/fetch_pretrained.py"


rule download_pretrained:
    """Download weights from NVIDIA's registry NGC, with the key in NGC_API_KEY if it wants one."""
    output:
        ensure("<resources>/pretrained/ngc/{model}/{version}/{file}", non_empty=True),
    log:
        "<logs>/download_pretrained/{model}/{version}/{file}.log",
    wildcard_constraints:
        model="[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*){1,2}",
        version="[^/]+",
        file="[^/]+",
    localrule: True
    conda:
        "../../envs/data.yaml"
    resources:
        download=1,
    params:
        sha256=ask(params.ngc_checksum, "model", "version", "file"),
    script:
        "../scripts/download_pretrained.py"


rule ngc_models:
    """Target: list the versions of NVIDIA's model on NGC, and of those that the config names."""
    log:
        "<logs>/ngc_models.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        models=[target.partition(":")[0] for target, _ in queries.ngc_checksums(config)],
    script:
        "../scripts/ngc_models.py"
