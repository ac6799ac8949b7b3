"""Find clips that are the same or look the same, and those that are on two sides of a split."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from actionrec.frames.manifest import FrameRecord

if TYPE_CHECKING:
    import numpy as np

    from actionrec.dataset.split_table import Row

Key = tuple[str, str]  # class, video

LOOKED_AT = (0.1, 0.5, 0.9)  # of a clip's frames
SIDE = 16  # of the grid that a frame is compared by: 256 bits a frame
ALIKE = 0.04  # of the bits may differ: a clip encoded anew differs in 0 to 0.02
FLAT = 4.0  # grey levels of deviation below which a frame shows nothing to compare
MOST = 20_000  # clips compared each with each


def find_duplicates(clips: Mapping[str, Iterable[FrameRecord]]) -> list[list[str]]:
    """Return groups of `<class>/<file>`, or `<class>/<clip>` for a cut, with equal content."""
    groups = defaultdict(list)
    for cls, of_class in clips.items():
        for clip in of_class:
            if clip.usable:
                groups[clip.content or clip.sha256].append(f"{cls}/{clip.display_name}")
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def between_parts(rows: Iterable["Row"]) -> list[list[str]]:
    """Return groups of `<class>/<video> (<part>)` with equal content in different parts."""
    return _across(rows, lambda row: row.sha256)


def leaks(
    rows: Sequence["Row"], films: Mapping[Key, str], alike: Sequence[Sequence[Key]]
) -> dict[str, list[list[str]]]:
    """Return the groups of `<class>/<video> (<part>)` that stand in different parts, by kind.

    `same content`, `same source video` as `films` names it, `look alike` as `alike` groups them.
    """
    group_of = {key: number for number, group in enumerate(alike) for key in group}
    return {
        "same content": between_parts(rows),
        "same source video": _across(rows, lambda row: films.get((row.cls, row.video))),
        "look alike": _across(rows, lambda row: group_of.get((row.cls, row.video))),
    }


def _across(rows: Iterable["Row"], key: Callable[["Row"], Hashable]) -> list[list[str]]:
    groups = defaultdict(list)
    for row in rows:
        if key(row) is not None:
            groups[key(row)].append(row)
    return sorted(
        [f"{row.cls}/{row.video} ({row.part})" for row in group]
        for group in groups.values()
        if len({row.part for row in group}) > 1
    )


def look_alikes(
    clips: Mapping[str, Iterable[FrameRecord]], frames: Path, threads: int = 1
) -> list[list[Key]]:
    """Return groups of (class, video) whose first, middle and last pictures look the same.

    Compares a difference hash of each picture (neighbouring pixels of a small grey copy, which is
    darker): clips that were encoded or scaled anew are found, those that were mirrored or cut
    elsewhere are not. `frames` holds <class>/<video>/rgb. Equal files are not looked at twice.
    """
    import numpy as np

    first: dict[str, tuple[Key, FrameRecord]] = {}
    for cls, of_class in clips.items():
        for clip in of_class:
            if clip.usable:
                first.setdefault(clip.content or clip.sha256, ((cls, clip.video), clip))
    with ThreadPoolExecutor(threads) as pool:
        hashes = list(pool.map(lambda pair: _hash(frames, *pair), first.values()))
    seen = [(key, bits) for (key, _), bits in zip(first.values(), hashes, strict=True) if any(bits)]
    if not seen or len(seen) > MOST:
        return []
    bits = np.array([np.frombuffer(bits, np.uint64) for _, bits in seen])
    return [[seen[index][0] for index in group] for group in _neighbours(bits)]


def frame_path(frames: Path, cls: str, clip: FrameRecord, share: float) -> Path:
    """Return the frame at `share` of a clip's length, between 0 and 1."""
    number = 1 + min(clip.frames - 1, int(share * clip.frames))
    return frames / cls / clip.video / "rgb" / f"{number:06d}.{clip.suffix}"


def _hash(frames: Path, key: Key, clip: FrameRecord) -> bytes:
    """Return the bits of the pictures looked at; empty where one of them is flat or unreadable."""
    import cv2
    import numpy as np

    bits = []
    for share in LOOKED_AT:
        image = cv2.imread(str(frame_path(frames, key[0], clip, share)), cv2.IMREAD_GRAYSCALE)
        if image is None or image.std() < FLAT:
            return b""
        small = cv2.resize(image, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
        bits.append(np.packbits(small[:, 1:] > small[:, :-1]))
    return np.concatenate(bits).tobytes()


def _neighbours(bits: "np.ndarray") -> list[list[int]]:
    """Return the groups of rows, of at least two, that are linked by few differing bits."""
    import numpy as np

    limit = ALIKE * bits.shape[1] * 64
    group = list(range(len(bits)))

    def root(index: int) -> int:
        while group[index] != index:
            index = group[index]
        return index

    for index, row in enumerate(bits):
        distance = np.bitwise_count(bits[index + 1 :] ^ row).sum(axis=1, dtype=np.int64)
        for other in np.flatnonzero(distance <= limit) + index + 1:
            group[root(int(other))] = root(index)
    members: dict[int, list[int]] = defaultdict(list)
    for index in range(len(bits)):
        members[root(index)].append(index)
    return [found for found in members.values() if len(found) > 1]
