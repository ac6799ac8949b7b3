"""Turn the frames of a class into optical flow images in TAO's layout, or NVIDIA's .flo files.

u holds the horizontal and v the vertical motion from each frame to the next, so that N frames have
N-1 images of each, named as the frames are.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from actionrec.errors import InputError, in_lines
from actionrec.frames.class_folder import hold
from actionrec.frames.decoder.video import Interlaced, open_video
from actionrec.frames.flow_manifest import FOLDERS, FlowRecord, flow_faults, write_flow_manifest
from actionrec.frames.manifest import FrameRecord, frame_fault, read_manifest, repair_command
from actionrec.frames.parallel import ImageKind, Task, make_images
from actionrec.frames.segments import FrameSource, crops_by_frame, scaled_for_crops
from actionrec.frames.store import StoredFrames, open_frames
from actionrec.utils.disk_errors import explained_disk_errors
from actionrec.utils.text import count

UV = ImageKind(folders=FOLDERS, record=FlowRecord, unusable="none", journal="flow.tsv")
QUALITY = 95  # of the JPEG images: OpenCV's default, which NVIDIA's recipe leaves as it is

PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]  # two grey frames -> their flow in pixels
Conversion = Callable[[np.ndarray], np.ndarray]  # flow in pixels -> uint8 images

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FlowSettings:
    """How flow is made: `method` dis, farneback, tvl1 or flo, `preset` of DIS, and `mapping`."""

    method: str
    preset: str
    mapping: str

    @property
    def full_method(self) -> str:
        """Return the method with all that its flow depends on."""
        return f"dis {self.preset}" if self.method == "dis" else self.method

    @property
    def min_side(self) -> int:
        """Return the shortest side, in pixels, that the method takes.

        On smaller frames DIS picks a pyramid with empty levels and reads beyond its memory.
        """
        coarse = self.method == "dis" and self.preset != "medium"
        return 1 if self.method == "flo" else 32 if coarse else 16


@dataclass(frozen=True)
class FlowSource:
    """What a video's flow is made of: its frames, or .flo files, or what it was cropped from."""

    video: FrameRecord
    flo: tuple[Path, ...] = ()
    cropped: FrameSource | None = None


def extract_flow(
    frames: Path,
    frame_manifest: Path,
    manifest: Path,
    settings: FlowSettings,
    *,
    flo: Path | None = None,
    cropped: Mapping[str, FrameSource] | None = None,
    workers: int = 0,
) -> None:
    """Write the flow of each video to `<frames>/<video>/{u,v}/000001.jpg...`, then the manifest.

    Flow is stored as images wherever the frames are: to compute it takes far longer than to decode.
    Computed from the RGB frames in grey, or for the method "flo" read from `<flo>/<video>/*.flo`;
    that of segments `cropped` out of videos is computed from whole frames, and cropped alike.
    Flow that is still right is kept. Raises `InputError`, and writes no manifest, when frames are
    not what their manifest says, .flo files are missing or damaged, no video has flow, the method
    is not in this OpenCV, a worker dies or the disk is full.
    """
    _require_method(settings)
    videos = [record for record in read_manifest(frame_manifest) if record.usable]
    files = _flo_files(videos, flo) if flo and settings.method == "flo" else {}
    sources = {
        record.video: FlowSource(
            record, files.get(record.video, ()), (cropped or {}).get(record.video)
        )
        for record in videos
    }
    with hold(frames) as held:
        _require_frames(videos, frames, frame_manifest)
        start = time.perf_counter()
        records = make_images(held, UV, sources, partial(_make_flow, settings), workers=workers)
        seconds = time.perf_counter() - start
        _require_some(records, frames)
        write_flow_manifest(manifest, records)
    pairs = count(sum(record.images for record in records), "pair")
    log.info("%s: flow of %s in %.1f s (%s)", frames.name, pairs, seconds, settings.full_method)


def _require_method(settings: FlowSettings) -> None:
    if settings.method == "tvl1" and not hasattr(cv2, "optflow"):
        raise InputError(
            f"This OpenCV ({cv2.__version__}) comes without TV-L1.",
            where="flow.method",
            found="tvl1",
            allowed=["dis", "farneback", "flo"],
            fix="pip uninstall opencv-python-headless, then pip install --force-reinstall "
            "opencv-contrib-python-headless in the version of envs/requirements.lock",
        )


def _require_frames(videos: Sequence[FrameRecord], frames: Path, frame_manifest: Path) -> None:
    faults = [
        f"{record.video}: {fault}"
        for record in videos
        if (fault := frame_fault(frames / record.video / "rgb", record.frames, record.suffix))
    ]
    if faults:
        raise InputError(
            "The frames of a class are not what their manifest says.",
            where=frames,
            found=in_lines(faults),
            fix=repair_command(frame_manifest),
        )


