"""A drop-in for TAO's `action_recognition` command: `python -m actionrec.native`.

`__main__` parses the command line and runs one task: `train`, `evaluate`, `inference` or `export`.
"""
