"""Turn the frames of a class into optical flow images in TAO's layout, or NVIDIA's .flo files.

u holds the horizontal and v the vertical motion from each frame to the next, so that N frames have
N-1 images of each, named as the frames are.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from actionrec.errors import InputError, in_lines
from actionrec.frames.flow_manifest import FOLDERS, Flow, flow_faults, write_flow_manifest
from actionrec.frames.manifest import Clip, frame_fault, read_manifest, repair_command
from actionrec.frames.parallel import Layer, Task, make_folders
from actionrec.frames.segments import Source, by_frame, resized
from actionrec.frames.videos import open_video
from actionrec.utils.files import explained_disk_errors

UV = Layer(folders=FOLDERS, record=Flow, done="flow.tsv")
QUALITY = 95  # of the JPEG images: OpenCV's default, which NVIDIA's recipe leaves as it is

PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How flow is made: `method` dis, farneback, tvl1 or flo, `preset` of DIS, and `mapping`."""

    method: str = "dis"
    preset: str = "medium"
    mapping: str = "max_rad"

    @property
    def label(self) -> str:
        """Return the method with all that its flow depends on."""
        return f"dis {self.preset}" if self.method == "dis" else self.method

    @property
    def smallest(self) -> int:
        """Return the shortest side, in pixels, that the method takes.

        On smaller frames DIS picks a pyramid with empty levels and reads beyond its memory.
        """
        coarse = self.method == "dis" and self.preset != "medium"
        return 1 if self.method == "flo" else 32 if coarse else 16


@dataclass(frozen=True)
class _Source:
    """The clip whose frames are used; its .flo files, or what it was cropped from, if so."""

    clip: Clip
    files: tuple[Path, ...] = ()
    cropped: Source | None = None


def extract_flow(
    frames: Path,
    frame_manifest: Path,
    manifest: Path,
    *,
    method: str = "dis",
    preset: str = "medium",
    mapping: str = "max_rad",
    flo: Path | None = None,
    cropped: Mapping[str, Source] | None = None,
    workers: int = 1,
) -> None:
    """Write the flow of each video to `<frames>/<video>/{u,v}/000001.jpg...`, then the manifest.

    Computed from the RGB frames in grey, or for `method` "flo" read from `<flo>/<video>/*.flo`;
    that of clips `cropped` out of videos is computed from whole frames, and cropped alike.
    Flow that is still right is kept. Raises `InputError`, and writes no manifest, when frames are
    not what their manifest says, .flo files are missing or damaged, no video has flow, the method
    is not in this OpenCV, a worker dies or the disk is full.
    """
    recipe = Recipe(method, preset, mapping)
    _require_method(recipe)
    clips = [clip for clip in read_manifest(frame_manifest) if clip.usable]
    _require_frames(clips, frames, frame_manifest)
    files = _flo_files(clips, flo) if flo and method == "flo" else {}
    sources = {
        clip.video: _Source(clip, files.get(clip.video, ()), (cropped or {}).get(clip.video))
        for clip in clips
    }
    start = time.perf_counter()
    flows = make_folders(frames, UV, sources, partial(_make_flow, recipe), workers)
    seconds = time.perf_counter() - start
    _require_some(flows, frames)
    write_flow_manifest(manifest, flows)
    pairs = sum(flow.images for flow in flows)
    log.info("%s: flow of %d pairs in %.1f s (%s)", frames.name, pairs, seconds, recipe.label)


def _require_method(recipe: Recipe) -> None:
    if recipe.method == "tvl1" and not hasattr(cv2, "optflow"):
        raise InputError(
            f"This OpenCV ({cv2.__version__}) comes without TV-L1.",
            where="flow.method",
            found="tvl1",
            allowed=["dis", "farneback", "flo"],
            fix="pip uninstall opencv-python-headless, then pip install --force-reinstall "
            "opencv-contrib-python-headless in the version of envs/requirements.lock",
        )


