"""Weights from NVIDIA: the registry NGC, and encryption as TAO does it."""
