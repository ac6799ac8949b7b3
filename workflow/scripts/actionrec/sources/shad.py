"""Read SHAD's annotations, who does what when and where, and list people to crop: `source: shad`.

The Shanghai human action dataset has <root>/<Class>-train/video/<video> and, for each of them,
Annotations/<video>/<video>-multi.txt and -NNNN.xml. The steps are those of NVIDIA's recipe
(preprocess_SHAD.sh): boxes are interpolated, time is divided into chunks of ten frames, each of one
action.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import xmltodict

from actionrec.errors import InputError, in_lines, snakemake_command, some
from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.segments import Crop, Segment, write_crops, write_segments
from actionrec.frames.videos import list_videos
from actionrec.utils.text import count

CLASSES = ("walk", "fall", "sits", "squa", "bend")  # the actions of its annotations
CHUNK = 10  # frames that have one action
DECIDING = 5  # the frame of a chunk, from 0, whose action is the chunk's
MARGIN = 0.1  # of a box's width, added on each side

Box = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax in pixels

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Span:
    """One person does one thing from frame `first` to frame `last`, counted from 0."""

    person: int
    action: str
    first: int
    last: int


@dataclass(frozen=True)
class Annotation:
    """What is known of a video: its (width, height), spans, and person -> frame -> box."""

    size: tuple[int, int]
    spans: tuple[Span, ...]
    boxes: Mapping[int, Mapping[int, Box]]


@dataclass(frozen=True)
class Chunk:
    """Ten frames of one person from `start`, and what the person does in them."""

    person: int
    action: str
    start: int


def require_classes(classes: Collection[str], where: str) -> None:
    """Raise `InputError` for a class that SHAD does not have; `where` names the key in it."""
    if extra := set(classes) - set(CLASSES):
        raise InputError(
            "SHAD has no such class.",
            where=where,
            found=min(extra),
            allowed=CLASSES,
            fix=f"correct it, then look at the plan: {snakemake_command('-n')}",
        )


def list_shad(
    root: Path,
    tables: Mapping[str, Path],
    crops: Mapping[str, Path],
    sequences: str,
) -> None:
    """Write each class's segments to `tables` and the pictures they consist of to `crops`.

    `sequences` "track" makes a segment of each stretch of adjacent chunks in which a person does
    one thing, "glued" one of all such stretches of a video, person by person, as the recipe does.
    A warning names the annotations that cannot be used. Raises `InputError`, and writes nothing,
    when `root` holds no such dataset, two videos have one name, or a class has no segment.
    """
    segments: dict[str, list[Segment]] = {cls: [] for cls in tables}
    pictures: dict[str, list[Crop]] = {cls: [] for cls in tables}
    faults = []
    for name, (video, folder) in sorted(_videos(root).items()):
        try:
            annotation = read_annotation(folder, name)
        except BadAnnotation as error:
            faults.append(f"{name}: {error}")
            continue
        chunks = [c for c in find_chunks(annotation, _frames(video)) if c.action in tables]
        for segment, of_segment in _sequences(name, chunks, sequences):
            cls = of_segment[0].action
            found = _crops(segment, of_segment, annotation)
            if not found:
                faults.append(f"{segment}: its boxes are empty or outside of the frames")
                continue
            segments[cls].append(Segment(segment, str(video), video.stat().st_size))
            pictures[cls] += found
    for fault in faults:
        log.warning("Not used: %s", fault)
    _require_segments(segments, root, faults)
    for cls in tables:
        write_crops(crops[cls], pictures[cls])
        write_segments(tables[cls], segments[cls])


class BadAnnotation(Exception):
    """Say why the annotations of a video cannot be used."""


def annotation_files(root: Path) -> list[str]:
    """Return the annotation texts, and the folders whose times tell of added and lost files.

    Raises `InputError` when there is no SHAD dataset.
    """
    _class_folders(root)
    folders = sorted(root.glob("*-train/Annotations/*"))
    return [str(path) for path in [*folders, *root.glob("*-train/Annotations/*/*-multi.txt")]]


def _class_folders(root: Path) -> list[Path]:
    folders = sorted(folder for folder in root.glob("*-train") if (folder / "video").is_dir())
    if not folders:
        raise InputError(
            "There is no SHAD dataset.",
            where="dataset.path",
            found=root,
            allowed="<path>/<Class>-train/video/<video>, <path>/<Class>-train/Annotations/<video>",
            fix="unpack SHAD's archives there, for example Bend-train.rar: unrar x Bend-train.rar",
        )
    return folders


def _videos(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return name -> video and the folder of its annotations."""
    videos: dict[str, tuple[Path, Path]] = {}
    equal = []
    for folder in _class_folders(root):
        for video in list_videos(folder / "video"):
            # Annotations are found by the name without suffix, so that must be unique here.
            if video.stem in videos:
                equal.append(f"{video} = {videos[video.stem][0]}")
            videos[video.stem] = video, folder / "Annotations" / video.stem
    if equal:
        raise InputError(
            "Two videos have one name.", where=root, found=in_lines(equal), fix="rename one of them"
        )
    return videos