def _require_frames(clips: Sequence[Clip], frames: Path, frame_manifest: Path) -> None:
    faults = [
        f"{clip.video}: {fault}"
        for clip in clips
        if (fault := frame_fault(frames / clip.video / "rgb", clip.frames, clip.suffix))
    ]
    if faults:
        raise InputError(
            "The frames of a class are not what their manifest says.",
            where=frames,
            found=in_lines(faults),
            fix=repair_command(frame_manifest),
        )


def _require_some(flows: Sequence[Flow], frames: Path) -> None:
    without = sorted(f"{flow.video} {flow.reason}" for flow in flows if not flow.usable)
    if len(without) == len(flows):
        raise InputError(
            "A class has no video with flow.",
            where=frames,
            found=in_lines(without),
            fix="add videos, or take the class out of the experiment's classes",
        )
    for line in without:
        log.warning("No flow in %s: %s", frames, line)


def _flo_files(clips: Sequence[Clip], folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return each video's .flo files in their order once their counts fit the frames."""
    files, faults = {}, []
    for clip in clips:
        found = _numbered(folder / clip.video)
        files[clip.video] = tuple(found)
        if len(found) != clip.frames - 1:
            expected = f"{clip.frames} frames need {clip.frames - 1} .flo files"
            faults.append(f"{clip.video}: {expected}, found {len(found)}")
    if faults:
        raise InputError(
            f"{len(faults)} videos have not one .flo file for each pair of frames.",
            where=folder,
            found=in_lines(faults),
            fix="put them at <flow.path>/<class>/<video>/*.flo, or set flow.method to dis",
        )
    return files


def _numbered(folder: Path) -> list[Path]:
    """Return the .flo files of a folder in the order of the numbers in their names."""
    if not folder.is_dir():
        return []
    return sorted(folder.glob("[!.]*.flo"), key=lambda path: _natural(path.name))


def _natural(name: str) -> list[str | int]:
    """Return a key that sorts 10 after 9: whoever wrote the files may not have padded them."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]


def _make_flow(recipe: Recipe, task: Task) -> Flow:
    """Make one video's flow in `task.scratch`, unless `task.finished` already holds it."""
    clip, files = task.source.clip, task.source.files
    flow = Flow(
        video=clip.video,
        images=clip.frames - 1,
        width=clip.width,
        height=clip.height,
        method=recipe.label,
        mapping=recipe.mapping,
        opencv=cv2.__version__,
        frames=clip.format,
        sha256=_digest(files) if recipe.method == "flo" else clip.sha256,
        status="ok",
        reason="",
    )
    if why := _unfit(task.source, recipe):
        return replace(flow, images=0, status="none", reason=why)
    if task.known == flow and not any(flow_faults(task.finished, flow.images)):
        return flow
    cv2.setNumThreads(1)  # the processes are the parallelism
    mapping = MAPPINGS[recipe.mapping]
    if recipe.method == "flo":
        images = enumerate((mapping(_read_fitting(path, clip)) for path in files), 1)
    elif task.source.cropped:
        images = _cropped_images(task.source.cropped, make_method(recipe), mapping)
    else:
        rgb = sorted((task.finished / "rgb").iterdir())
        images = enumerate(map(mapping, _compute(rgb, make_method(recipe))), 1)
    with explained_disk_errors(task.finished):
        _write_images(images, task.scratch)
    return flow


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _unfit(source: _Source, recipe: Recipe) -> str:
    if source.clip.frames < 2:
        return "has one frame: there is no motion to see"
    of = source.cropped.crops[0] if source.cropped else source.clip
    if min(of.width, of.height) < recipe.smallest:
        size, side = f"{of.width}x{of.height}", recipe.smallest
        return f"has frames of {size}: {recipe.label} needs {side} pixels a side"
    return ""


def _compute(
    frames: Sequence[Path], method: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Iterator[np.ndarray]:
    for first, second in pairwise(_read_grey(path) for path in frames):
        yield method(first, second)


def _cropped_images(
    source: Source,
    method: Callable[[np.ndarray, np.ndarray], np.ndarray],
    mapping: Callable[[np.ndarray], np.ndarray],
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (number, image) of the flow from each picture but the last to its next frame."""
    wanted = by_frame(crop for crop in source.crops if crop.image < len(source.crops))
    frames = resized(source, open_video(source.path).frames)
    greys = (cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames)
    for index, (first, second) in enumerate(pairwise(greys)):
        if index in wanted:
            image = mapping(method(first, second))
            yield from ((crop.image, crop.of(image)) for crop in wanted[index])
        if index == max(wanted):
            return


def _read_grey(path: Path) -> np.ndarray:
    """Return a frame as (height, width) uint8; grey is made of the pixels that training sees."""
    frame = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if frame is None:
        raise InputError(
            "A frame is damaged.",
            where=path,
            fix="delete it and run snakemake again, which makes it anew",
        )
    return cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)


def make_method(recipe: Recipe) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the function from two (height, width) uint8 frames to (height, width, uv) float32.

    The flow is in pixels, positive to the right and downwards. DIS: Kroeger et al. 2016.
    Farneback: 2003. TV-L1: Zach et al. 2007, from OpenCV's contrib modules.
    """

    def dis() -> Any:
        return cv2.DISOpticalFlow_create(PRESETS[recipe.preset])

    if recipe.method == "dis":
        # A new one for each pair costs nothing; an old one remembers the scales of the last pair.
        return lambda first, second: dis().calc(first, second, None)
    if recipe.method == "farneback":
        engine = cv2.FarnebackOpticalFlow_create(
            numLevels=3, pyrScale=0.5, winSize=15, numIters=3, polyN=5, polySigma=1.2
        )
    else:
        engine = cv2.optflow.createOptFlow_DualTVL1()
    return lambda first, second: engine.calc(first, second, None)


def read_flo(path: Path) -> np.ndarray:
    """Return the flow in a .flo file as (height, width, uv) float32, in pixels.

    Middlebury's format, which NVIDIA's optical flow SDK writes. Raises `InputError` when the file
    is cut off or is none, or holds anything but numbers.
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
        allowed=[allowed or usual],
        fix="make the file anew, or set flow.method to dis",
    )


def _read_fitting(path: Path, clip: Clip) -> np.ndarray:
    flow = read_flo(path)
    height, width = flow.shape[:2]
    if (width, height) != (clip.width, clip.height):
        raise _bad_flo(path, f"{width}x{height}", f"{clip.width}x{clip.height}, as the frames are")
    return flow


def max_rad(flow: np.ndarray) -> np.ndarray:
    """Map (height, width, uv) pixels to uint8: 128 is rest, the pair's longest motion the range.

    The default of NVIDIA's recipe (convert_of.py). Motions shorter than a pixel are not stretched.
    """
    longest = max(np.float32(1), np.sqrt(np.square(flow).sum(axis=2)).max())
    return (flow / longest * np.float32(127.999) + 128).astype(np.uint8)


def fixed(flow: np.ndarray) -> np.ndarray:
    """Map (height, width, uv) pixels to uint8: -20 to 0, +20 to 255, what is beyond to the ends.

    As in I3D's data, and the other mapping of NVIDIA's recipe: comparable between pairs.
    """
    return np.around(np.clip(255 * ((flow + 20) / 40), 0, 255)).astype(np.uint8)


MAPPINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"max_rad": max_rad, "fixed": fixed}


def _write_images(numbered: Iterator[tuple[int, np.ndarray]], folder: Path) -> None:
    """Write the two channels of numbered (height, width, uv) uint8 images."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    for number, image in numbered:
        for index, name in enumerate(FOLDERS):
            channel = np.ascontiguousarray(image[..., index])
            code = cv2.imencode(".jpg", channel, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            (folder / name / f"{number:06d}.jpg").write_bytes(code[1].tobytes())
