"""predictions.csv of an experiment: what the model says of each test video."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from actionrec.utils.tables import read_csv, write_csv

COLUMNS = ("video", "label", "prediction", "correct", "score")


@dataclass(frozen=True)
class Prediction:
    """The true and the predicted class of one test video; `score` is its probability if known."""

    video: str
    label: str
    prediction: str
    score: float | None = None

    @property
    def correct(self) -> bool:
        """Tell whether the model is right."""
        return self.label == self.prediction


def write_predictions(target: Path | str, predictions: Iterable[Prediction]) -> None:
    """Write predictions.csv, one row a video."""
    rows = ({**asdict(p), "correct": str(p.correct).lower()} for p in predictions)
    write_csv(target, COLUMNS, rows)


def read_predictions(path: Path | str) -> list[Prediction]:
    """Read predictions.csv."""
    return [
        Prediction(
            row["video"],
            row["label"],
            row["prediction"],
            float(row["score"]) if row["score"] else None,
        )
        for row in read_csv(path)
    ]
