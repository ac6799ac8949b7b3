"""Write the page of the dataset."""

from actionrec.dataset.page import write_page
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    params, given = snakemake.params, snakemake.input
    write_page(
        params.name,
        summary=given.summary,
        manifests=dict(zip(params.classes, given.manifests, strict=True)),
        frames=params.frames,
        output=snakemake.output[0],
        tolerate=params.tolerate,
        flips=params.flips,
    )
