"""Predict many new videos in jobs of some each; what is predicted already is kept."""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from actionrec.deploy import output
from actionrec.errors import InputError
from actionrec.utils.chunks import chunk_of
from actionrec.utils.tables import read_csv, write_csv

COLUMNS = (*output.COLUMNS, "problem", "state")

log = logging.getLogger(__name__)


def state_of(path: Path) -> str:
    """Return what tells a version of a video from another: its size and time."""
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def divide(paths: Iterable[Path], count: int) -> dict[str, dict[str, str]]:
    """Return by the name of each chunk its videos and their states; empty chunks are left out."""
    chunks: dict[str, dict[str, str]] = {}
    for path in paths:
        chunks.setdefault(str(chunk_of(str(path), count)), {})[str(path)] = state_of(path)
    return {name: dict(sorted(chunks[name].items())) for name in sorted(chunks)}


def predict_chunk(
    export: Path,
    states: Mapping[str, str],
    target: Path,
    earlier: Sequence[Path],
    annotated: Path | None = None,
    workers: int = 0,
) -> None:
    """Write the predictions of a chunk's videos; keep the `earlier` ones that still hold.

    A row's state names the video's version and the model's: either one that changed is predicted
    again. A video that cannot be used gets a row with the problem, so that the others go on. With
    `annotated` each video is also drawn upon, into that folder.
    """
    from actionrec.deploy.predict import predict_videos
    from actionrec.deploy.session import Model
    from actionrec.utils.files import sha256

    model = Model(export, threads=1)
    card_hash = sha256(export / "model.json")[:16]
    known = _known(earlier)
    wanted = {video: f"{state}-{card_hash}" for video, state in states.items()}
    kept = {pair[0]: known[pair] for pair in wanted.items() if pair in known}
    if annotated:
        kept = {v: rows for v, rows in kept.items() if annotated_file(annotated, v).exists()}
    new = [Path(video) for video in wanted if video not in kept]
    log.info("%d of %d videos are predicted already", len(kept), len(wanted))
    rows = [row for found in kept.values() for row in found]
    for path, prediction in zip(new, predict_videos(model, new, workers=workers), strict=True):
        video = str(path)
        common = {"state": wanted[video], "problem": prediction.problem}
        if prediction.problem:
            log.warning("%s: %s", video, prediction.problem)
            rows.append({**dict.fromkeys(COLUMNS, ""), "video": video, **common})
            continue
        rows += [{**row, **common} for row in output.rows_of(prediction, model.card)]
        if annotated:
            from actionrec.deploy.annotate import annotate

            annotate(path, annotated_file(annotated, video), prediction.parts, model.card.labels)
    rows.sort(key=lambda row: (str(row["video"]), float(row["start"] or 0)))
    write_csv(target, COLUMNS, rows)


def annotated_file(folder: Path, video: str) -> Path:
    """Return where a video is drawn: two videos of one name in two folders have two files."""
    digest = hashlib.sha256(video.encode(errors="surrogateescape")).hexdigest()[:8]
    return folder / f"{Path(video).stem[:80]}.{digest}.webm"


def _known(tables: Sequence[Path]) -> dict[tuple[str, str], list[dict[str, str]]]:
    """Return the rows of earlier tables by video and state; a damaged table is no help."""
    known: dict[tuple[str, str], list[dict[str, str]]] = {}
    for table in tables:
        own: dict[tuple[str, str], list[dict[str, str]]] = {}
        try:
            for row in read_csv(table, "video", "state"):
                own.setdefault((row["video"], row["state"]), []).append(row)
        except (OSError, InputError):
            continue
        known |= own
    return known


def gather(tables: Sequence[Path], target: Path) -> None:
    """Write the predictions of all chunks as one table, by video."""
    rows = [row for table in tables for row in read_csv(table, *COLUMNS)]
    rows.sort(key=lambda row: (row["video"], float(row["start"] or 0)))
    bad = sum(bool(row["problem"]) for row in rows)
    if bad:
        log.warning("%d videos cannot be used: see the column problem of %s", bad, target)
    write_csv(target, COLUMNS, rows)
