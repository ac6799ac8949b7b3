"""Turn the videos of a class into numbered image files in TAO's layout."""

import hashlib
import logging
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from actionrec.errors import InputError, in_lines
from actionrec.frames.manifest import Clip, fingerprint, frame_fault, write_manifest
from actionrec.frames.parallel import Layer, Task, make_folders, remove
from actionrec.frames.segments import Source, identity, pictures, read_sources, verdict
from actionrec.frames.videos import SUFFIXES, BadVideo, list_videos, open_video, read_files_table
from actionrec.utils.files import explained_disk_errors, write_bytes

if TYPE_CHECKING:
    from collections.abc import Buffer  # of Python 3.12

    import numpy as np

log = logging.getLogger(__name__)

RGB = Layer(folders=("rgb",), record=Clip, done="done.tsv")


@dataclass(frozen=True)
class Coding:
    """How frames are stored: `fmt` png or jpg, `encoder` of png fpng or cv2, `quality` of jpg.

    `size` is the (width, height) that they are resized to, if any.
    """

    fmt: str = "png"
    encoder: str = "fpng"
    quality: int = 95
    size: tuple[int, int] | None = None

    @property
    def label(self) -> str:
        """Return what the pixels depend on: not on the encoder of a lossless format."""
        form = "png" if self.fmt == "png" else f"jpg {self.quality}"
        return f"{form} {self.size[0]}x{self.size[1]}" if self.size else form


def extract_class(
    videos: Path,
    table: Path,
    frames: Path,
    manifest: Path,
    *,
    fmt: str = "png",
    size: tuple[int, int] | None = None,
    encoder: str = "fpng",
    quality: int = 95,
    tolerate: int = 0,
    workers: int = 1,
) -> None:
    """Write each video's frames to `<frames>/<video>/rgb/000001.<fmt>...`, then the manifest.

    PNG frames are equal to what OpenCV decodes, or with `size`, (width, height), to what TAO's
    reader makes of that. Frames of unchanged videos are kept, those of
    videos that are gone are removed. Raises `InputError`, and writes no manifest, when videos of
    `table` are missing, more than `tolerate` of all are bad or none is good, a worker dies or the
    disk is full; what was finished is kept for the next run.
    """
    sources = {path.stem: Source(path, path.name) for path in _all_videos(videos, table)}
    coding = Coding(fmt, encoder, quality, size and tuple(size))
    _extract(sources, videos, frames, manifest, coding, tolerate, workers)


def extract_cuts(
    table: Path,
    crops: Path | None,
    frames: Path,
    manifest: Path,
    *,
    fmt: str = "png",
    size: tuple[int, int] | None = None,
    encoder: str = "fpng",
    quality: int = 95,
    tolerate: int = 0,
    workers: int = 1,
) -> None:
    """Write the frames of each clip in `table`, cut as it says and cropped as `crops` says.

    Otherwise as `extract_class`.
    """
    coding = Coding(fmt, encoder, quality, size and tuple(size))
    _extract(read_sources(table, crops), table, frames, manifest, coding, tolerate, workers)


def _extract(
    sources: Mapping[str, Source],
    where: Path,
    frames: Path,
    manifest: Path,
    coding: Coding,
    tolerate: int,
    workers: int,
) -> None:
    _keep_only(sources, frames)
    clips = make_folders(frames, RGB, sources, partial(_extract_clip, coding), workers)
    _keep_only({clip.video for clip in clips if clip.usable}, frames)
    _require_good(clips, where, tolerate)
    write_manifest(manifest, clips)
    total = sum(clip.frames for clip in clips)
    log.info("%s: %d frames of %d videos", manifest.stem, total, len(clips))


def _all_videos(videos: Path, table: Path) -> list[Path]:
    """Return the videos of the class, among them all that `table` lists."""
    paths = list_videos(videos) if videos.is_dir() else []
    missing = sorted(read_files_table(table).keys() - {path.name for path in paths})
    if missing:
        raise InputError(
            f"{len(missing)} videos are missing.",
            where=videos,
            found=in_lines(missing),
            fix=f"snakemake -f {table} --cores 1",
        )
    if not paths:
        suffixes = [f"*{suffix}" for suffix in SUFFIXES]
        raise InputError("A class has no videos.", where=videos, allowed=suffixes)
    return paths


def _keep_only(stems: Collection[str], frames: Path) -> None:
    """Remove the folders, flow and all, of videos that are gone or bad."""
    for path in frames.iterdir() if frames.is_dir() else ():
        if path.name not in stems:
            log.info("Removing %s: its video is gone or bad", path)
            remove(path)


