"""Write the report page."""

from actionrec.report.page import Inputs, write_report
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    write_report(Inputs.of_rule(snakemake), snakemake.output.page, snakemake.output.data)