def _require_some(records: Sequence[FlowRecord], frames: Path) -> None:
    without = sorted(f"{record.video} {record.reason}" for record in records if not record.usable)
    if len(without) == len(records):
        raise InputError(
            "A class has no video with flow.",
            where=frames,
            found=in_lines(without),
            fix="add videos, or take the class out of the experiment's classes",
        )
    for line in without:
        log.warning("No flow in %s: %s", frames, line)


def _flo_files(videos: Sequence[FrameRecord], folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return each video's .flo files in their order once their counts fit the frames."""
    files, faults = {}, []
    for record in videos:
        found = _in_number_order(folder / record.video)
        files[record.video] = tuple(found)
        if len(found) != record.frames - 1:
            needed = f"{count(record.frames, 'frame')} need {count(record.frames - 1, '.flo file')}"
            faults.append(f"{record.video}: {needed}, found {len(found)}")
    if faults:
        raise InputError(
            f"{count(len(faults), 'video has', 'videos have')} not one .flo file for each pair of "
            "frames.",
            where=folder,
            found=in_lines(faults),
            fix="put them at <flow.path>/<class>/<video>/*.flo, or set flow.method to dis",
        )
    return files


def _in_number_order(folder: Path) -> list[Path]:
    """Return the .flo files of a folder in the order of the numbers in their names."""
    if not folder.is_dir():
        return []
    return sorted(folder.glob("[!.]*.flo"), key=lambda path: _natural(path.name))


def _natural(name: str) -> list[str | int]:
    """Return a key that sorts 10 after 9: the numbers may be written without leading zeros."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]


def _make_flow(settings: FlowSettings, task: Task[FlowSource, FlowRecord]) -> FlowRecord:
    """Make one video's flow in the task's work folder, unless the flow that is there is right."""
    source, video = task.source, task.source.video
    record = FlowRecord(
        video=video.video,
        images=video.frames - 1,
        width=video.width,
        height=video.height,
        method=settings.full_method,
        mapping=settings.mapping,
        opencv=cv2.__version__,
        frames=video.format,
        sha256=_digest(source, settings),
        status="ok",
        reason="",
    )
    if why := _unfit(source, settings):
        return replace(record, images=0, status="none", reason=why)
    # The record holds all that the images depend on: an equal one means equal images.
    if task.known == record and not any(flow_faults(task.folder, record.images)):
        return record
    cv2.setNumThreads(1)  # the processes are the parallelism
    images = _flow_images(source, settings, task.folder / "rgb")
    with explained_disk_errors(task.folder):
        _write_images(images, task.work_folder)
    return record


def _flow_images(
    source: FlowSource, settings: FlowSettings, rgb: Path
) -> Iterator[tuple[int, np.ndarray]]:
    """Return the numbered (height, width, uv) uint8 images of a video's flow."""
    mapping = MAPPINGS[settings.mapping]
    if settings.method == "flo":
        flows: Iterable[np.ndarray] = (_read_fitting(path, source.video) for path in source.flo)
    elif source.cropped:
        mode: Interlaced = "weave" if source.video.woven else "deinterlace"
        return _cropped_images(source.cropped, mode, make_method(settings), mapping)
    else:
        flows = _compute(open_frames(rgb), make_method(settings))
    return enumerate(map(mapping, flows), 1)


def _digest(source: FlowSource, settings: FlowSettings) -> str:
    """Return the SHA-256 of what flow is made of: the pixels of frames, or files."""
    if settings.method != "flo":
        return (not source.cropped and source.video.content) or source.video.sha256
    digest = hashlib.sha256()
    for path in source.flo:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _unfit(source: FlowSource, settings: FlowSettings) -> str:
    """Return why a video can have no flow, or ""."""
    if source.video.frames < 2:
        return "has one frame: there is no motion to see"
    # Flow of crops is computed from the whole frames.
    of = source.cropped.crops[0] if source.cropped else source.video
    if min(of.width, of.height) < settings.min_side:
        size, side = f"{of.width}x{of.height}", settings.min_side
        return f"has frames of {size}: {settings.full_method} needs {side} pixels a side"
    return ""


def _compute(frames: StoredFrames, method: Method) -> Iterator[np.ndarray]:
    # Grey is made of the pixels that training sees.
    greys = (cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for _, image in frames.read())
    for first, second in pairwise(greys):
        yield method(first, second)


def _cropped_images(
    source: FrameSource, interlaced: Interlaced, method: Method, mapping: Conversion
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (number, image) of the flow from each picture but the last to its next frame."""
    # The last picture has no next one: N pictures have N-1 flow images. In a glued segment the next
    # frame of the file is used all the same, as the recipe does, not the next picture.
    wanted = crops_by_frame(crop for crop in source.crops if crop.image < len(source.crops))
    last = max(wanted)
    with open_video(source.path, interlaced=interlaced) as video:
        frames = scaled_for_crops(source, (frame.image for frame in video.frames()))
        greys = (cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames)
        for index, (first, second) in enumerate(pairwise(greys)):
            if index in wanted:
                image = mapping(method(first, second))
                yield from ((crop.image, crop.of(image)) for crop in wanted[index])
            if index == last:
                return


def make_method(settings: FlowSettings) -> Method:
    """Return the function from two (height, width) uint8 frames to (height, width, uv) float32.

    The flow is in pixels, positive to the right and downwards. DIS: Kroeger et al. 2016.
    Farneback: 2003. TV-L1: Zach et al. 2007, from OpenCV's contrib modules.
    """

    if settings.method == "dis":
        preset = PRESETS[settings.preset]

        def dis() -> Any:  # OpenCV's types do not allow the None below
            return cv2.DISOpticalFlow.create(preset)

        # A new one for each pair costs nothing; an old one remembers the scales of the last pair.
        return lambda first, second: dis().calc(first, second, None)
    if settings.method == "farneback":
        engine: Any = cv2.FarnebackOpticalFlow.create(
            numLevels=3, pyrScale=0.5, winSize=15, numIters=3, polyN=5, polySigma=1.2
        )
    else:
        engine = cv2.optflow.createOptFlow_DualTVL1()
    return lambda first, second: engine.calc(first, second, None)


def read_flo(path: Path) -> np.ndarray:
    """Return the flow in a .flo file as (height, width, uv) float32, in pixels.

    Middlebury's format, which NVIDIA's optical flow SDK writes. Raises `InputError` when the file
    is cut off or is none, or holds anything but numbers. By hand: `cv2.readOpticalFlow` (5.0)
    crashes the process on a negative size and on a name that is not UTF-8, allocates whatever size
    is stated, and accepts a file that is too long.
    """
    data = path.read_bytes()
    magic, width, height = np.frombuffer(data[:12].ljust(12, b"\0"), "<f4,<i4,<i4")[0]
    expected = 12 + 8 * int(width) * int(height)
    if magic != np.float32(202021.25) or width < 1 or height < 1 or len(data) != expected:
        raise _bad_flo(path, f"{len(data)} bytes that begin with {data[:12].hex(' ', 4)}")
    flow = np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2)
    if not (np.abs(flow) < 1e9).all():  # Middlebury's mark of an unknown motion; also inf and nan
        raise _bad_flo(path, "motions that are infinite or unknown")
    return flow


def _bad_flo(path: Path, found: str, allowed: str | None = None) -> InputError:
    usual = "202021.25, width, height, then as many pairs of 32-bit floats"
    return InputError(
        "A .flo file cannot be used.",
        where=path,
        found=found,
        allowed=allowed or usual,
        fix="make the file again, or set flow.method to dis",
    )


def _read_fitting(path: Path, video: FrameRecord) -> np.ndarray:
    flow = read_flo(path)
    size, expected = f"{flow.shape[1]}x{flow.shape[0]}", f"{video.width}x{video.height}"
    if size != expected:
        raise _bad_flo(path, size, f"{expected}, as the frames are")
    return flow


def max_rad(flow: np.ndarray) -> np.ndarray:
    """Map (height, width, uv) pixels to uint8: 128 is rest, the pair's longest motion the range.

    The default of NVIDIA's recipe (convert_of.py). Motions shorter than a pixel are not stretched.
    """
    # 127.999, not 128: the longest motion itself must not wrap around from 256 to 0.
    longest = max(np.float32(1), np.sqrt(np.square(flow).sum(axis=2)).max())
    return (flow / longest * np.float32(127.999) + 128).astype(np.uint8)


def fixed(flow: np.ndarray) -> np.ndarray:
    """Map (height, width, uv) pixels to uint8: -20 to 0, +20 to 255, what is beyond to the ends.

    As in I3D's data, and the other mapping of NVIDIA's recipe: comparable between pairs.
    """
    return np.around(np.clip(255 * ((flow + 20) / 40), 0, 255)).astype(np.uint8)


MAPPINGS: Mapping[str, Conversion] = {"max_rad": max_rad, "fixed": fixed}


def _write_images(numbered: Iterator[tuple[int, np.ndarray]], folder: Path) -> None:
    """Write the two channels of numbered (height, width, uv) uint8 images."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    for number, image in numbered:
        for index, name in enumerate(FOLDERS):
            channel = np.ascontiguousarray(image[..., index])
            code = cv2.imencode(".jpg", channel, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            (folder / name / f"{number:06d}.jpg").write_bytes(code[1].tobytes())
