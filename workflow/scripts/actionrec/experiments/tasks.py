"""Run one TAO task for a rule: execute it, and publish what the rule promised."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

from actionrec.dataset import link_tree, mirrored_classes
from actionrec.experiments import checkpoints, resume, scratch
from actionrec.experiments.execution import Execution, execute, run_folder
from actionrec.experiments.predictions import (
    Prediction,
    read_predictions,
    with_ranking,
    write_predictions,
)
from actionrec.experiments.status_json import Epoch
from actionrec.experiments.successive_halving import Trial, is_stopped, publish_trial
from actionrec.experiments.task_outcome import Expected, TaskOutcome, read_outcome
from actionrec.native import metrics
from actionrec.utils import tables
from actionrec.utils.files import same_file_system_link, write_text
from actionrec.utils.rule_script import Job
from actionrec.utils.small_files import read_yaml

HISTORY = tuple(field.name for field in fields(Epoch))  # columns of history.csv

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """The files of one training: what it is made from, and what it publishes.

    `pretrained` are the initial weights, a file for each stream that has some. `choice` is
    model.json. `select` says which checkpoint becomes the model, `best` or `last`. An experiment
    of a sweep with a budget has begun with a `trial`.
    """

    spec: Path
    split: Path
    pretrained: tuple[Path, ...]
    model: Path
    choice: Path
    history: Path
    select: str = "best"
    experiment: str = ""
    trial: Trial | None = None

    @classmethod
    def of_rule(cls, snakemake: Job) -> "Training":
        """Return the training that a rule's inputs, outputs and params describe."""
        given, made = snakemake.input, snakemake.output
        trial = None
        if given.get("ranking"):
            trial_files = [given.trial_spec, *given.trial, given.ranking]
            trial = Trial(*(Path(file) for file in trial_files))
        return cls(
            spec=Path(given.spec),
            split=Path(given.split),
            pretrained=tuple(Path(file) for file in given.pretrained),
            model=Path(made.model),
            choice=Path(made.choice),
            history=Path(made.history),
            select=snakemake.params.checkpoint,
            experiment=snakemake.wildcards.exp,
            trial=trial,
        )


def train(training: Training, execution: Execution) -> None:
    """Train, or resume where an equal training was killed; publish the chosen checkpoint.

    Where the budget of its sweep has stopped the experiment, its trial is published instead. A
    training that is complete and of which nothing has changed is not repeated.
    """
    if training.trial and is_stopped(training.experiment, training.trial.ranking):
        publish_trial(training.trial, training.model, training.choice, training.history)
        return
    link_tree.verify_split(training.split, run_folder(training.spec) / "data")
    if warning := mirrored_classes.warning(read_yaml(training.spec)):
        log.warning("%s", warning)
    outcome = _train(training, execution)
    choice = checkpoints.choose(outcome.checkpoints, outcome.history, training.select)
    checkpoints.require_sound(choice.checkpoint)
    tables.write_csv(training.history, HISTORY, map(asdict, outcome.history))
    checkpoints.write_choice(training.choice, choice, outcome.history, execution.version)
    same_file_system_link(choice.checkpoint.path, training.model)
    resume.clean_up(outcome)


def _train(training: Training, execution: Execution) -> TaskOutcome:
    """Return the outcome of a training that succeeded, now or in an earlier job."""
    run = run_folder(training.spec)
    folder = run / training.spec.stem
    made_from = [training.split, *training.pretrained]
    identify = partial(resume.fingerprint, execution.version, execution.toolkit)
    fingerprint = identify(training.spec, made_from)
    resume.prepare(folder, fingerprint, execution.toolkit)
    # The trial's spec differs from this one, so it has a fingerprint of its own.
    if training.trial:
        of_trial = identify(training.trial.spec, made_from)
        resume.start_from_trial(folder, run / training.trial.spec.stem, of_trial)
    expected = Expected(read_yaml(training.spec))
    outcome = read_outcome("train", folder, execution.toolkit, expected=expected)
    if outcome.finished:
        log.warning("%s is complete and nothing it depends on has changed: it is kept.", folder)
        outcome.require_success()
        return outcome
    spec = resume.spec_to_train(training.spec, folder, execution.toolkit)
    place = execution.scratch
    if place and execution.machines > 1:
        log.warning("Several machines read the shared images: scratch (%s) is not used.", place)
        place = ""
    # Copies on the node's own disk change no result: the fingerprint is of the spec without them.
    with scratch.spec_on_scratch(place, spec, training.split, workers=execution.threads) as (
        spec_here,
        copies,
    ):
        reads = [*training.pretrained, *copies]
        return execute("train", spec_here, execution, expected, folder=folder, reads=reads)


def predict(
    spec: Path | str, split: Path | str, predictions: Path | str, execution: Execution
) -> None:
    """Predict the test videos; raise `InputError` unless there is one prediction for each."""
    spec, split = Path(spec), Path(split)
    link_tree.verify_split(split, run_folder(spec) / "data")
    videos = link_tree.inference_names(split)
    found = execute("inference", spec, execution, Expected(videos=videos)).predictions
    rows = (
        with_ranking(
            Prediction(video, label, found[name].label, found[name].score), found[name].scores
        )
        for name, (label, video) in videos.items()
    )
    write_predictions(predictions, rows)


def evaluate(
    spec: Path | str,
    split: Path | str,
    predictions: Path | str,
    target: Path | str,
    labels: Sequence[str],
    execution: Execution,
) -> None:
    """Write metrics.json: by video from the predictions, and the figures of TAO's evaluate task."""
    spec = Path(spec)
    link_tree.verify_split(Path(split), run_folder(spec) / "data")
    outcome = execute("evaluate", spec, execution, Expected(read_yaml(spec)))
    # From the predictions, one a video: TAO's evaluate counts clips, and tells no single video.
    ids = {label: number for number, label in enumerate(labels)}
    pairs = ((ids[p.label], ids[p.prediction]) for p in read_predictions(predictions))
    confusion = metrics.confusion_matrix(pairs, len(ids))
    content = {**metrics.metrics_of_videos(confusion, labels), "evaluate": outcome.metrics}
    write_text(target, json.dumps(content, indent=2) + "\n")


def export(
    spec: Path | str,
    exported: Path | str,
    labels_file: Path | str,
    labels: Sequence[str],
    execution: Execution,
) -> None:
    """Export the model to `exported`, and write its labels in the order of its outputs, one a line.

    TAO refuses to replace a file, so an older one is removed first.
    """
    exported = Path(exported)
    exported.unlink(missing_ok=True)
    execute("export", Path(spec), execution, Expected(exported=exported))
    write_text(labels_file, "".join(f"{label}\n" for label in labels))
