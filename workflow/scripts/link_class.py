"""Link to one class of the user's folder."""

from pathlib import Path

from actionrec.job import job
from actionrec.videos import link_class

with job(snakemake):
    link_class(
        Path(snakemake.params.source, snakemake.wildcards.cls),
        Path(snakemake.params.link),
        Path(snakemake.output[0]),
    )
