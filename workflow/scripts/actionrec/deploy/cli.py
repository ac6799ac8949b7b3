"""`actionrec predict EXPORT VIDEO...`: use an exported model on videos, cameras and streams."""

import argparse
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from actionrec import __version__
from actionrec.deploy.model_card import ModelCard
from actionrec.deploy.output import JsonWriter, LiveWriter, TableWriter, Writer
from actionrec.deploy.predict import Prediction, predict_videos
from actionrec.deploy.session import Model
from actionrec.deploy.timeline import Windows
from actionrec.deploy.video_inputs import find_videos, is_live
from actionrec.errors import InputError
from actionrec.experiments.training_progress import print_status
from actionrec.redaction import shown
from actionrec.utils.files import replacing
from actionrec.utils.locks import try_lock


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
    if options.follow or any(map(is_live, options.videos)):
        return _follow(model, options)
    paths = find_videos(options.videos)
    _require_folder_for_several(paths, options.annotate)
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
        writer = _writer(options, model.card, out)
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


def _require_folder_for_several(paths: Sequence[Path], target: Path | None) -> None:
    """Raise `InputError` for several videos that are all to be drawn into one file."""
    if target and len(paths) > 1 and target.suffix:
        raise InputError(
            "Several videos cannot be drawn into one file.",
            where="--annotate",
            found=target,
            allowed="a folder, for several videos",
            fix=f"--annotate {target.with_suffix('')}",
        )


def _windows(card: ModelCard, options: argparse.Namespace) -> Windows | None:
    if options.window is None and options.stride is None:
        return None
    if options.whole:
        raise InputError(
            "--whole takes no windows.",
            where="--window, --stride",
            fix="leave out --whole, or --window and --stride",
        )
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
            allowed="a camera's index, rtsp://..., http://...",
        )
    windows = Windows.of_card(model.card, options.window, options.stride)
    with _output(options.output, live=True) as out:
        writer, source = LiveWriter(out, as_json=options.json), options.videos[0]
        write = partial(writer.write, shown(source))
        dropped = follow(
            model, source, windows, write, stall=options.stall, retries=options.retries
        )
    print(
        f"{dropped.frames} frames and {dropped.windows} windows gave way to newer ones",
        file=sys.stderr,
    )
    return 0


def _writer(options: argparse.Namespace, card: ModelCard, out: TextIO) -> Writer:
    if options.json:
        return JsonWriter(out, card, options.top_k)
    return TableWriter(out, card, options.top_k, as_csv=options.csv or bool(options.output))


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
