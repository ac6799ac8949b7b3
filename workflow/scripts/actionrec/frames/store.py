"""Read stored frames, the same pixels from either store: image files, or the video itself.

`open_frames` is the only place that knows both. A frame is found in its video by the time at which
it is shown, from the nearest key frame before, and proved by the checksum of its pixels. If that
way leads to other pixels, as a wrong index or a stream without stamps can, the video is decoded in
order, which is how its frames were counted. Where frames were listed by their packets there are no
checksums: that the file is the same proves the video, and its time a frame.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from actionrec.errors import InputError
from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.encoders import resize
from actionrec.frames.references import VideoReference, gone, has_reference, read_reference
from actionrec.frames.segments import FrameSource

if TYPE_CHECKING:
    import numpy as np

    from actionrec.frames.decoder.video import Interlaced, Video

    Numbered = Generator[tuple[int, np.ndarray], None, None]

# Frames, and microseconds, to decode that a jump must save; without an index it opens the file
# again and reads it up to there.
_INDEXED, _OTHERS = (3, 100_000), (8, 500_000)
_SAME_TIME = 1000  # microseconds by which the stamp of a frame may seem to differ


class StoredFrames(Protocol):
    """The frames of one video, numbered from 0: `count` of them."""

    @property
    def count(self) -> int:
        """Return the number of frames."""

    def read(self, ids: Iterable[int] | None = None) -> "Numbered":
        """Yield (index, image) of the frames `ids`, each once and in any order, or of all.

        All frames of what is not cropped come in their order.

        An image is (height, width, 3) uint8, blue, green, red, and may share memory with the
        decoder. Raises `InputError` when a frame is missing, damaged or another one.
        """


def open_frames(rgb: Path, on_read: Callable[[Path], object] | None = None) -> StoredFrames:
    """Return the frames that `<video>/rgb` stands for; `on_read` is told what file is read next.

    Raises `InputError` when there are none.
    """
    if has_reference(rgb):
        return VideoFrames(rgb, read_reference(rgb), on_read)
    return ImageFrames(rgb, on_read)


class ImageFrames:
    """Frames in image files."""

    def __init__(self, rgb: Path, on_read: Callable[[Path], object] | None = None) -> None:
        self._rgb, self._on_read = rgb, on_read
        try:
            self._paths = sorted(rgb.iterdir())
        except OSError as error:
            raise _lost(rgb, error.strerror) from error

    @property
    def count(self) -> int:
        """Return the number of frames."""
        return len(self._paths)

    def read(self, ids: Iterable[int] | None = None) -> "Numbered":
        """Yield (index, image); as `StoredFrames.read`."""
        for index in range(self.count) if ids is None else sorted(set(ids)):
            if index >= self.count:
                raise _lost(self._rgb, f"{self.count} frames")
            if self._on_read:
                self._on_read(self._paths[index])
            yield index, _read_image(self._paths[index])


class VideoFrames:
    """Frames that are decoded from their video."""

    def __init__(
        self, rgb: Path, reference: VideoReference, on_read: Callable[[Path], object] | None = None
    ) -> None:
        self._rgb, self._reference, self._on_read = rgb, reference, on_read
        self._source = reference.source(rgb)
        self._proved = bool(reference.checksums)

    @property
    def count(self) -> int:
        """Return the number of frames."""
        return self._reference.count

    def read(self, ids: Iterable[int] | None = None) -> "Numbered":
        """Yield (index, image); as `StoredFrames.read`."""
        from actionrec.frames.decoder.video import open_video

        missing = set(range(self.count) if ids is None else ids)
        mode: Interlaced = "weave" if self._reference.interlaced == "weave" else "deinterlace"
        self._note()
        try:
            self._require_same_file()
            with open_video(self._source.path, interlaced=mode) as video:
                for run in self._runs(sorted(missing, key=self._time), video.indexed):
                    for index, image in self._by_time(video, run):
                        missing.remove(index)
                        yield index, image
                if missing:
                    yield from self._in_order(video, missing)
                if video.interlaced_frames and not self._proved:
                    raise BadVideo("is interlaced, which its packets did not tell")
            self._require_same_file()  # it may have been written to in the meantime
        except (BadVideo, OSError) as error:
            raise gone(self._reference, self._rgb, f"{error}{self._changed_decoder()}") from error

    def _require_same_file(self) -> None:
        """Raise `BadVideo` for another file, unless pixels will tell."""
        if not self._proved and (fault := self._reference.fault(self._rgb)):
            raise BadVideo(fault)

    def _changed_decoder(self) -> str:
        known, own = self._reference.decoder, decoder_version()
        return "" if known == own else f"; its frames were counted by {known}, this is {own}"

    def _note(self) -> None:
        if self._on_read:
            self._on_read(self._source.path)

    def _time(self, index: int) -> int:
        return self._reference.times[index]

    def _runs(self, ids: Sequence[int], indexed: bool) -> list[list[int]]:
        """Return what to read from a key frame on, each run from its own, but not from the start.

        `ids` are in the order of their times.
        """
        keys = self._reference.keys
        min_frames, min_time = _INDEXED if indexed else _OTHERS
        # What is decoded in order starts with the first frame, which need not be one of the crops.
        last, position = 0, keys[0] if self._source.crops and keys else self._time(0)
        runs: list[list[int]] = [[]]
        for index in ids:
            number, time = self._number(index), self._time(index)
            entry = bisect_right(keys, time)
            saved = keys[entry - 1] - position if entry else 0
            if number - last > min_frames and saved > min_time:
                runs.append([])
            runs[-1].append(index)
            last, position = number, time
        return runs[1:]

    def _number(self, index: int) -> int:
        """Return which frame of the source an image is made of."""
        return self._source.crops[index].frame if self._source.crops else index

    def _by_time(self, video: "Video", ids: Sequence[int]) -> "Numbered":
        """Yield those of the frames that are found by their times, and are the right ones."""
        at: dict[int, list[int]] = {}
        for index in ids:
            at.setdefault(self._time(index), []).append(index)
        times = sorted(at)
        first, last = times[0] / 1e6, times[-1] / 1e6

        def is_time(time: float) -> bool:
            self._note()
            return _nearest(times, time) is not None

        try:
            with closing(video.at(is_time, first, last + 0.02)) as found:
                for frame in found:
                    time = _nearest(times, frame.time)
                    for index, image in self._images(at.pop(time or 0, ()), frame.image):
                        if self._is_right(index, image, frame.time):
                            yield index, image
                    if not at:
                        return
        except BadVideo:
            return  # in order it may be found

    def _in_order(self, video: "Video", ids: Iterable[int]) -> "Numbered":
        """Yield frames as they were counted, from the first on; raise `BadVideo` for others."""
        at: dict[int, list[int]] = {}
        for index in ids:
            at.setdefault(self._number(index), []).append(index)

        def wanted(number: int, _: float) -> bool:
            self._note()
            return number in at

        with closing(video.select(wanted, self._source.start, self._source.end)) as found:
            for number, frame in found:
                for index, image in self._images(at.pop(number), frame.image):
                    if not self._is_right(index, image, frame.time):
                        raise BadVideo(f"its frame {index + 1} is another one now")
                    yield index, image
                if not at:
                    return
        raise BadVideo(f"ends before frame {min(min(ids) for ids in at.values()) + 1}")

    def _images(self, ids: Iterable[int], frame: "np.ndarray") -> "Numbered":
        """Yield the images that are made of one frame."""
        for index in ids:
            yield index, resize(cropped(self._source, index, frame), self._reference.size)

    def _is_right(self, index: int, image: "np.ndarray", time: float) -> bool:
        if self._proved:
            return checksum(image) == self._reference.checksums[index]
        return abs(microseconds(time) - self._time(index)) <= _SAME_TIME


def cropped(source: FrameSource, index: int, frame: "np.ndarray") -> "np.ndarray":
    """Return image `index` of a source, which is the frame itself unless the source has crops."""
    if not source.crops:
        return frame
    crop = source.crops[index]
    return crop.of(crop.scaled(frame))


def decoder_version() -> str:
    """Return what decodes videos, whose pixels may differ from version to version."""
    import av

    return f"PyAV {av.__version__}"


def checksum(image: "np.ndarray") -> int:
    """Return the CRC-32 of an image's pixels."""
    import numpy as np
    from isal.isal_zlib import crc32  # zlib's figures in a quarter of the time

    return int(crc32(np.ascontiguousarray(image)))  # a crop is not contiguous


def microseconds(seconds: float) -> int:
    """Return a time as references have it."""
    return round(1_000_000 * seconds)


def _nearest(times: Sequence[int], seconds: float) -> int | None:
    """Return which of the sorted `times`, in microseconds, is that of a frame, or None."""
    time = microseconds(seconds)
    place = bisect_left(times, time)
    near = times[max(0, place - 1) : place + 1]
    found = min(near, key=lambda other: abs(other - time))
    return found if abs(found - time) <= _SAME_TIME else None


def _read_image(path: Path) -> "np.ndarray":
    import cv2
    import numpy as np

    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise _lost(path, error) from error
    if image is None:
        raise _lost(path, "no image")
    return image


def _lost(path: Path, why: object) -> InputError:
    """Return the error that an image, or a folder of them, cannot be read."""
    return InputError(
        "A frame is damaged." if path.is_file() else "Frames are missing.",
        where=path,
        found=why,
        fix="delete it and run snakemake again, which makes it again",
    )
