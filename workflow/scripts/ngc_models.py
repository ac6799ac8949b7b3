"""Print the versions of models on NGC."""

from actionrec.job import job
from actionrec.ngc import ACTION_RECOGNITION, versions_table

with job(snakemake):
    print(versions_table([ACTION_RECOGNITION, *snakemake.params.models]))
