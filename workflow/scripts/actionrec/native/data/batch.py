"""A batch of clips, and the shared memory that worker processes write it to."""

import math
import mmap
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]  # of one clip, by stream


@dataclass(frozen=True)
class Batch:
    """N clips of equal shape, before normalisation.

    `streams` holds "rgb" (N, T, H, W, 3), "of" (N, T, H, W, 2) or both, uint8. `labels` (N,) are
    class ids, int64. `flips` (N,) tells which clips to mirror. `videos` (N,) are the indices of
    the clips' videos, int64; they stay on the host.
    """

    streams: dict[str, Tensor]
    labels: Tensor
    flips: Tensor
    videos: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device_tensors(self) -> tuple[Tensor, ...]:
        """All tensors but `videos`: those that the network's device needs."""
        return *self.streams.values(), self.labels, self.flips

    def map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        """Return a batch with `function` applied to each of the `device_tensors`."""
        streams = {name: function(stream) for name, stream in self.streams.items()}
        return Batch(streams, function(self.labels), function(self.flips), self.videos.clone())


@dataclass(frozen=True)
class ClipInfo:
    """What a batch holds of a clip besides its pixels; `video` is the index of its video."""

    label: int
    flip: bool
    video: int


class BatchBuffer:
    """Memory for one batch at a time, shared with processes that are forked later.

    It holds up to `max_clips` clips with `max_bytes` of pixels. Labels and video indices (8 bytes
    each) come first, which keeps them aligned, then the flips (1 byte), then the pixels.
    """

    def __init__(self, max_clips: int, max_bytes: int) -> None:
        self._bytes = np.frombuffer(mmap.mmap(-1, max_bytes + 17 * max_clips), np.uint8)
        ends = np.cumsum([8, 8, 1]) * max_clips
        labels, videos, flips, self._pixels = np.split(self._bytes, ends)
        self._labels, self._videos = labels.view(np.int64), videos.view(np.int64)
        self._flips = flips.view(np.bool_)

    def streams(self, count: int, shapes: Shapes) -> dict[str, np.ndarray]:
        """Return where the pixels of `count` clips go: an array (count, *shape) for each stream."""
        arrays, start = {}, 0
        for name, shape in shapes.items():
            end = start + count * math.prod(shape)
            arrays[name] = self._pixels[start:end].reshape(count, *shape)
            start = end
        return arrays

    def set_info(self, position: int, info: ClipInfo) -> None:
        """Write what is known of the clip at a position of the batch."""
        self._labels[position], self._flips[position] = info.label, info.flip
        self._videos[position] = info.video

    def as_batch(self, count: int, shapes: Shapes) -> Batch:
        """Return the buffer's memory as a batch of `count` clips, without a copy."""
        streams = self.streams(count, shapes)
        return Batch(
            {name: torch.from_numpy(pixels) for name, pixels in streams.items()},
            torch.from_numpy(self._labels[:count]),
            torch.from_numpy(self._flips[:count]),
            torch.from_numpy(self._videos[:count]),
        )

    def pin(self) -> None:
        """Page-lock the memory as long as the buffer lives, so that a GPU can copy from it."""
        cuda, address = torch.cuda.cudart(), self._bytes.ctypes.data
        torch.cuda.check_error(cuda.cudaHostRegister(address, self._bytes.nbytes, 0))
        weakref.finalize(self, cuda.cudaHostUnregister, address)
