"""Write TAO's spec files."""

from actionrec.job import job
from actionrec.spec import render_specs

with job(snakemake):
    render_specs(...)
