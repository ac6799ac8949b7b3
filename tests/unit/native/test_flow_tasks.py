"""Networks that see optical flow, from training to ONNX."""

import csv

import numpy as np
import onnxruntime
import pytest
import torch

from actionrec.native.__main__ import main
from actionrec.native.checkpoints import lightning
from actionrec.spec.load import load_spec
from actionrec.spec.toolkits import TASKS
from helpers.engine import statuses, write_spec


@pytest.mark.parametrize(
    ("model_type", "inputs"),
    [
        ("of", {"input_of": (6, 32, 32)}),
        pytest.param(
            "joint",
            {"input_rgb": (6, 32, 32), "input_of": (6, 32, 32)},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_2d_network_of_flow_runs_all_tasks(model_type, inputs, moving, tmp_path, capsys):
    results = tmp_path / "results"
    changes = {"model.model_type": model_type, "model.of_seq_length": 3}
    changes |= {"model.dropout_ratio": 0.0, "train.optim.lr": 0.003}
    spec = write_spec(tmp_path / "spec.yaml", moving, results, **changes)
    for task in TASKS:
        assert main([task, "-e", str(spec)]) == 0, capsys.readouterr().err
    assert statuses(results / "evaluate")[-1]["kpi"]["accuracy"] == 100.0
    with (results / "inference" / "predictions.csv").open(newline="") as file:
        assert [row["prediction"] for row in csv.DictReader(file)] == ["ride"] * 4

    options = ["evaluate.video_eval_mode=conv", f"results_dir={tmp_path}"]
    assert main(["evaluate", "-e", str(spec), *options]) == 0, capsys.readouterr().err
    assert statuses(tmp_path / "evaluate")[-1]["kpi"]["clip_accuracy"] == 100.0

    session = onnxruntime.InferenceSession(results / "export" / "model.onnx")
    assert {i.name: tuple(i.shape) for i in session.get_inputs()} == {
        name: ("batch", *shape) for name, shape in inputs.items()
    }
    loaded = load_spec(spec)
    network = lightning.load_network(loaded, loaded.export.checkpoint, "export.checkpoint")
    rng = np.random.default_rng(0)
    clips = {n: rng.normal(size=(5, *shape)).astype(np.float32) for n, shape in inputs.items()}
    tensors = tuple(torch.from_numpy(clip) for clip in clips.values())
    with torch.no_grad():
        expected = network.eval()(tensors if len(tensors) == 2 else tensors[0]).numpy()
    (found,) = session.run(["fc_pred"], clips)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_a_joint_training_without_flow_fails_before_it_starts(drawn, tmp_path, capsys):
    results = tmp_path / "results"
    spec = write_spec(tmp_path / "spec.yaml", drawn, results, **{"model.model_type": "joint"})
    assert main(["train", "-e", str(spec)]) == 1
    said = capsys.readouterr().err
    assert "no u folder" in said
    assert "Traceback" not in said
    assert not list((results / "train").glob("*.pth"))
