"""Find videos that are the same or look the same, and those that are in two parts of a split.

Leakage: what a model is tested on must not be known from training, or its score is too high.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from actionrec.dataset.source_videos import Key
from actionrec.frames.manifest import FrameRecord

if TYPE_CHECKING:
    import numpy as np

    from actionrec.dataset.split_table import Row

SAMPLED_AT = (0.1, 0.5, 0.9)  # of a video's frames
_GRID = 16  # cells a side of the grid that a frame is compared by: 256 bits a frame
_MAX_DIFFERENCE = 0.04  # of the bits; in a video that was encoded again 0 to 0.02 differ
_MIN_CONTRAST = 4.0  # grey levels of deviation below which a frame shows nothing to compare
_MAX_VIDEOS = 20_000  # each is compared with each: 20,000 take some 15 s

log = logging.getLogger(__name__)


def find_duplicates(clips: Mapping[str, Iterable[FrameRecord]]) -> list[list[str]]:
    """Return groups of `<class>/<file>`, or `<class>/<video>` of a cut, with equal content."""
    return _names(_equal_groups(clips))


def find_conflicts(clips: Mapping[str, Iterable[FrameRecord]]) -> list[list[str]]:
    """Return those of the duplicates that are in several classes: one label must be wrong."""
    return _names(g for g in _equal_groups(clips) if len({cls for cls, _ in g}) > 1)


def _names(groups: Iterable[Iterable[tuple[str, FrameRecord]]]) -> list[list[str]]:
    return sorted(sorted(f"{cls}/{clip.display_name}" for cls, clip in group) for group in groups)


def _equal_groups(
    clips: Mapping[str, Iterable[FrameRecord]],
) -> Iterator[list[tuple[str, FrameRecord]]]:
    groups = defaultdict(list)
    for cls, of_class in clips.items():
        for clip in of_class:
            if clip.usable:
                groups[clip.content or clip.sha256].append((cls, clip))
    return (group for group in groups.values() if len(group) > 1)


def between_parts(rows: Iterable["Row"]) -> list[list[str]]:
    """Return groups of `<class>/<video> (<part>)` with equal content in different parts."""
    return _across_parts(rows, lambda row: row.sha256)


def leaks(
    rows: Sequence["Row"], sources: Mapping[Key, str], near_duplicates: Sequence[Sequence[Key]]
) -> dict[str, list[list[str]]]:
    """Return the groups of `<class>/<video> (<part>)` that are in different parts, by kind.

    `same content`, `same source video` as `sources` names it, `look alike` as `near_duplicates`
    groups them.
    """
    group_of = {key: number for number, group in enumerate(near_duplicates) for key in group}
    return {
        "same content": between_parts(rows),
        "same source video": _across_parts(rows, lambda row: sources.get((row.cls, row.video))),
        "look alike": _across_parts(rows, lambda row: group_of.get((row.cls, row.video))),
    }


def _across_parts(rows: Iterable["Row"], key: Callable[["Row"], Hashable]) -> list[list[str]]:
    groups = defaultdict(list)
    for row in rows:
        if key(row) is not None:
            groups[key(row)].append(row)
    return sorted(
        [f"{row.cls}/{row.video} ({row.part})" for row in group]
        for group in groups.values()
        if len({row.part for row in group}) > 1
    )


def find_near_duplicates(
    clips: Mapping[str, Iterable[FrameRecord]], frames: Path, threads: int = 1
) -> list[list[Key]]:
    """Return groups of (class, video) whose first, middle and last pictures look the same.

    Compares a difference hash of each picture: which of two neighbours in a small grey copy is
    darker. Finds videos that were encoded or scaled again, not those that were mirrored or cut at
    other times. `frames` holds <class>/<video>/rgb. Equal content is hashed once.
    """
    import numpy as np

    first: dict[str, tuple[Key, FrameRecord]] = {}
    for cls, of_class in clips.items():
        for clip in of_class:
            if clip.usable:
                first.setdefault(clip.content or clip.sha256, ((cls, clip.video), clip))
    with ThreadPoolExecutor(threads) as pool:  # OpenCV reads images without the GIL
        hashes = pool.map(lambda pair: _difference_hash(frames, *pair), first.values())
        known = [(key, found) for (key, _), found in zip(first.values(), hashes, strict=True)]
    hashed = [(key, found) for key, found in known if found]
    if len(hashed) > _MAX_VIDEOS:
        log.warning("More than %d videos: not compared by their looks", _MAX_VIDEOS)
        return []
    if not hashed:
        return []
    # Words of 64 bits, so that a comparison is one exclusive or and one count of bits.
    words = np.array([np.frombuffer(found, np.uint64) for _, found in hashed])
    return [[hashed[index][0] for index in group] for group in _linked_groups(words)]


def frame_path(frames: Path, cls: str, clip: FrameRecord, share: float) -> Path:
    """Return the frame at `share` of a video's length, between 0 and 1."""
    number = 1 + min(clip.frames - 1, int(share * clip.frames))
    return frames / cls / clip.video / "rgb" / f"{number:06d}.{clip.suffix}"


def _difference_hash(frames: Path, key: Key, clip: FrameRecord) -> bytes:
    """Return the bits of the sampled pictures; empty where one of them is flat or unreadable."""
    import cv2
    import numpy as np

    bits = []
    for share in SAMPLED_AT:
        try:  # not by imread, which crashes on a name that is not UTF-8
            data = np.fromfile(frame_path(frames, key[0], clip, share), np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
        except OSError:
            return b""
        if image is None or image.std() < _MIN_CONTRAST:
            return b""
        # One column more than the grid: each bit compares a cell with its right neighbour.
        small = cv2.resize(image, (_GRID + 1, _GRID), interpolation=cv2.INTER_AREA).astype(np.int16)
        bits.append(np.packbits(small[:, 1:] > small[:, :-1]))
    return np.concatenate(bits).tobytes()


def _linked_groups(words: "np.ndarray") -> list[list[int]]:
    """Return the groups of rows, of at least two, that are linked by few differing bits.

    `words` is (videos, words) uint64. Links are transitive: a union-find over all close pairs.
    """
    import numpy as np

    limit = _MAX_DIFFERENCE * words.shape[1] * 64
    parent = list(range(len(words)))

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    for index, row in enumerate(words):
        distance = np.bitwise_count(words[index + 1 :] ^ row).sum(axis=1, dtype=np.int64)
        for other in np.flatnonzero(distance <= limit) + index + 1:
            parent[root(int(other))] = root(index)
    members: dict[int, list[int]] = defaultdict(list)
    for index in range(len(words)):
        members[root(index)].append(index)
    return [group for group in members.values() if len(group) > 1]
