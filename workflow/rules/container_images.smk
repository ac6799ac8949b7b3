"""Pull the container images that tasks run in, where each is one file."""

IMAGES = [Path(file).stem for file in runners.images(config["tao"])]


rule pull_image:
    """Make one file of a container image in a registry, which the tasks of all nodes run."""
    output:
        ensure("<resources>/images/{image}.sif", non_empty=True),
    log:
        "<logs>/pull_image/{image}.log",
    wildcard_constraints:
        image=queries.alternatives(IMAGES or ["none"]),
    localrule: True
    conda:
        "../../envs/data.yaml"
    resources:
        download=1,
    params:
        image=runners.container(config["tao"]).image,
    message:
        "Pulling {params.image} and converting it to a file"
    script:
        "../scripts/pull_image.py"
