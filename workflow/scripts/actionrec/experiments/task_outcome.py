"""Decide whether a TAO task succeeded, and read what it left: for every toolkit and every runner.

A task has succeeded if all of these hold:

1. Its process exited with 0. That alone proves nothing: failures exit with 0 too (TAO 5.5, and
   NVIDIA's launcher always).
2. The last line of its status.json reports success. Where the toolkit writes no such file
   (3.21.11 to 4.0.1), its files and its printed output show what it was run for. Files alone prove
   nothing: a training of TAO 5.5 to 7.3 that fails may leave a checkpoint.
3. What it was asked for is there: the last checkpoint, a prediction for each video, the model.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from actionrec.errors import InputError, some
from actionrec.experiments import status_json, transcript
from actionrec.experiments.checkpoints import Checkpoint, find_checkpoints
from actionrec.experiments.status_json import Epoch, Record
from actionrec.spec import toolkits
from actionrec.utils.tables import read_csv
from actionrec.utils.text import count

PREDICTIONS = "predictions.csv"  # of the native engine; TAO only prints


@dataclass(frozen=True)
class Ended:
    """How the process of a task ended: its exit code, and all that it printed."""

    exit_code: int
    output: str = ""


@dataclass(frozen=True)
class Expected:
    """What a task was asked for, as far as that is known.

    `spec` is its spec in any toolkit's schema, `videos` the names of the video folders that it is
    to predict, `exported` the file that it is to write.
    """

    spec: Mapping[str, Any] = field(default_factory=dict)
    videos: Collection[str] | None = None
    exported: Path | None = None


@dataclass(frozen=True)
class Predicted:
    """The label that a task predicts for a video, and its probability where that is known.

    `scores` are the probabilities of all labels; empty where they are not known.
    """

    label: str
    score: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskOutcome:
    """What a TAO task left in its results folder, and whether it succeeded.

    `finished` is what the task shows of itself, `problem` the error to raise unless it succeeded.
    Of a training there are `history` and `checkpoints` by epoch, of an inference `predictions` by
    the name of the video's folder, of an evaluation `metrics` in percent; those that count clips,
    not videos, are named clip_accuracy and clip_m_accuracy.
    """

    task: str
    folder: Path
    finished: bool
    problem: InputError | None
    history: Sequence[Epoch] = ()
    checkpoints: Sequence[Checkpoint] = ()
    predictions: Mapping[str, Predicted] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Tell whether the task finished, and left what it was asked for."""
        return self.problem is None

    def require_success(self) -> None:
        """Raise `InputError`, with the task's own words, unless it succeeded."""
        if self.problem:
            raise self.problem


def read_outcome(
    task: str,
    folder: Path,
    toolkit: str,
    ended: Ended | None = None,
    expected: Expected | None = None,
) -> TaskOutcome:
    """Return the outcome of a task of `toolkit` whose results are in `folder`; writes nothing.

    `ended` is None for a task of an earlier job, whose process nobody watches any more: there
    status.json decides.
    """
    expected = expected or Expected()
    output = ended.output if ended else ""
    records = status_json.read_records(folder)
    outcome = TaskOutcome(task, folder, finished=False, problem=None)
    if task == "train":
        checkpoints = find_checkpoints(folder)
        outcome = replace(
            outcome,
            checkpoints=checkpoints,
            history=status_json.with_learning_rates(_read_history(records, checkpoints), folder),
        )
    elif task == "inference":
        outcome = replace(outcome, predictions=_read_predictions(folder, output))
    elif task == "evaluate":
        outcome = replace(outcome, metrics=_read_metrics(records, output, expected.spec))
    finished = _is_finished(outcome, records, toolkit, ended)
    problem = _lacking(outcome, expected) if finished else _failure(outcome, records, ended)
    return replace(outcome, finished=finished, problem=problem)


def _is_finished(
    outcome: TaskOutcome, records: Sequence[Record], toolkit: str, ended: Ended | None
) -> bool:
    """Tell whether a task ended well as far as it shows: conditions 1 and 2 above."""
    if ended and ended.exit_code != 0:
        return False
    if records:
        return status_json.says_finished(outcome.task, records)
    if not toolkits.is_old(toolkit) or ended is None:
        return False
    shown = {
        "train": outcome.checkpoints,
        "evaluate": any(figure is not None for figure in outcome.metrics.values()),
        "inference": outcome.predictions,
        "export": True,  # it prints nothing; condition 3 asks for its file
    }
    return bool(shown[outcome.task])


def _read_history(records: Sequence[Record], checkpoints: Sequence[Checkpoint]) -> list[Epoch]:
    """Return the epochs by status.json, or else by the names of the checkpoints."""
    if records:
        return status_json.read_history(records)
    return [Epoch(checkpoint.epoch, val_loss=checkpoint.val_loss) for checkpoint in checkpoints]


