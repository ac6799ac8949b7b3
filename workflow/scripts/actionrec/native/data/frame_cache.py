"""The prepared frames of videos: decoded, resized, and kept while there is memory for them."""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from actionrec.native.data.frame_memory import FrameMemory
from actionrec.native.data.frame_reading import read_frames
from actionrec.native.data.videos import Video
from actionrec.native.streams import CHANNELS

# A read of some frames decodes about half of a video file, and one of all also converts them.
_READS_OF_A_WHOLE = 4


class FrameCache:
    """Reads one stream of videos, resized to `sizes` (width, height), and keeps its frames.

    A video is kept if `memory` has space for all its frames; otherwise each read decodes what it
    needs. `expected_draws` is the number of frames that will be drawn of each video. If it is at
    least the video's length, nearly all of its frames will be drawn, and `read_ahead` decodes them
    while nothing is asked for. A video file that will be read several times is decoded as a whole
    at the first read, since each time decodes also what lies before a frame. `drawn` are the
    frames that will be drawn of some videos, where that is known: those of a video file are
    decoded together.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        stream: str,
        sizes: Sequence[tuple[int, int]],
        memory: FrameMemory,
        *,
        expected_draws: int = 0,
        drawn: Mapping[int, np.ndarray] | None = None,
    ) -> None:
        self._videos, self._stream, self._sizes = videos, stream, sizes
        self._memory, self._expected_draws, self._drawn = memory, expected_draws, drawn or {}
        # Of each video: memory for all frames, which of them are decoded into it, and if all are.
        self._pixels: list[np.ndarray | None] = [None] * len(videos)
        self._decoded = [np.zeros(video.count(stream), bool) for video in videos]
        self._complete = [False] * len(videos)
        self._to_read_ahead: deque[int] = deque()  # videos with frames that will be drawn later

    def read(self, video: int, ids: np.ndarray) -> list[np.ndarray]:
        """Return the frames `ids` of a video, each (H, W, 3) RGB or (H, W, 2) flow, uint8.

        Raises `InputError` for a damaged image.
        """
        pixels = self._pixels[video]
        if not self._complete[video]:
            pixels = self._allocate(video)
            if pixels is not None:
                self._fill(video, pixels, ids)
        if pixels is None:
            # No memory: the frames are decoded for this clip alone, each once if it comes twice.
            frames = dict(self._decode(video, np.unique(ids)))
            return [frames[i] for i in ids]
        return [pixels[i] for i in ids]

    def read_ahead(self) -> bool:
        """Decode a frame that will be drawn later, of a video that has been read; tell if one was.

        Raises `InputError` for a damaged image.
        """
        while self._to_read_ahead:
            video = self._to_read_ahead[0]
            pixels = self._pixels[video]
            if pixels is not None and not self._complete[video]:
                self._fill(video, pixels, np.array([self._decoded[video].argmin()]))
                return True
            self._to_read_ahead.popleft()
        return False

    def all_frames(self, video: int) -> np.ndarray | None:
        """Return all frames of a video, (N, H, W, channels), if all of them are in memory."""
        return self._pixels[video] if self._complete[video] else None

    def forget(self, video: int) -> None:
        """Free the memory of a video's frames."""
        pixels, self._pixels[video] = self._pixels[video], None
        self._complete[video] = False
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

    def _allocate(self, video: int) -> np.ndarray | None:
        """Return the memory of a video's frames, or None if there is no space for them."""
        # Asked for again in each read: other videos may have been forgotten since.
        if self._pixels[video] is None:
            pixels = self._pixels[video] = self._memory.allocate(self._shape(video))
            if pixels is not None and self._expected_draws >= len(self._decoded[video]):
                self._to_read_ahead.append(video)
        return self._pixels[video]

    def _fill(self, video: int, pixels: np.ndarray, ids: np.ndarray) -> None:
        """Decode the frames `ids`, and what is best decoded with them, if not in `pixels` yet."""
        decoded = self._decoded[video]
        wanted = self._to_decode(video, ids)
        # Frames of earlier reads stay in place, so a read adds only what is still missing.
        for i, frame in self._decode(video, wanted[~decoded[wanted]]):
            pixels[i] = frame
            decoded[i] = True
        self._complete[video] = bool(decoded.all())

    def _to_decode(self, video: int, ids: np.ndarray) -> np.ndarray:
        """Return which frames of a video are decoded and kept when `ids` are read."""
        length, draws = len(self._decoded[video]), self._expected_draws
        in_file = self._stream == "rgb" and self._videos[video].decoded > 0
        if in_file and draws >= min(length, _READS_OF_A_WHOLE * len(ids)):
            return np.arange(length)
        return self._drawn[video] if in_file and video in self._drawn else np.unique(ids)

    def _decode(self, video: int, ids: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        # With no frame to decode, nothing is to be opened.
        if not len(ids):
            return iter(())
        return read_frames(self._videos[video], self._stream, ids.tolist(), self._sizes[video])
