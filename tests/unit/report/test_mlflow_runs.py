"""Runs recorded with MLflow in a local folder."""

import json
import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from actionrec.errors import InputError
from actionrec.redaction import hidden
from actionrec.report.mlflow_runs import record_run
from actionrec.report.summary import Run
from helpers.results import make_results


@pytest.fixture
def run(tmp_path):
    results = make_results(tmp_path / "set", {"one": 0.5}, ["walk", "it's run"])
    return Run("one", 1, results / "experiments/one/split1")


def test_without_the_package_the_key_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match="MLflow is not installed") as error:
        record_run(run, "set", str(tmp_path / "store"), tmp_path / "mlflow.json")
    assert "tracking.mlflow" in str(error.value)
    assert not (tmp_path / "mlflow.json").exists()


def test_a_hidden_address_is_called_and_not_written_down(run, tmp_path, monkeypatch):
    asked = []

    class Client:
        def __init__(self, address):
            asked.append(address)

        def search_runs(self, *arguments):
            return []

        def __getattr__(self, name):
            return lambda *arguments, **options: MagicMock(info=MagicMock(run_id="7"))

    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=Client))
    address = "http://me:pass-word@host:5000"
    record_run(run, "set", hidden(address), tmp_path / "mlflow.json")
    assert asked[-1] == address
    written = (tmp_path / "mlflow.json").read_text()
    assert "@host:5000" in written and "pass-word" not in written


def test_a_run_is_recorded_once_with_parameters_metrics_and_places(run, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="needs the package mlflow-skinny")
    store = tmp_path / "it's a store"
    for _ in range(2):
        record_run(run, "set", str(store), tmp_path / "mlflow.json")
    client = mlflow.MlflowClient(store.as_uri())
    experiment = client.get_experiment_by_name("set")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_id == json.loads((tmp_path / "mlflow.json").read_text())["run_id"]
    assert found.info.status == "FINISHED"
    assert found.data.params["spec.train.optim.lr"] == "0.5"
    accuracy = run.json("metrics.json")["accuracy"]
    assert found.data.metrics["accuracy"] == accuracy
    assert found.data.metrics["accuracy_low"] < accuracy
    losses = client.get_metric_history(found.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in losses] == [
        (0, 2.0),
        (1, 1.0),
        (2, 2 / 3),
        (3, 0.5),
    ]
    place = found.data.tags["artifact.predictions.csv"]
    assert place == (run.folder / "predictions.csv").as_uri()
