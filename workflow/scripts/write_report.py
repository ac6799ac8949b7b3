"""Write the report page."""

from actionrec.job import job
from actionrec.report import write_report

with job(snakemake):
    write_report(snakemake.params.runs, output=snakemake.output[0], **dict(snakemake.input.items()))