def _frames(video: Path) -> int | None:
    """Return how many frames a video has; None for a bad one, which its extraction reports."""
    from actionrec.frames.decoder.video import open_video  # FFmpeg is for who reads videos

    try:
        with open_video(video) as opened:
            return sum(1 for _ in opened.frames())
    except BadVideo:
        return None


def read_annotation(folder: Path, name: str) -> Annotation:
    """Return the content of one video's files; raise `BadAnnotation` when they cannot be used."""
    text = folder / f"{name}-multi.txt"
    if not text.is_file():
        raise BadAnnotation(f"has no {text}")
    spans = read_spans(text.read_text(encoding="latin-1"), text)
    boxes: dict[int, dict[int, Box]] = defaultdict(dict)
    sizes = set()
    for path in sorted(folder.glob("[!.]*.xml")):
        frame, size, people = read_boxes(path)
        sizes.add(size)
        for person, box in people.items():
            boxes[person][frame] = box
    if len(sizes) != 1:
        found = some([f"{width}x{height}" for width, height in sorted(sizes)]) or "no XML file"
        raise BadAnnotation(f"the annotations should state one size of frames, found: {found}")
    filled = {person: interpolate(of_person) for person, of_person in boxes.items()}
    return Annotation(sizes.pop(), tuple(spans), filled)


def read_spans(text: str, where: object = "") -> list[Span]:
    """Return the spans of an annotation text: person, action, first and last frame a line.

    Commas and blanks separate them in any mixture; a warning names a line that is no span.
    """
    spans = []
    for line in text.splitlines():
        tokens = re.split(r"\W+", line.strip())
        if len(tokens) >= 4 and all(re.fullmatch(r"\d{1,9}", tokens[i]) for i in (0, 2, 3)):
            person, action, first, last = tokens[:4]
            spans.append(Span(int(person), action.lower(), int(first), int(last)))
        elif line.strip():
            log.warning("No span of an action in %s: %r", where, line)
    return spans


