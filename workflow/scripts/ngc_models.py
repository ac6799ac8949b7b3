"""Print the versions of models on NGC."""

from actionrec.utils.rule_script import rule_script
from actionrec.weights.ngc import ACTION_RECOGNITION, versions_table

with rule_script(snakemake):
    print(versions_table([ACTION_RECOGNITION, *snakemake.params.models]))
