"""Checkpoints: TAO's files, their encryption, and the weights that a training starts from."""
