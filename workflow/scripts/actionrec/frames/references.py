"""Frames that stay in their video: a small file says which they are, in place of images.

`<video>/rgb/video.json` names the video file and the time of each frame. It also holds a checksum
of each frame's pixels, so that what is decoded later is proved to be what the table was made from,
unless `frames.check: quick` left them unknown.
The Snakefile imports this module for `staleness`, so it loads nothing heavy; `store` reads frames.
"""

import base64
import json
import math
import os
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from actionrec.errors import InputError, snakemake_command
from actionrec.frames.segments import Crop, FrameSource
from actionrec.utils.files import sha256, write_bytes

SUFFIX = "video"  # in the place of an image's suffix in tables and formats
NAME = "video.json"

_PACKED = ("times", "keys", "checksums")


@dataclass(frozen=True)
class VideoReference:
    """Which frames of which video file a folder stands for.

    `file` is the video's path from the folder that holds `video.json`, `path` the absolute one:
    the first outlasts that a project is moved or copied, the second that `video.json` is. `bytes`,
    `modified` (ns) and `sha256` are the video file's. `start`, `end` (seconds) and `crops` are as
    in `FrameSource`, `interlaced` as in `open_video`; `size`, if any, is what images are resized
    to, and `width` and `height` are those of the first. `decoder` tells who decoded them.

    `times` holds when each image's frame is shown, in microseconds, `checksums` the CRC-32 of each
    image's pixels, blue, green, red; none, if frames were listed by their packets. `keys` are the
    times of the frames where decoding can start; none, if what a frame looks like depends on where
    decoding started, as with deinterlaced ones.
    """

    file: str
    path: str
    bytes: int
    modified: int
    sha256: str
    start: float
    end: float
    crops: tuple[Crop, ...]
    interlaced: str
    decoder: str
    size: tuple[int, int] | None
    width: int
    height: int
    times: Sequence[int]
    keys: Sequence[int]
    checksums: Sequence[int]

    @property
    def count(self) -> int:
        """Return the number of frames."""
        return len(self.times)

    def source(self, rgb: Path | str) -> FrameSource:
        """Return what the frames are made of; `rgb` is the folder that holds `video.json`."""
        return FrameSource(self.locate(rgb), self.file, self.start, self.end, self.crops)

    def locate(self, rgb: Path | str) -> Path:
        """Return the video file: of the two paths to it that which leads to a file of its size."""
        near, absolute = Path(os.path.realpath(rgb), self.file), Path(self.path)
        for path in (near, absolute):
            if _size(path) == self.bytes:
                return Path(os.path.normpath(path))
        return absolute if absolute.exists() or not near.exists() else near

    def fault(self, rgb: Path | str) -> str:
        """Return what has happened to the video, or "".

        Size and time decide, and the hash where the time is another one: copies have new times.
        """
        path = self.locate(rgb)
        try:
            found = path.stat()
            if found.st_size == self.bytes and (
                found.st_mtime_ns == self.modified
                or _hash(path, found.st_size, found.st_mtime_ns) == self.sha256
            ):
                return ""
        except OSError:
            return f"its video is gone: {path}"
        return f"its video was replaced: {path}"

    def is_of(self, video: Path, rgb: Path | str) -> bool:
        """Tell whether the video file is that very one, untouched since."""
        found = video.stat()
        same = (found.st_size, found.st_mtime_ns) == (self.bytes, self.modified)
        return same and os.path.realpath(self.locate(rgb)) == os.path.realpath(video)


def refer_to(video: Path, at: Path, **facts: Any) -> VideoReference:
    """Return a reference to a video file for the folder that will be `at`."""
    path, found = os.path.realpath(video), video.stat()
    return VideoReference(
        file=os.path.relpath(path, os.path.realpath(at)),
        path=path,
        bytes=found.st_size,
        modified=found.st_mtime_ns,
        **facts,
    )


def moved_to(reference: VideoReference, video: Path, at: Path) -> VideoReference:
    """Return the same reference to a copy of the video, for the folder that will be `at`."""
    path = os.path.realpath(video)
    file = os.path.relpath(path, os.path.realpath(at))
    return replace(reference, file=file, path=path, modified=video.stat().st_mtime_ns)


def write_reference(rgb: Path, reference: VideoReference) -> None:
    """Write `video.json` into a folder."""
    content = {
        **asdict(reference),
        "end": None if reference.end == math.inf else reference.end,
        "crops": [astuple(crop) for crop in reference.crops],
        **{name: _pack(getattr(reference, name)) for name in _PACKED},
    }
    write_bytes(f"{rgb}/{NAME}", (json.dumps(content, indent=1) + "\n").encode())


def has_reference(rgb: Path | str) -> bool:
    """Tell whether a folder's frames are in a video."""
    return os.path.isfile(f"{rgb}/{NAME}")  # noqa: PTH113 -- asked for each of many thousands


def read_reference(rgb: Path | str) -> VideoReference:
    """Return what a folder's `video.json` says; raise `InputError` when it is missing or damaged.

    What it refers to is not looked at.
    """
    path = Path(rgb, NAME)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        end, size = content.pop("end"), content.pop("size")
        found = VideoReference(
            **content
            | {name: _unpack(content[name]) for name in _PACKED}
            | {"crops": tuple(Crop(*crop) for crop in content["crops"])},
            end=math.inf if end is None else end,
            size=None if size is None else (size[0], size[1]),
        )
        if not found.count or len(found.checksums) not in (0, found.count):
            raise ValueError("it lists no frames, or not all of their checksums")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, zlib.error) as error:
        raise InputError(
            "The file that says where a video's frames are cannot be read.",
            where=path,
            found=error,
            fix=f"make it again: {snakemake_command('dataset', '--cores', 1)}",
        ) from error
    return found


def reference_fault(rgb: Path | str, number: int) -> str:
    """Return what is wrong with a folder's `video.json` of `number` frames or its video, or ""."""
    try:
        reference = read_reference(rgb)
    except InputError:
        return f"{NAME} is damaged"
    if reference.count != number:
        return f"expected {number} frames, {NAME} lists {reference.count}"
    return reference.fault(rgb)


def gone(reference: VideoReference, rgb: Path | str, why: object) -> InputError:
    """Return the error that a video does not hold its frames any more."""
    remade = snakemake_command("dataset", "--forcerun", "extract_frames", "--cores", 1)
    fix = f"put the video back, or make the tables again: {remade}"
    if not reference.checksums:  # listed by packets, which tell nothing of damage
        fix += "; with frames.check: full in the configuration that lists all damaged videos"
    return InputError(
        "A video does not hold the frames that were found in it: it is missing, damaged or "
        "replaced.",
        where=reference.locate(rgb),
        found=why,
        fix=fix,
    )


@lru_cache(maxsize=1024)
def _hash(path: Path, size: int, modified: int) -> str:
    return sha256(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _pack(numbers: Sequence[int]) -> str:
    """Return integers as text: steps that are nearly equal, as between times, take little."""
    steps = array("q", (b - a for a, b in zip((0, *numbers), numbers, strict=False)))
    return base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode()


def _unpack(text: str) -> Sequence[int]:
    steps = array("q")
    steps.frombytes(zlib.decompress(base64.b64decode(text)))
    total = 0
    for index, step in enumerate(steps):
        total += step
        steps[index] = total
    return steps