def _require_good(clips: Sequence[Clip], where: Path, tolerate: int) -> None:
    bad = sorted(f"{clip.label} {clip.reason}" for clip in clips if not clip.usable)
    if len(bad) > tolerate:
        raise InputError(
            f"{len(bad)} of {len(clips)} videos are bad, {tolerate} are tolerated.",
            where=where,
            found=in_lines(bad, limit=len(bad)),
            fix="replace them, remove them from a folder of your own, or set frames.tolerate "
            f"to {len(bad)} in the config",
        )
    if len(bad) == len(clips):
        raise InputError(
            "A class has no usable video.",
            where=where,
            found=in_lines(bad),
            fix="replace them, or take the class out of dataset.classes",
        )
    for line in bad:
        log.warning("Bad video in %s: %s", where, line)


def _extract_clip(coding: Coding, task: Task) -> Clip:
    """Decode one video below `task.scratch`, or return `task.known` when that is still true."""
    source, rgb = task.source, task.scratch / "rgb"
    path, video, stat = source.path, task.finished.name, source.path.stat()
    digest = identity(source, _fingerprint(path, stat.st_mtime_ns))
    clip = Clip(video, source.file, 0, 0, 0, 0.0, stat.st_size, digest, "", "bad", "cannot be read")
    if not digest:
        return clip
    if task.known and _unchanged(task, digest, coding):
        return replace(task.known, file=source.file)
    try:
        stream = open_video(path, source.start, source.end)
        with explained_disk_errors(task.finished):
            width, height, content = _write_frames(pictures(source, stream.frames), rgb, coding)
        count = sum(1 for _ in rgb.iterdir())
        remark = verdict(source, stream, count)
    except BadVideo as error:
        shutil.rmtree(task.scratch, ignore_errors=True)
        return replace(clip, reason=str(error))
    return replace(
        clip,
        frames=count,
        width=width,
        height=height,
        fps=stream.fps,
        format=coding.label,
        status="warn" if remark else "ok",
        reason=remark,
        content=content,
    )


@lru_cache(maxsize=64)
def _fingerprint(video: Path, modified: int) -> str:
    """Return the hash of a video that many clips may be cut from; `modified` tells its versions."""
    return fingerprint(video)


def _unchanged(task: Task, digest: str, coding: Coding) -> bool:
    same = (task.known.sha256, task.known.format) == (digest, coding.label)
    return same and not frame_fault(task.finished / "rgb", task.known.frames, task.known.suffix)


def _write_frames(
    numbered: "Iterator[tuple[int, np.ndarray]]", folder: Path, coding: Coding
) -> tuple[int, int, str]:
    """Write numbered image files; return the largest (width, height) and the pixels' digest."""
    import numpy as np
    from isal.isal_zlib import crc32  # zlib's figures in a quarter of the time

    encode = make_encoder(coding)
    folder.mkdir(parents=True)
    height = width = 0
    digest = hashlib.sha256()
    for number, frame in numbered:
        frame = resized(frame, coding.size)
        height, width = max(height, frame.shape[0]), max(width, frame.shape[1])
        pixels = np.ascontiguousarray(frame)  # a crop is not
        # Equal clips are to be found, not forgers: a checksum a frame costs a third of a hash.
        digest.update(f"{frame.shape[1]}x{frame.shape[0]} {crc32(pixels)} ".encode())
        write_bytes(f"{folder}/{number:06d}.{coding.fmt}", encode(frame))
    return width, height, digest.hexdigest()


def resized(frame: "np.ndarray", size: tuple[int, int] | None) -> "np.ndarray":
    """Return a (height, width, 3) uint8 frame in `size`, (width, height), as TAO's reader does."""
    if size is None or size == (frame.shape[1], frame.shape[0]):
        return frame
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))


def make_encoder(coding: Coding) -> "Callable[[np.ndarray], Buffer]":
    """Return the function that turns a (height, width, BGR) uint8 frame into a file's bytes."""
    import cv2

    cv2.setNumThreads(1)  # the processes are the parallelism

    def by_opencv(frame: "np.ndarray") -> "Buffer":
        options = [cv2.IMWRITE_JPEG_QUALITY, coding.quality] if coding.fmt == "jpg" else []
        return cv2.imencode(f".{coding.fmt}", frame, options)[1]

    if coding.fmt == "jpg" or coding.encoder == "cv2":
        return by_opencv
    try:
        import fpng
    except ImportError as error:
        log.warning("fpng cannot be loaded (%s): OpenCV writes the PNG files, slower", error)
        return by_opencv

    def by_fpng(frame: "np.ndarray") -> "Buffer":
        try:
            return fpng.from_ndarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        except RuntimeError:
            return by_opencv(frame)

    return by_fpng
