"""predictions.csv of an experiment: what the model says of each test video."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from actionrec.utils.tables import read_csv, write_csv

COLUMNS = (
    "video",
    "label",
    "prediction",
    "correct",
    "score",
    "rank",
    "second",
    "second_score",
    "third",
    "third_score",
)


@dataclass(frozen=True)
class Prediction:
    """The true and the predicted class of one test video; `score` is its probability if known.

    `rank` is the place of the true class among the predicted ones, from 1; `second` and `third` are
    the next classes, with their probabilities. TAO's own inference tells none of them.
    """

    video: str
    label: str
    prediction: str
    score: float | None = None
    rank: int | None = None
    second: str | None = None
    second_score: float | None = None
    third: str | None = None
    third_score: float | None = None

    @property
    def correct(self) -> bool:
        """Tell whether the model is right."""
        return self.label == self.prediction

    @property
    def top(self) -> list[tuple[str, float]]:
        """Return the best classes with their probabilities, up to three; none if unknown."""
        named = (
            (self.prediction, self.score),
            (self.second, self.second_score),
            (self.third, self.third_score),
        )
        return [(label, score) for label, score in named if label and score is not None]


def with_ranking(prediction: Prediction, scores: Mapping[str, float]) -> Prediction:
    """Return a prediction with what the probabilities of all classes add to it, if there are any.

    The prediction itself is the engine's, also where another class has the same probability.
    """
    if prediction.label not in scores:
        return prediction
    others = [label for label in scores if label != prediction.prediction]
    order = [prediction.prediction, *sorted(others, key=lambda label: -scores[label])]
    following = [(label, scores[label]) for label in order[1:3]]
    (second, second_score), (third, third_score) = [*following, (None, None), (None, None)][:2]
    return replace(
        prediction,
        rank=order.index(prediction.label) + 1,
        second=second,
        second_score=second_score,
        third=third,
        third_score=third_score,
    )


def write_predictions(target: Path | str, predictions: Iterable[Prediction]) -> None:
    """Write predictions.csv, one row a video."""
    rows = ({**asdict(p), "correct": str(p.correct).lower()} for p in predictions)
    write_csv(target, COLUMNS, rows)


def read_predictions(path: Path | str) -> list[Prediction]:
    """Read predictions.csv; one of an older version has no ranking."""
    return [
        Prediction(
            row["video"],
            row["label"],
            row["prediction"],
            _number(row["score"]),
            int(row["rank"]) if row.get("rank") else None,
            row.get("second") or None,
            _number(row.get("second_score")),
            row.get("third") or None,
            _number(row.get("third_score")),
        )
        for row in read_csv(path, *COLUMNS[:4])
    ]


def _number(text: str | None) -> float | None:
    return float(text) if text else None
