"""`actionrec predict EXPORT VIDEO...`: use an exported model on videos, cameras and streams."""

import argparse
import csv
import json
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from actionrec import __version__
from actionrec.deploy.model_card import ModelCard
from actionrec.deploy.predict import Prediction, predict_videos
from actionrec.deploy.session import Model
from actionrec.deploy.sources import find_videos, is_live
from actionrec.deploy.timeline import Segment, Windows
from actionrec.errors import InputError
from actionrec.experiments.training_progress import print_status
from actionrec.utils.files import replacing
from actionrec.utils.locks import try_lock

COLUMNS = ("video", "start", "end", "label", "score")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 1 where an input or a video cannot be used."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        if options.command == "status":
            return print_status(options.results)
        return _predict(options)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # | head
        sys.stderr.close()
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="actionrec", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="say how far trainings are")
    status.add_argument("results", nargs="?", type=Path, default=Path("results"))
    predict = commands.add_parser("predict", help="say what happens in videos")
    add = predict.add_argument
    add("export", type=Path, help="the folder export/ of an experiment")
    add("videos", nargs="+", help="files, folders, lists (.csv), a camera's index, an address")
    form = predict.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")
    add("--output", type=Path, help="write to this file instead of printing")
    add("--top-k", type=_count, default=1, metavar="K", help="the K best labels of each video")
    add("--window", type=_seconds, help="seconds of a window; default: a clip's in training")
    add("--stride", type=_seconds, help="seconds between windows; default: half a window")
    add("--threshold", type=_share, help="score below which a label is unknown; 0: never")
    add("--whole", action="store_true", help="one prediction for a video, however long it is")
    add("--annotate", type=Path, metavar="OUT.webm", help="draw the predictions on the video")
    add("--follow", action="store_true", help="a live source: print windows as they come")
    add("--stall", type=_seconds, default=10.0, help="seconds until a live source is opened again")
    add("--retries", type=int, default=10, help="times that a live source is opened again")
    add("--precision", choices=("fp32", "fp16"), default="fp32")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--workers", type=_count, help="threads; default: all cores")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError("must be between 0 and 1")
    return share


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("must be more than 0")
    return seconds


def _predict(options: argparse.Namespace) -> int:
    model = Model(
        options.export,
        precision=options.precision,
        device=options.device,
        threshold=options.threshold,
    )
    live = [source for source in options.videos if is_live(source)]
    if options.follow or live:
        return _follow(model, options)
    paths = find_videos(options.videos)
    if options.annotate and len(paths) > 1 and options.annotate.suffix:
        raise InputError(
            "Several videos cannot be drawn into one file.",
            where="--annotate",
            found=options.annotate,
            allowed=["a folder, for several videos"],
        )
    windows = _windows(model.card, options)
    with _output(options.output) as out, _Progress(len(paths)) as progress:
        found = predict_videos(
            model,
            paths,
            windows=windows,
            whole=options.whole,
            workers=options.workers or 0,
            report=progress.report,
        )
        writer = _writer(options, model, out)
        failed = 0
        for path, prediction in zip(paths, found, strict=True):
            progress.clear()
            failed += bool(prediction.problem)
            writer.write(prediction)
            if prediction.problem:
                print(f"{prediction.video}: {prediction.problem}", file=sys.stderr)
            elif options.annotate:
                _annotate(path, options.annotate, prediction, model, several=len(paths) > 1)
            progress.next()
        writer.close()
    return 1 if failed else 0


def _windows(card: ModelCard, options: argparse.Namespace) -> Windows | None:
    if options.window is None and options.stride is None:
        return None
    if options.whole:
        raise InputError("--whole takes no windows.", where="--window, --stride")
    return Windows.of_card(card, options.window, options.stride)


def _annotate(
    path: Path, target: Path, prediction: Prediction, model: Model, *, several: bool
) -> None:
    from actionrec.deploy.annotate import annotate

    if several or not target.suffix:
        target = target / f"{path.name}.webm"
    with _only_writer(target):
        annotate(path, target, prediction.parts, model.card.labels)


def _follow(model: Model, options: argparse.Namespace) -> int:
    from actionrec.deploy.live import follow

    if len(options.videos) != 1 or not is_live(options.videos[0]) or options.annotate:
        raise InputError(
            "--follow takes one camera or address, and draws nothing.",
            where="--follow",
            found=" ".join(options.videos),
            allowed=["a camera's index", "rtsp://...", "http://..."],
        )
    windows = Windows.of_card(model.card, options.window, options.stride)
    with _output(options.output, live=True) as out:
        rows = _Rows(out, options.json)

        def tell(segment: Segment) -> None:
            rows.write(options.videos[0], segment)

        dropped = follow(
            model, options.videos[0], windows, tell, stall=options.stall, retries=options.retries
        )
    print(
        f"{dropped.frames} frames and {dropped.windows} windows gave way to newer ones",
        file=sys.stderr,
    )
    return 0


