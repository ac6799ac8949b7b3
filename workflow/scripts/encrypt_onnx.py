"""Encrypt a model as TAO does."""

from actionrec.encryption import encrypt_onnx
from actionrec.job import job

with job(snakemake):
    encrypt_onnx(snakemake.input[0], snakemake.output[0])
