"""Record a run with MLflow: settings as parameters, figures as metrics, files by reference."""

import json
import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from actionrec.config.provenance import in_words
from actionrec.errors import InputError
from actionrec.redaction import revealed
from actionrec.report.settings import read_settings
from actionrec.report.summary import Run, accuracy_of
from actionrec.utils.files import write_text
from actionrec.utils.tables import read_csv

RUN_TAG = (
    "actionrec.run"  # tells a run apart: recorded again, it takes the place of its old figures
)
LONGEST = 6000  # characters of a parameter's value that MLflow takes
HISTORY = ("train_loss", "train_acc", "val_loss", "val_acc", "lr")
FILES = ("export/model.onnx", "metrics.json", "predictions.csv", "history.csv", "report.json")


def record_run(run: Run, dataset: str, store: str, target: Path | str) -> None:
    """Record a run in the experiment `dataset` of an MLflow store; write its id to `target`.

    `store` is a folder or an address. Raises `InputError` without the package.
    """
    # MLflow asks for this variable before it writes to a folder, which it no longer develops.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    try:
        client = import_module("mlflow").MlflowClient(_address(revealed(store)))
    except ImportError as error:
        raise InputError(
            "MLflow is not installed.",
            where="tracking.mlflow",
            found=error,
            fix="pip install mlflow-skinny, where Snakemake runs; or remove the key",
        ) from error
    experiment = client.get_experiment_by_name(dataset)
    identity = experiment.experiment_id if experiment else client.create_experiment(dataset)
    place = str(run.folder.absolute())
    for old in client.search_runs([identity], f"tags.`{RUN_TAG}` = '{_quoted(place)}'"):
        client.delete_run(old.info.run_id)  # parameters of a run cannot be changed
    made = client.create_run(identity, run_name=run.name, tags={RUN_TAG: place}).info.run_id
    settings = read_settings(run.folder.parents[1], [run.experiment])[run.experiment]
    for key, value in settings.items():
        client.log_param(made, key, in_words(value)[:LONGEST])
    for name, value, step in _figures(run):
        client.log_metric(made, name, value, step=step)
    for file in FILES:
        if (run.folder / file).exists():
            client.set_tag(made, f"artifact.{file}", (run.folder / file).absolute().as_uri())
    client.set_terminated(made)
    write_text(target, json.dumps({"store": store, "run_id": made}, indent=2) + "\n")


def _address(store: str) -> str:
    return store if urlsplit(store).scheme else Path(store).absolute().as_uri()


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _figures(run: Run) -> Iterator[tuple[str, float, int]]:
    """Yield the name, the value and the epoch of all figures of a run."""
    metrics: Mapping[str, Any] = run.json("metrics.json")
    found = accuracy_of([run.predictions])
    yield "accuracy", metrics["accuracy"], 0
    yield "accuracy_low", found.low, 0
    yield "accuracy_high", found.high, 0
    yield "m_accuracy", metrics["m_accuracy"], 0
    for row in read_csv(run.folder / "history.csv"):
        for name in HISTORY:
            if row.get(name):
                yield name, float(row[name]), int(row["epoch"])
