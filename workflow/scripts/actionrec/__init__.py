"""Fine-tune NVIDIA TAO ActionRecognitionNet: the code behind the workflow's rules."""

__version__ = "0.1.0"
