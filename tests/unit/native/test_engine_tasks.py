"""The command: evaluate, inference, export, exit codes and messages."""

import csv
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from omegaconf import OmegaConf

from actionrec.native.__main__ import main
from actionrec.native.checkpoints import lightning
from actionrec.spec.load import load_spec
from actionrec.spec.toolkits import TASKS
from helpers.engine import GOLDEN, run, statuses, write_spec


def shape_of(lines):
    return [(list(line), line["status"], list(line.get("kpi", {}))) for line in lines]


def golden_lines(task):
    text = (GOLDEN / "status" / f"{task}.json").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_evaluate_prints_and_logs_as_tao(trained, capsys):
    assert main(["evaluate", "-e", str(trained)]) == 0
    stars = "*" * 31
    table = ["fall          100.0", "ride          100.0"]
    totals = ["Total accuracy: 100.0", "Average class accuracy: 100.0"]
    assert capsys.readouterr().out.splitlines() == [stars, *table, stars, *totals]
    folder = trained.parent / "results" / "evaluate"
    lines, golden = statuses(folder), golden_lines("evaluate")
    assert shape_of(lines) == shape_of(golden)
    assert lines[2]["kpi"] == {"accuracy": 100.0, "m_accuracy": 100.0}
    assert [line["message"] for line in lines[2:]] == [line["message"] for line in golden[2:]]
    spec = OmegaConf.load(folder / "experiment.yaml")
    assert spec.results_dir == spec.evaluate.results_dir == str(folder)


@pytest.mark.parametrize("mode", ["conv", "all"])
def test_several_clips_of_a_video_give_one_prediction(mode, trained, tmp_path, capsys):
    options = [f"evaluate.video_eval_mode={mode}", "evaluate.video_num_segments=3"]
    assert main(["evaluate", "-e", str(trained), f"results_dir={tmp_path}", *options]) == 0
    kpi = statuses(tmp_path / "evaluate")[-1]["kpi"]
    assert list(kpi) == ["accuracy", "m_accuracy", "clip_accuracy", "clip_m_accuracy"]
    assert kpi["accuracy"] == 100.0
    assert "ride          100.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("evaluate", "status.json"),
        ("inference", "predictions.csv"),
        ("evaluate", "experiment.yaml"),
    ],
)
def test_a_folder_in_the_place_of_a_file_is_named(task, name, trained, tmp_path, capsys):
    (tmp_path / task / name).mkdir(parents=True)
    assert main([task, "-e", str(trained), f"results_dir={tmp_path}"]) == 1
    said = capsys.readouterr().err
    assert str(tmp_path / task / name) in said and "move it away" in said
    assert "Traceback" not in said


def test_a_class_without_videos_counts_zero(trained, drawn, tmp_path, capsys):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "ride").symlink_to(drawn / "val" / "ride")
    options = [f"evaluate.test_dataset_dir={tmp_path / 'test'}", f"results_dir={tmp_path}"]
    assert main(["evaluate", "-e", str(trained), *options]) == 0
    assert statuses(tmp_path / "evaluate")[-1]["kpi"] == {"accuracy": 100.0, "m_accuracy": 50.0}


def test_inference_prints_as_tao_and_writes_probabilities(trained, drawn, capsys):
    assert main(["inference", "-e", str(trained)]) == 0
    videos = sorted((drawn / "val" / "ride").iterdir())
    assert capsys.readouterr().out.splitlines() == [f"{video} : ['ride']" for video in videos]
    folder = trained.parent / "results" / "inference"
    assert shape_of(statuses(folder)) == shape_of(golden_lines("inference"))
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["video", "prediction", "fall", "ride"]
    assert [row["video"] for row in rows] == [video.name for video in videos]
    for row in rows:
        assert row["prediction"] == "ride"
        assert float(row["ride"]) > 0.5
        assert float(row["fall"]) + float(row["ride"]) == pytest.approx(1, abs=1e-5)


def test_inference_prints_a_label_for_each_clip(trained, tmp_path, capsys):
    options = ["inference.video_inf_mode=conv", "inference.video_num_segments=3"]
    assert main(["inference", "-e", str(trained), f"results_dir={tmp_path}", *options]) == 0
    assert all(line.count("'") == 6 for line in capsys.readouterr().out.splitlines())


def test_export_has_taos_interface_and_pytorchs_logits(trained, capsys):
    assert main(["export", "-e", str(trained)]) == 0
    path = trained.parent / "results" / "export" / "model.onnx"
    assert shape_of(statuses(path.parent)) == shape_of(golden_lines("export"))
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert [entry.version for entry in model.opset_import] == [17]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    session = onnxruntime.InferenceSession(path)
    (given,), (wanted,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("input_rgb", ["batch", 6, 32, 32])
    assert (wanted.name, wanted.shape) == ("fc_pred", ["batch", 2])
    spec = load_spec(trained)
    network = lightning.load_network(spec, spec.export.checkpoint, "export.checkpoint").eval()
    for batch in (1, 5):
        clips = np.random.default_rng(0).normal(size=(batch, 6, 32, 32)).astype(np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(clips)).numpy()
        (found,) = session.run(None, {"input_rgb": clips})
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    before = path.read_bytes()
    assert main(["export", "-e", str(trained)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_3d_network_runs_all_tasks(drawn, tmp_path):
    spec = write_spec(
        tmp_path / "spec.yaml",
        drawn,
        tmp_path / "results",
        **{"model.input_type": "3d", "model.rgb_seq_length": 3, "train.num_epochs": 1},
    )
    for task in TASKS:
        assert main([task, "-e", str(spec)]) == 0
    session = onnxruntime.InferenceSession(tmp_path / "results" / "export" / "model.onnx")
    assert session.get_inputs()[0].shape == ["batch", 3, 3, 32, 32]


def test_exit_codes_and_messages_of_the_command(drawn, tmp_path):
    spec = write_spec(tmp_path / "spec.yaml", drawn, tmp_path / "results")
    for arguments, code, message in [
        (("predict", spec), 2, "invalid choice: 'predict'"),
        (("train", None), 1, "No spec is given"),
        (("train", tmp_path / "none.yaml"), 1, "does not exist"),
        (("train", spec, "train.epochs=3"), 1, "did you mean 'num_epochs'"),
        (("train", spec, "-r", "somewhere"), 1, "key=value"),
        (("train", spec, "results_dir="), 1, "nowhere to put results"),
        (("evaluate", spec), 1, "The checkpoint does not exist"),
    ]:
        done = run(*arguments)
        assert done.returncode == code, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "results" / "train").exists()
    assert statuses(tmp_path / "results" / "evaluate")[-1]["status"] == "FAILURE"


@pytest.mark.parametrize(
    ("task", "overrides", "message"),
    [
        ("evaluate", ["dataset.label_map={fall: 0, ride: 1, walk: 2}"], "has 2 classes"),
        ("evaluate", ["evaluate.batch_size=9"], "Not enough data for test."),
        ("evaluate", ["evaluate.trt_engine=model.engine"], "TensorRT"),
        ("evaluate", ["model.input_type=3d"], "another network"),
        ("inference", ["inference.batch_size=9"], "Not enough data for predict."),
        ("export", ["model.rgb_seq_length=3"], "another network"),
    ],
)
def test_a_spec_that_does_not_fit_the_checkpoint_is_refused(
    task, overrides, message, trained, tmp_path, capsys
):
    options = [f"results_dir={tmp_path}", f"export.onnx_file={tmp_path / 'model.onnx'}"]
    assert main([task, "-e", str(trained), *options, *overrides]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "model.onnx").exists()
