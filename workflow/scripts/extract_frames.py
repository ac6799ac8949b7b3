"""Extract the frames of one class."""

from actionrec.frames import extract_class
from actionrec.job import job

with job(snakemake):
    extract_class(
        snakemake.params.videos,
        snakemake.input[0],
        snakemake.params.frames,
        snakemake.output[0],
        workers=snakemake.threads,
        **snakemake.params.settings,
    )
