"""Write the report page."""

from actionrec.report.experiments import write_report
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    write_report(snakemake.params.runs, output=snakemake.output[0], **dict(snakemake.input.items()))
