"""Encrypt a model as TAO does."""

from actionrec.utils.rule_script import job
from actionrec.weights.encryption import encrypt_onnx

with job(snakemake):
    encrypt_onnx(snakemake.input[0], snakemake.output[0])
