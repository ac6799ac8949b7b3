"""Weights in files: TAO's checkpoints, plain and encrypted, and pretrained weights adapted."""
