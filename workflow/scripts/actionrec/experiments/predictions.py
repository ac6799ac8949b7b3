"""Read what a TAO task left behind, and say what it means in files of one form."""

import ast
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from actionrec.utils.tables import read_csv, write_csv

PREDICTION = re.compile(r"(/[^\r\n]*?|[^\s/][^\r\n]*?/[^\r\n]*?) : (\[[^\]]*\])")


@dataclass(frozen=True)
class Prediction:
    """What the model says of one test video; `score` is its probability where known."""

    video: str
    label: str
    prediction: str
    correct: bool
    score: float | None = None


def read_predictions(folder: Path, output: str) -> dict[str, tuple[str, float | None]]:
    """Return each video folder's name with its predicted label and, where known, the probability.

    The native engine writes predictions.csv; TAO only prints, one `PATH : ['LABEL', ...]` a video,
    through an entrypoint that turns line ends into carriage returns (TAO 5.5 to 7.3). Several
    clips of one video are decided by the majority.
    """
    table = folder / "predictions.csv"
    if table.exists():
        return {
            row["video"]: (row["prediction"], float(row[row["prediction"]]))
            for row in read_csv(table)
        }
    found = {}
    for line in re.split(r"[\r\n]+|(?<=it/s\])|(?<=s/it\])", output):
        for path, labels in PREDICTION.findall(line):
            votes = Counter(ast.literal_eval(labels))
            found[Path(path).name] = (votes.most_common(1)[0][0], None)
    return found


def write_predictions(target: Path | str, predictions: Iterable[Prediction]) -> None:
    """Write predictions.csv, one row a video."""
    write_csv(
        target,
        ("video", "label", "prediction", "correct", "score"),
        ({**asdict(p), "correct": str(p.correct).lower()} for p in predictions),
    )


def load_predictions(path: Path | str) -> list[Prediction]:
    """Read predictions.csv."""
    return [
        Prediction(
            row["video"],
            row["label"],
            row["prediction"],
            row["correct"] == "true",
            float(row["score"]) if row["score"] else None,
        )
        for row in read_csv(path)
    ]
