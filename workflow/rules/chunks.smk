"""Make the frames of large classes in chunks, which a cluster runs side by side."""


def chunks_of_class(wildcards):
    """Return the tables of the frames of a class's chunks; remake a damaged one of the class."""
    table = TABLES / f"frames/{wildcards.cls}.tsv"
    if why := staleness.unreadable(table):
        remake(table, why)
    return frame_tables(wildcards.cls)


use rule extract_frames as extract_chunk with:
    output:
        "<tables>/chunks/{cls}/{chunk}.tsv",
    log:
        "<logs>/extract_chunk/{cls}.{chunk}.log",
    benchmark:
        "<benchmarks>/extract_chunk/{cls}.{chunk}.tsv"
    wildcard_constraints:
        cls=queries.alternatives(LARGE),
        chunk="[0-9]+of[0-9]+",


rule gather_frames:
    """Put the frame tables of the chunks of a class together."""
    input:
        chunks_of_class,
    output:
        "<tables>/frames/{cls}.tsv",
    log:
        "<logs>/gather_frames/{cls}.log",
    wildcard_constraints:
        cls=queries.alternatives(LARGE),
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        frames=f"{RESOURCES}/frames/{{cls}}",
    script:
        "../scripts/gather_frames.py"
