"""Build the tree of links that TAO reads."""

from actionrec.job import job
from actionrec.splits import link_split

with job(snakemake):
    link_split(snakemake.input[0], snakemake.params.frames, snakemake.output[0])
