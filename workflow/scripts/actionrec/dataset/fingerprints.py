"""Compare videos by their looks: copies, mirrored copies, and videos of one camera or place.

A copy that was encoded or scaled again has other bytes and nearly the same pictures. Its first,
middle and last picture are compared by a difference hash: which of two neighbours in a small grey
copy is clearly brighter. The hash of the mirrored picture finds what was mirrored. Of 152 videos of
yoga it found all 55 that their owner had mirrored, and no other pair: of a copy at most 0.3 % of
the bits differed, of other pairs at least 1.6 %.

A place is compared by the median of five pictures, in which what moves is gone, and of that by the
directions of its edges, which light and exposure change little. On 300 surveillance videos of 144
known cameras it found 90 % of the pairs of one camera, and 4 of 44,412 pairs of two cameras.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from actionrec.dataset.source_videos import Key
from actionrec.errors import InputError
from actionrec.frames.manifest import FrameRecord
from actionrec.frames.store import open_frames

if TYPE_CHECKING:
    import numpy as np

SAMPLED_AT = (0.1, 0.5, 0.9)  # of a video's frames, for its hash
_PLACE_AT = (0.1, 0.3, 0.5, 0.7, 0.9)  # for its place
_GRID = 16  # cells a side of the grid that a frame is compared by: 256 bits a frame
_CLEAR = 2  # grey levels from which a cell is clearly brighter: encoding again changes less
_MAX_DIFFERENCE = 0.01  # of the bits that are clear in both
_MIN_BITS = 64  # that are clear in both, of 768
_MIN_CONTRAST = 4.0  # grey levels of deviation below which a frame shows nothing to compare
_PLACE_SIDE = 32  # pixels a side of the median picture
_SAME_PLACE = 0.55  # correlation of edge directions
_MAX_VIDEOS = 20_000  # each is compared with each: 5,000 take 20 s, 20,000 some 5 minutes
_BLOCK = 512  # videos at a time

log = logging.getLogger(__name__)


class Fingerprint(NamedTuple):
    """What a video looks like: its hash and its mirror image's, and its place.

    A hash is (2, words) uint64: which cell is brighter, and where that is clear.
    """

    hash: "np.ndarray"
    mirrored: "np.ndarray"
    place: "np.ndarray"


@dataclass(frozen=True)
class Alike:
    """Groups of (class, video) that look alike, and how many videos were compared.

    `copies` are nearly equal. `mirrored` holds groups in which some are nearly equal to another's
    mirror image. `places` are of one camera or place. `flat` showed nothing to compare, and `many`
    tells that there were too many to compare any. `undecoded` were listed by their packets: most of
    each would have to be decoded to compare it.
    """

    copies: list[list[Key]] = field(default_factory=list)
    mirrored: list[list[Key]] = field(default_factory=list)
    places: list[list[Key]] = field(default_factory=list)
    compared: int = 0
    flat: int = 0
    many: bool = False
    undecoded: int = 0


def find_alike(
    records: Mapping[str, Iterable[FrameRecord]], frames: Path, threads: int = 1
) -> Alike:
    """Return which videos look alike; equal content is compared once.

    `frames` holds <class>/<video>/rgb. Copies that were cut at other times are not found.
    """
    import numpy as np

    usable = [(cls, record) for cls, of in records.items() for record in of if record.usable]
    undecoded = sum(record.undecoded for _, record in usable)
    first = _first_of_equal(usable)
    if len(first) > _MAX_VIDEOS:
        log.warning("More than %d videos: not compared by their looks", _MAX_VIDEOS)
        return Alike(flat=len(first), many=True, undecoded=undecoded)
    known = _fingerprints(first, frames, threads)
    if not known:
        return Alike(flat=len(first), undecoded=undecoded)
    keys = list(known)
    hashes, mirrored, places = (np.array(part) for part in zip(*known.values(), strict=True))
    copies = _groups(len(keys), _close(hashes, hashes))
    # A picture that is its own mirror image is a copy of a copy both ways, and nothing is mirrored.
    turned = [
        (index, others[copies[others] != copies[index]])
        for index, others in _close(hashes, mirrored)
    ]
    some_mirrored = {int(i) for index, others in turned if len(others) for i in (index, *others)}
    return Alike(
        copies=_named(copies, keys),
        mirrored=_named(_groups(len(keys), turned, copies), keys, some_mirrored),
        places=_named(_groups(len(keys), _correlated(places)), keys),
        compared=len(keys),
        flat=len(first) - len(keys),
        undecoded=undecoded,
    )


def _first_of_equal(usable: Iterable[tuple[str, FrameRecord]]) -> dict[Key, FrameRecord]:
    """Return the decoded videos of classes, of those with equal content the first."""
    first: dict[str, tuple[Key, FrameRecord]] = {}
    for cls, record in usable:
        if not record.undecoded:
            first.setdefault(record.content or record.sha256, ((cls, record.video), record))
    return dict(first.values())


def _fingerprints(
    videos: Mapping[Key, FrameRecord], frames: Path, threads: int
) -> dict[Key, Fingerprint]:
    """Return what each video looks like, of those that show something."""
    with ThreadPoolExecutor(threads) as pool:  # OpenCV reads images without the GIL
        found = pool.map(lambda video: _fingerprint(frames, *video), videos.items())
        return {key: looks for key, looks in zip(videos, found, strict=True) if looks}


def frame_index(record: FrameRecord, share: float) -> int:
    """Return which frame is at `share` of a video's length, between 0 and 1; the first is 0."""
    return min(record.frames - 1, int(share * record.frames))