class _Rows:
    """Writes a window a line as it comes: CSV, or JSON lines."""

    def __init__(self, out: TextIO, as_json: bool) -> None:
        self._out, self._json = out, as_json
        if not as_json:
            print(",".join(COLUMNS), file=out, flush=True)

    def write(self, video: str, segment: Segment) -> None:
        row = _row(video, segment)
        if self._json:
            print(json.dumps(row), file=self._out, flush=True)
        else:
            csv.DictWriter(self._out, COLUMNS, lineterminator="\n").writerow(row)
            self._out.flush()


def _row(video: str, segment: Segment) -> dict[str, Any]:
    return {
        "video": video,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "label": segment.label,
        "score": round(segment.score, 6),
    }


def rows_of(prediction: Prediction, card: ModelCard, top_k: int = 1) -> Iterator[dict[str, Any]]:
    """Yield the rows of a prediction: its segments, or its best labels; none of a bad video."""
    if prediction.problem:
        return
    if prediction.segments:
        yield from (_row(prediction.video, segment) for segment in prediction.segments)
        return
    best = prediction.scores.argsort()[::-1][:top_k]
    for rank, index in enumerate(best):
        label = prediction.label if rank == 0 else card.labels[index]
        score = round(float(prediction.scores[index]), 6)
        yield {"video": prediction.video, "start": "", "end": "", "label": label, "score": score}


class _Json:
    """Collects predictions and writes one JSON list at the end."""

    def __init__(self, out: TextIO, model: Model, top_k: int) -> None:
        self._out, self._card, self._top_k = out, model.card, top_k
        self._all: list[dict[str, Any]] = []

    def write(self, prediction: Prediction) -> None:
        self._all.append(as_json(prediction, self._card, self._top_k))

    def close(self) -> None:
        json.dump(self._all, self._out, indent=2, ensure_ascii=False)
        self._out.write("\n")


def as_json(prediction: Prediction, card: ModelCard, top_k: int = 1) -> dict[str, Any]:
    """Return a prediction as plain values."""
    if prediction.problem:
        return {"video": prediction.video, "problem": prediction.problem}
    best = prediction.scores.argsort()[::-1][: max(top_k, 1)]
    return {
        "video": prediction.video,
        "label": prediction.label,
        "score": round(prediction.score, 6),
        "scores": {card.labels[i]: round(float(prediction.scores[i]), 6) for i in best},
        "segments": [
            {key: value for key, value in _row("", part).items() if key != "video"}
            for part in prediction.segments
        ],
        "remarks": list(prediction.remarks),
    }


class _Table:
    """Writes a row for each label or segment, as CSV or in columns, as soon as it is known."""

    def __init__(self, out: TextIO, model: Model, top_k: int, *, as_csv: bool) -> None:
        self._out, self._card, self._top_k, self._csv = out, model.card, top_k, as_csv
        self._writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        self._print_header()

    def _print_header(self) -> None:
        if self._csv:
            self._writer.writeheader()
        else:
            self._line(dict(zip(COLUMNS, COLUMNS, strict=True)))

    def write(self, prediction: Prediction) -> None:
        for row in rows_of(prediction, self._card, self._top_k):
            if self._csv:
                self._writer.writerow(row)
            else:
                self._line(row)
        self._out.flush()

    def _line(self, row: dict[str, Any]) -> None:
        score = row["score"] if isinstance(row["score"], str) else f"{row['score']:.4f}"
        start, end = (_time(row[key]) for key in ("start", "end"))
        print(
            f"{start:>9} {end:>9}  {score:>6}  {row['label']:<20}  {row['video']}", file=self._out
        )

    def close(self) -> None:
        pass


def _time(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.2f}"


def _writer(options: argparse.Namespace, model: Model, out: TextIO) -> "_Json | _Table":
    if options.json:
        return _Json(out, model, options.top_k)
    return _Table(out, model, options.top_k, as_csv=options.csv or bool(options.output))


@contextmanager
def _output(path: Path | None, *, live: bool = False) -> Iterator[TextIO]:
    """Yield where to write: the terminal, or a file that appears when all is done."""
    if path is None:
        yield sys.stdout
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _only_writer(path):
        if live:  # of which somebody wants to read the beginning before there is an end
            with path.open("w", encoding="utf-8", newline="") as file:
                yield file
            return
        with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            yield file


@contextmanager
def _only_writer(target: Path) -> Iterator[None]:
    """Hold a target for this process; raise `InputError` where another one writes it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with try_lock(target.with_name(f".{target.name}.lock")) as held:
        if not held:
            raise InputError(
                "Another process writes this file.",
                where=target,
                fix="wait for it, or name another",
            )
        yield


class _Progress:
    """A bar on the terminal, with the time left: of the videos, or of the seconds of a long one."""

    def __init__(self, count: int) -> None:
        self._count = count
        hidden = not sys.stderr.isatty()
        self._videos = tqdm(total=count, unit="video", disable=hidden or count < 2, leave=False)
        self._seconds: Any = None
        self._hidden = hidden

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()
        self._videos.close()

    def report(self, done: float, total: float) -> None:
        if self._seconds is None:
            known = round(total, 1) or None
            self._seconds = tqdm(total=known, unit="s", disable=self._hidden, leave=False)
        self._seconds.update(round(done - self._seconds.n, 1))

    def next(self) -> None:
        self._videos.update()

    def clear(self) -> None:
        if self._seconds is not None:
            self._seconds.close()
            self._seconds = None
