"""Write predictions: as CSV, as JSON, or in columns on a terminal.

The plan imports this module, so it loads nothing heavy.
"""

import csv
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from actionrec.deploy.model_card import ModelCard
    from actionrec.deploy.predict import Prediction
    from actionrec.deploy.timeline import Segment

COLUMNS = ("video", "start", "end", "label", "score")


def segment_row(video: str, segment: "Segment") -> dict[str, Any]:
    """Return the row of a segment of a video."""
    return {
        "video": video,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "label": segment.label,
        "score": round(segment.score, 6),
    }


def rows_of(
    prediction: "Prediction", card: "ModelCard", top_k: int = 1
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a prediction: its segments, or its best labels; none of a bad video."""
    if prediction.problem:
        return
    if prediction.segments:
        yield from (segment_row(prediction.video, segment) for segment in prediction.segments)
        return
    best = prediction.scores.argsort()[::-1][:top_k]
    for rank, index in enumerate(best):
        label = prediction.label if rank == 0 else card.labels[index]
        score = round(float(prediction.scores[index]), 6)
        yield {"video": prediction.video, "start": "", "end": "", "label": label, "score": score}


def as_json(prediction: "Prediction", card: "ModelCard", top_k: int = 1) -> dict[str, Any]:
    """Return a prediction as plain values."""
    if prediction.problem:
        return {"video": prediction.video, "problem": prediction.problem}
    best = prediction.scores.argsort()[::-1][: max(top_k, 1)]
    segments = [segment_row(prediction.video, segment) for segment in prediction.segments]
    for row in segments:
        del row["video"]
    return {
        "video": prediction.video,
        "label": prediction.label,
        "score": round(prediction.score, 6),
        "scores": {card.labels[i]: round(float(prediction.scores[i]), 6) for i in best},
        "segments": segments,
        "remarks": list(prediction.remarks),
    }


class Writer(Protocol):
    """Writes one prediction after another."""

    def write(self, prediction: "Prediction") -> None:
        """Write a prediction, or keep it for the end."""

    def close(self) -> None:
        """Write what is left."""


class JsonWriter:
    """Collects predictions and writes one JSON list at the end."""

    def __init__(self, out: TextIO, card: "ModelCard", top_k: int) -> None:
        self._out, self._card, self._top_k = out, card, top_k
        self._all: list[dict[str, Any]] = []

    def write(self, prediction: "Prediction") -> None:
        """Keep a prediction for the end."""
        self._all.append(as_json(prediction, self._card, self._top_k))

    def close(self) -> None:
        """Write the list."""
        json.dump(self._all, self._out, indent=2, ensure_ascii=False)
        self._out.write("\n")


class TableWriter:
    """Writes a row for each label or segment, as CSV or in columns, as soon as it is known."""

    def __init__(self, out: TextIO, card: "ModelCard", top_k: int, *, as_csv: bool) -> None:
        self._out, self._card, self._top_k = out, card, top_k
        self._write_row = (
            csv.DictWriter(out, COLUMNS, lineterminator="\n").writerow if as_csv else self._print
        )
        self._write_row(dict(zip(COLUMNS, COLUMNS, strict=True)))

    def write(self, prediction: "Prediction") -> None:
        """Write the rows of a prediction."""
        for row in rows_of(prediction, self._card, self._top_k):
            self._write_row(row)
        self._out.flush()

    def close(self) -> None:
        """Do nothing: all rows are written."""

    def _print(self, row: dict[str, Any]) -> None:
        score = _digits(row["score"], 4)
        start, end = (_digits(row[key], 2) for key in ("start", "end"))
        print(
            f"{start:>9} {end:>9}  {score:>6}  {row['label']:<20}  {row['video']}", file=self._out
        )


def _digits(value: Any, digits: int) -> str:
    """Return a number with its digits after the point; a text, as in a header, as it is."""
    return value if isinstance(value, str) else f"{value:.{digits}f}"


class LiveWriter:
    """Writes a window a line as it comes: CSV, or JSON lines."""

    def __init__(self, out: TextIO, *, as_json: bool) -> None:
        self._out, self._json = out, as_json
        self._csv = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        if not as_json:
            self._csv.writeheader()
            out.flush()

    def write(self, video: str, segment: "Segment") -> None:
        """Write a window, for a reader to see at once."""
        row = segment_row(video, segment)
        if self._json:
            self._out.write(json.dumps(row) + "\n")
        else:
            self._csv.writerow(row)
        self._out.flush()
