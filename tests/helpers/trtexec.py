"""A stand-in for TensorRT's `trtexec` that computes with ONNX Runtime."""

import sys
from pathlib import Path

STAND_IN = """#!{python}
import json, os, sys
import numpy as np, onnxruntime
options = dict(option[2:].partition("=")[::2] for option in sys.argv[1:])
print("&&&& RUNNING TensorRT.trtexec")
if os.environ.get("FAULT") == "fails":
    print("[E] Error[1]: no CUDA-capable device is detected"); sys.exit(1)
if os.environ.get("FAULT") == "nothing":
    sys.exit(0)
inputs = {{}}
for part, shape in zip(options["loadInputs"].split(","), options["shapes"].split(",")):
    name, _, file = part.partition(":")
    dims = list(map(int, shape.partition(":")[2].split("x")))
    inputs[name] = np.fromfile(file, "f4").reshape(dims)
session = onnxruntime.InferenceSession(options["onnx"])
logits = session.run(["fc_pred"], inputs)[0]
if os.environ.get("FAULT") == "wrong":
    logits = logits[:, ::-1]
open(options["saveEngine"], "wb").write(b"engine")
content = [{{"name": "fc_pred", "dimensions": "x", "values": logits.ravel().tolist()}}]
json.dump(content, open(options["exportOutput"], "w"))
print("[I] Throughput: 1234.5 qps")
print("[I] Latency: min = 0.8 ms, max = 1.2 ms, mean = 0.95 ms, median = 0.93 ms")
print("&&&& PASSED TensorRT.trtexec")
"""


def install_trtexec(folder: Path) -> Path:
    """Write the stand-in to `folder`/bin; return that folder, for PATH.

    The variable FAULT makes it fail: "fails", "nothing", "wrong".
    """
    program = folder / "bin/trtexec"
    program.parent.mkdir()
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    return program.parent
