"""After the export: describe a model, use it on any video, verify and package it.

What predicts (`cli`, `predict` and below) needs ONNX Runtime and the export folder, not PyTorch.
"""