def _read_predictions(folder: Path, output: str) -> dict[str, Predicted]:
    """Return what the native engine wrote, or else what TAO printed."""
    table = folder / PREDICTIONS
    if table.exists():
        return {row["video"]: _predicted(row) for row in read_csv(table)}
    return {video: Predicted(label) for video, label in transcript.read_predictions(output).items()}


def _predicted(row: Mapping[str, str]) -> Predicted:
    """Return the prediction in a row of the engine's table: video, prediction, a column a label."""
    scores = {label: float(row[label]) for label in list(row)[2:]}
    return Predicted(row["prediction"], scores[row["prediction"]], scores)


def _read_metrics(
    records: Sequence[Record], output: str, spec: Mapping[str, Any]
) -> dict[str, float | None]:
    """Return the figures of an evaluation, those that count clips as clip_accuracy, ....

    TAO counts clips, not videos, when `spec` has it look at several of each (7.3,
    pl_ar_model.py); the native engine reports both.
    """
    kpi = (records[-1].get("kpi") or {}) if records else transcript.read_accuracies(output)
    names = ("accuracy", "m_accuracy")
    # The native engine's figures: both kinds, under their own names.
    by_clip = {f"clip_{name}": kpi.get(f"clip_{name}") for name in names}
    if None not in by_clip.values():
        return {name: kpi.get(name) for name in names} | by_clip
    mode = (spec.get("evaluate") or {}).get("video_eval_mode", "center")
    # In 3D, `all` takes the whole video for one clip.
    whole = mode == "all" and (spec.get("model") or {}).get("input_type") == "3d"
    prefix = "" if mode == "center" or whole else "clip_"
    return {prefix + name: kpi.get(name) for name in names}


def _failure(outcome: TaskOutcome, records: Sequence[Record], ended: Ended | None) -> InputError:
    """Return the error of a task that did not finish, with its own words."""
    # Many failures write no such line: status.json then just ends, and the traceback is printed.
    if records and records[-1].get("status") == "FAILURE":
        # TAO calls whatever it refuses a parameter, also a damaged video.
        reason = str(records[-1].get("message")).removeprefix("Parameter validation error: ")
    else:
        reason = transcript.last_lines(ended.output if ended else "")
    return InputError(
        f"The {outcome.task} task failed: {reason}",
        where=outcome.folder / status_json.NAME,
        found=f"exit code {ended.exit_code}" if ended else "no line that reports success",
        fix="correct the cause and run the same command again; the rule's log holds all it printed",
    )


def _lacking(outcome: TaskOutcome, expected: Expected) -> InputError | None:
    """Return the error for what a finished task was asked for and did not leave, if anything."""
    if outcome.task == "train":
        return _lacking_checkpoint(outcome, toolkits.last_epoch(expected.spec))
    if outcome.task == "inference" and expected.videos is not None:
        return _lacking_predictions(outcome, set(expected.videos))
    exported = expected.exported
    if exported and (not exported.is_file() or exported.stat().st_size == 0):
        return InputError(
            "The export reported success, and left no model.",
            where=exported,
            fix="the rule's log holds all it printed; check that tao.toolkit is what runs",
        )
    return None


def _lacking_checkpoint(outcome: TaskOutcome, epoch: int | None) -> InputError | None:
    """Return the error unless there is a checkpoint of the last epoch that should have one."""
    last = max((checkpoint.epoch for checkpoint in outcome.checkpoints), default=None)
    # -1: the interval of the checkpoints is longer than the training.
    if last is None and (epoch is None or epoch < 0):
        return InputError(
            "The training left no checkpoint.",
            where=outcome.folder,
            fix="lower train.checkpoint_interval to train.num_epochs or less",
        )
    if epoch is None or (last is not None and last >= epoch):
        return None
    return InputError(
        "The training reported success, and its last checkpoint is missing.",
        where=outcome.folder,
        found="no checkpoint" if last is None else f"the last is of epoch {last}",
        allowed=f"epoch {epoch}, counted from 0",
        fix=f"remove {outcome.folder} and run the same command again",
    )


def _lacking_predictions(outcome: TaskOutcome, videos: set[str]) -> InputError | None:
    """Return the error unless there is one prediction for each of the videos."""
    predicted = outcome.predictions.keys()
    if predicted == videos:
        return None
    predictions, test_videos = count(len(predicted), "prediction"), count(len(videos), "test video")
    return InputError(
        f"Inference ended with {predictions} for {test_videos}.",
        where=outcome.folder,
        found=some(sorted(videos - predicted) or sorted(predicted - videos)),
        fix="the rule's log holds all it printed; run the same command again",
    )