def read_boxes(path: Path) -> tuple[int, tuple[int, int], dict[int, Box]]:
    """Return frame number, (width, height) and person -> box of one annotated frame.

    Raises `BadAnnotation` when the file is no such annotation.
    """
    try:
        root = xmltodict.parse(path.read_bytes())["xml"]
        frame = int(root["source"]["framenum"])
        size = int(root["size"]["width"]), int(root["size"]["height"])
        people = root.get("pedestriandescription") or {}
        ids, boxes = _items(people.get("ID")), _items(people.get("bndbox"))
        if len(ids) != len(boxes) or min(frame, *size) < 0:
            raise ValueError(f"{count(len(ids), 'ID')} and {count(len(boxes), 'box')}")
        found = {int(person): _box(box) for person, box in zip(ids, boxes, strict=True)}
    except (ExpatError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadAnnotation(f"{path.name} cannot be read: {error!r}") from error
    return frame, size, found


def _box(node: Mapping[str, str]) -> Box:
    return float(node["xmin"]), float(node["ymin"]), float(node["xmax"]), float(node["ymax"])


def _items(node: Any) -> list[Any]:
    """Return the values of one or several people as a list: xmltodict makes one of several only."""
    if isinstance(node, Mapping) and "item" in node:
        node = node["item"]
    if node is None:
        return []
    return node if isinstance(node, list) else [node]


def interpolate(boxes: Mapping[int, Box]) -> dict[int, Box]:
    """Return a box for each frame between annotated ones, corner by corner on a straight line."""
    filled = dict(boxes)
    for left, right in pairwise(sorted(boxes)):
        for frame in range(left + 1, right):
            share = (frame - left) / (right - left)
            corners = zip(boxes[left], boxes[right], strict=True)
            xmin, ymin, xmax, ymax = (a + share * (b - a) for a, b in corners)
            filled[frame] = xmin, ymin, xmax, ymax
    return filled


def find_chunks(annotation: Annotation, frames: int | None) -> list[Chunk]:
    """Return the chunks of a video's people that have one of SHAD's actions, person by person.

    A chunk needs a box and a picture also at the frame after its last one; `frames` is how many
    pictures the video has, None if that is unknown.
    """
    actions: dict[int, dict[str, list[Span]]] = {}
    for span in annotation.spans:
        actions.setdefault(span.person, {}).setdefault(span.action, []).append(span)
    chunks = []
    for person, of_person in actions.items():
        boxes = annotation.boxes.get(person, {})
        # The clock of a person starts with the first box, whatever is done then; a gap in the boxes
        # ends it for good.
        start = min(boxes, default=0)
        while start + CHUNK in boxes and (frames is None or start + CHUNK < frames):
            action = _action(of_person, start + DECIDING)
            if action in CLASSES:
                chunks.append(Chunk(person, action, start))
            start += CHUNK
    return chunks


def _action(actions: Mapping[str, Sequence[Span]], frame: int) -> str | None:
    """Return the action at a frame, the first listed one if there are several."""
    for action, spans in actions.items():
        if any(span.first <= frame <= span.last for span in spans):
            return action
    return None


def _sequences(
    video: str, chunks: Sequence[Chunk], sequences: str
) -> Iterator[tuple[str, list[Chunk]]]:
    """Yield name and chunks of each segment that a video's chunks make."""
    if sequences == "glued":
        for action in dict.fromkeys(chunk.action for chunk in chunks):
            yield video, [chunk for chunk in chunks if chunk.action == action]
        return
    stretch: list[Chunk] = []
    for chunk in chunks:
        if stretch and chunk != replace(stretch[-1], start=stretch[-1].start + CHUNK):
            yield _stretch_name(video, stretch), stretch
            stretch = []
        stretch.append(chunk)
    if stretch:
        yield _stretch_name(video, stretch), stretch


def _stretch_name(video: str, chunks: Sequence[Chunk]) -> str:
    return f"{video}_person{chunks[0].person}_{chunks[0].start:06d}"


def _crops(segment: str, chunks: Sequence[Chunk], annotation: Annotation) -> list[Crop]:
    """Return the pictures of a segment in their order; none if one of them would be empty."""
    width, height = annotation.size
    crops: list[Crop] = []
    for chunk in chunks:
        for frame in range(chunk.start, chunk.start + CHUNK):
            box = widen(annotation.boxes[chunk.person][frame], width, height)
            if box[0] >= box[2] or box[1] >= box[3]:
                return []
            crops.append(Crop(segment, len(crops) + 1, frame, width, height, *box))
    return crops


def widen(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Return a box with a margin, in whole pixels of a frame of `width` x `height`.

    Each side moves by a tenth of the box's width, but only if it stays inside of the frame.
    """
    xmin, ymin, xmax, ymax = box
    margin = MARGIN * (xmax - xmin)
    return (
        _clamped(xmin - margin if xmin - margin >= 0 else xmin, width),
        _clamped(ymin - margin if ymin - margin >= 0 else ymin, height),
        _clamped(xmax + margin if xmax + margin < width else xmax, width),
        _clamped(ymax + margin if ymax + margin < height else ymax, height),
    )


def _clamped(side: float, limit: int) -> int:
    return min(int(max(0.0, side)), limit)


def _require_segments(
    segments: Mapping[str, Collection[Segment]], root: Path, faults: Sequence[str]
) -> None:
    empty = [cls for cls, of_class in segments.items() if not of_class]
    if empty:
        raise InputError(
            "SHAD has no segment of a class.",
            where=root,
            found=some(empty) + ("; not used: " + in_lines(faults) if faults else ""),
            fix="unpack the archives of these classes, or take them out of dataset.classes",
        )
