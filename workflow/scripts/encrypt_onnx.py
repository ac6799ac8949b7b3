"""Encrypt a model as TAO does."""

from actionrec.utils.rule_script import rule_script
from actionrec.weights.encryption import encrypt_onnx

with rule_script(snakemake):
    encrypt_onnx(snakemake.input[0], snakemake.output[0])
