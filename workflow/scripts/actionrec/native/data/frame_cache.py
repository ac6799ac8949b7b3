"""The prepared frames of videos: decoded, resized, and kept while there is memory for them."""

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing

import numpy as np

from actionrec.native.data.frame_memory import FrameMemory
from actionrec.native.data.frame_reading import read_frames
from actionrec.native.data.videos import Video
from actionrec.native.streams import CHANNELS

# None of these may know a cache: in a cycle its memory would outlast it.
Frames = Generator[tuple[int, np.ndarray], None, None]
Pass = Generator[bool, None, None]
# Of a video, by its index: the frames that are drawn soon, and then those that are drawn later.
Upcoming = Callable[[int], Iterable[np.ndarray]]


class FrameCache:
    """Reads one stream of videos, resized to `sizes` (width, height), and keeps its frames.

    A video is kept if `memory` has space for all its frames; otherwise each read decodes what it
    needs. So does a read of images. A video file is decoded in few passes, since each decodes also
    what lies before a frame: the first read makes one for the frames that are drawn soon, and the
    next read that lacks a frame one for those that are drawn later. A read of a frame that
    `upcoming` did not foresee completes the video. `read_ahead` decodes upcoming frames while
    nothing is asked for.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        stream: str,
        sizes: Sequence[tuple[int, int]],
        memory: FrameMemory,
        *,
        upcoming: Upcoming = lambda video: (),
    ) -> None:
        self._videos, self._stream, self._sizes = videos, stream, sizes
        self._memory, self._upcoming = memory, upcoming
        # Of each video: memory for all frames, which of them are decoded into it, and the passes
        # that are still to come.
        self._pixels: list[np.ndarray | None] = [None] * len(videos)
        self._decoded = [np.zeros(video.count(stream), bool) for video in videos]
        self._passes: dict[int, Iterator[np.ndarray]] = {}
        self._to_read_ahead: deque[int] = deque()  # videos with frames that will be drawn later
        # The pass that `read_ahead` has begun: one at most, so one file at most stays open.
        self._ahead: tuple[int, Pass] | None = None

    def read(self, video: int, ids: np.ndarray) -> list[np.ndarray]:
        """Return the frames `ids` of a video, each (H, W, 3) RGB or (H, W, 2) flow, uint8.

        Raises `InputError` for a damaged image or video.
        """
        pixels = self.load(video, ids)
        if pixels is None:
            # No memory: the frames are decoded for this clip alone, each once if it comes twice.
            frames = dict(self._decode(video, np.unique(ids)))
            return [frames[i] for i in ids]
        return [pixels[i] for i in ids]

    def load(self, video: int, ids: np.ndarray) -> np.ndarray | None:
        """Decode frames of a video into memory, unless they are there; return that of all frames.

        It is (N, H, W, channels), of which at least the frames `ids` are decoded; None if there is
        no space for them. Raises `InputError` for a damaged image or video.
        """
        pixels = self._allocate(video)
        if pixels is not None and not self._decoded[video][ids].all():
            self._fill(video, pixels, ids)
        return pixels

    def read_ahead(self) -> bool:
        """Decode a frame that will be drawn later, of a video that has been read; tell if one was.

        Raises `InputError` for a damaged image or video.
        """
        while self._ahead or self._open_next():
            if self._ahead and next(self._ahead[1], False):
                return True
            self._ahead = None
        return False

    def forget(self, video: int) -> None:
        """Free the memory of a video's frames."""
        if ahead := self._take_ahead(video):
            ahead.close()
        pixels, self._pixels[video] = self._pixels[video], None
        self._decoded[video][:] = False
        if pixels is not None:
            self._memory.release(pixels)

    @property
    def nbytes(self) -> int:
        """The bytes of all frames of all videos, whether they are kept or not."""
        return sum(map(math.prod, map(self._shape, range(len(self._videos)))))

    def _shape(self, video: int) -> tuple[int, int, int, int]:
        width, height = self._sizes[video]
        return len(self._decoded[video]), height, width, CHANNELS[self._stream]

    def _in_file(self, video: int) -> bool:
        """Tell whether the frames are those of a video file, not images."""
        return self._stream == "rgb" and self._videos[video].decoded > 0

    def _allocate(self, video: int) -> np.ndarray | None:
        """Return the memory of a video's frames, or None if there is no space for them."""
        # Asked for again in each read: other videos may have been forgotten since.
        if self._pixels[video] is None:
            self._pixels[video] = self._memory.allocate(self._shape(video))
            if self._pixels[video] is not None:
                self._passes[video] = _passes(self._upcoming(video), self._in_file(video))
                self._to_read_ahead.append(video)
        return self._pixels[video]

    def _fill(self, video: int, pixels: np.ndarray, ids: np.ndarray) -> None:
        """Decode the frames `ids`, and what is best decoded with them, if not in `pixels` yet."""
        deque(self._take_ahead(video) or (), maxlen=0)  # runs it to its end
        missing = self._missing(video, ids)
        if not len(missing):
            return
        if self._in_file(video):
            everything = np.arange(len(self._decoded[video]))
            planned = next(self._passes[video], everything)
            missing = self._missing(video, np.append(missing, planned))
        deque(self._pass(video, pixels, missing), maxlen=0)

    def _take_ahead(self, video: int) -> Pass | None:
        """Return the pass that `read_ahead` has begun, which it leaves, if it is of this video."""
        if self._ahead is None or self._ahead[0] != video:
            return None
        (_, ahead), self._ahead = self._ahead, None
        return ahead

    def _missing(self, video: int, ids: np.ndarray) -> np.ndarray:
        """Return which of the frames `ids` of a video are not decoded, each once."""
        return np.unique(ids[~self._decoded[video][ids]])

    def _open_next(self) -> bool:
        """Open the next pass of `read_ahead`; tell if there is one."""
        while self._to_read_ahead:
            video = self._to_read_ahead[0]
            if (pixels := self._pixels[video]) is not None:
                for ids in self._passes[video]:
                    if len(missing := self._missing(video, ids)):
                        self._ahead = video, self._pass(video, pixels, missing)
                        return True
            self._to_read_ahead.popleft()
        return False

    def _pass(self, video: int, pixels: np.ndarray, ids: np.ndarray) -> Pass:
        return _keep(self._decode(video, ids), pixels, self._decoded[video])

    def _decode(self, video: int, ids: np.ndarray) -> Frames:
        return read_frames(self._videos[video], self._stream, ids.tolist(), self._sizes[video])


def _passes(upcoming: Iterable[np.ndarray], in_file: bool) -> Iterator[np.ndarray]:
    """Yield the upcoming frames of a video, those together that one pass decodes."""
    for ids in upcoming:
        # A pass over images would win nothing, and be in the way of a read.
        yield from [ids] if in_file else np.unique(ids)[:, np.newaxis]


def _keep(frames: Frames, pixels: np.ndarray, decoded: np.ndarray) -> Pass:
    """Write frames into a video's memory, and yield after each.

    They count as `decoded` when all are: in the end it may turn out that the file is another one.
    """
    ids = []
    with closing(frames):
        for index, frame in frames:
            pixels[index] = frame
            ids.append(index)
            yield True
    decoded[ids] = True
