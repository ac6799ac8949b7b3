"""Fine-tune NVIDIA TAO ActionRecognitionNet: the code behind the workflow's rules."""

import os

__version__ = "0.1.0"

# The threads of NumPy's OpenBLAS spin when they are made, 0.1 s in each job, and nothing here
# multiplies matrices with NumPy. PyTorch does with OpenBLAS on ARM, so there they stay.
if os.uname().machine == "x86_64":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