def _fingerprint(frames: Path, key: Key, record: FrameRecord) -> Fingerprint | None:
    """Return what a video looks like; None where a sampled picture is flat or unreadable."""
    import numpy as np

    found = _greys(frames.joinpath(*key, "rgb"), [frame_index(record, at) for at in _PLACE_AT])
    if not found or any(image.std() < _MIN_CONTRAST for image in found.values()):
        return None
    pictures = {share: found[frame_index(record, share)] for share in _PLACE_AT}
    hashed = [pictures[share] for share in SAMPLED_AT]
    shape = pictures[SAMPLED_AT[0]].shape
    same_size = [image for image in pictures.values() if image.shape == shape]
    return Fingerprint(
        _difference_hash(hashed),
        _difference_hash([image[:, ::-1] for image in hashed]),
        _edges(np.median(same_size, axis=0)),
    )


def _greys(rgb: Path, ids: Sequence[int]) -> "dict[int, np.ndarray]":
    """Return the grey frames `ids` of a video; none when they cannot be read."""
    import cv2

    try:
        found = open_frames(rgb).read(ids)
        return {index: cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for index, image in found}
    except InputError:
        return {}


def _difference_hash(images: "Sequence[np.ndarray]") -> "np.ndarray":
    """Return which cells of the pictures are brighter than the next, and where that is clear.

    That is (2, words) uint64: a comparison of 64 cells is a few operations.
    """
    import cv2
    import numpy as np

    brighter, clear = [], []
    for image in images:
        # One column more than the grid: each bit compares a cell with its right neighbour.
        small = cv2.resize(image, (_GRID + 1, _GRID), interpolation=cv2.INTER_AREA).astype(np.int16)
        steps = np.diff(small, axis=1)
        brighter.append(np.packbits(steps > 0))
        clear.append(np.packbits(np.abs(steps) >= _CLEAR))
    return np.array([np.concatenate(brighter), np.concatenate(clear)]).view(np.uint64)


def _edges(image: "np.ndarray") -> "np.ndarray":
    """Return the directions of a picture's edges as a vector of length 1; faint ones count less."""
    import cv2
    import numpy as np

    side = (_PLACE_SIDE, _PLACE_SIDE)
    small = cv2.resize(image.astype(np.float32), side, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 1.0)
    slopes = np.stack([cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1)])
    strength = np.hypot(*slopes)
    edges = (slopes / (strength + np.median(strength) + 1e-3)).ravel()
    return (edges / (np.linalg.norm(edges) + 1e-6)).astype(np.float32)


def _close(hashes: "np.ndarray", others: "np.ndarray") -> "Iterator[tuple[int, np.ndarray]]":
    """Yield each row with the later rows of `others` from which few clear bits differ.

    Both are (videos, 2, words) uint64.
    """
    import numpy as np

    def bits(words: "np.ndarray") -> "np.ndarray":
        return np.bitwise_count(words).sum(axis=1, dtype=np.int64)

    for index, (brighter, clear) in enumerate(hashes):
        later = others[index + 1 :]
        both = later[:, 1] & clear
        compared, differing = bits(both), bits((later[:, 0] ^ brighter) & both)
        near = (compared >= _MIN_BITS) & (differing <= _MAX_DIFFERENCE * compared)
        yield index, np.flatnonzero(near) + index + 1


def _correlated(vectors: "np.ndarray") -> "Iterator[tuple[int, np.ndarray]]":
    """Yield each row of (videos, length) float32 with the later rows that are of one place."""
    import numpy as np

    for start in range(0, len(vectors), _BLOCK):
        found = vectors[start : start + _BLOCK] @ vectors[start:].T > _SAME_PLACE
        for row, near in enumerate(found):
            yield start + row, np.flatnonzero(near[row + 1 :]) + start + row + 1


def _groups(
    number: int,
    links: "Iterable[tuple[int, np.ndarray]]",
    start: "np.ndarray | None" = None,
) -> "np.ndarray":
    """Return the label of each row's group: links are transitive, and those of `start` hold."""
    import numpy as np

    labels = np.arange(number) if start is None else start.copy()
    for index, others in links:
        joined = np.unique(np.append(labels[others], labels[index]))
        if len(joined) > 1:
            labels[np.isin(labels, joined)] = joined[0]
    return labels


def _named(
    labels: "np.ndarray", keys: Sequence[Key], with_one_of: set[int] | None = None
) -> list[list[Key]]:
    """Return the groups of at least two; only those that hold one of these rows, if given."""
    members: dict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(labels.tolist()):
        members[label].append(index)
    return [
        [keys[index] for index in group]
        for group in members.values()
        if len(group) > 1 and (with_one_of is None or not with_one_of.isdisjoint(group))
    ]
