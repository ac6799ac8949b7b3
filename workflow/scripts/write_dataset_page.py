"""Write the page of the dataset."""

from pathlib import Path

from actionrec.dataset.page import write_page
from actionrec.utils.rule_script import job

with job(snakemake):
    write_page(
        snakemake.params.name,
        template=Path(snakemake.input.template),
        summary=Path(snakemake.input.summary),
        manifests=dict(
            zip(snakemake.params.classes, map(Path, snakemake.input.manifests), strict=True)
        ),
        frames=Path(snakemake.params.frames),
        output=Path(snakemake.output[0]),
    )
