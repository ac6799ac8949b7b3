"""What a network makes of videos that it is not trained on.

A GPU takes the batches that processes read for it, one after another. On a CPU each core reads and
judges batches of its own: cores that share a batch wait for each other in every layer, and the
longer the more else they have to do.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from threading import Event

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from tqdm import tqdm

from actionrec.native import distributed, footprint, launch, precision, progress, transforms
from actionrec.native.clips import FixedClips, equal_batches, load, readers
from actionrec.native.loader import on_device
from actionrec.native.memory import Memory, spare_memory
from actionrec.native.videos import Video


def clips_of(spec: DictConfig, mode: str, task: DictConfig) -> tuple[str, int]:
    """Return the mode and the number of segments by which a task chooses a video's clips.

    `mode` is TAO's, in the spec's section `task`; native.test_segments goes before it.
    """
    if spec.native.test_segments:
        return "segments", spec.native.test_segments
    return mode, task.video_num_segments


def score_videos(
    network: nn.Module,
    videos: list[Video],
    spec: DictConfig,
    *,
    mode: str,
    segments: int,
    batch_size: int,
    gpu_ids: Sequence[int],
) -> list[Tensor]:
    """Return for each video the class probabilities of its clips, (clips, classes).

    Several processes divide the videos among themselves, and each has the whole result.
    """
    own, processes = launch.share(videos), launch.local_size(len(gpu_ids))
    device = distributed.device(gpu_ids)
    network.to(device).eval()
    if precision.channels_last(spec, device):
        precision.lay_out(network)
    clips = partial(FixedClips, spec=spec, mode=mode, segments=segments, once=True)
    lengths = clips(own, memory=Memory(0)).lengths
    longest = max(lengths, default=1)
    # Results do not depend on the batch size: the spec's, TAO's default of 1, is only the least.
    beside, fitting = footprint.batches(
        network,
        spec.model,
        device,
        most=max(batch_size, footprint.MOST),
        longest=longest,
        processes=processes,
    )
    room = spare_memory() // processes // beside
    with progress.bar(len(lengths), "clips") as bar:
        judge = Judge(network, device, spec, clips, fitting, bar, room)
        if device.type == "cpu":
            at_a_time = fitting(longest) * len(own) // max(1, len(lengths))
            scores = _by_cores(judge, own, beside, at_a_time)
        else:
            scores = judge.scores(own, readers(spec))
    return distributed.assembled(scores)


@dataclass(frozen=True)
class Judge:
    """A network on its device, the clips by which it judges videos and how many at a time.

    Frames may take `room` bytes.
    """

    network: nn.Module
    device: torch.device
    spec: DictConfig
    clips: Callable[..., FixedClips]
    batch_size: Callable[[int], int]
    bar: tqdm
    room: int
    stopped: Event = field(default_factory=Event)

    @torch.inference_mode()
    def scores(self, videos: Sequence[Video], workers: int = 0) -> list[Tensor]:
        """Return the probabilities (clips, classes) of each video, whose frames `workers` read.

        Raises `CancelledError` once it is `stopped`.
        """
        clips = self.clips(videos, memory=Memory(self.room // max(1, workers)))
        batches = equal_batches(clips.lengths, self.batch_size)
        scores: list[list[Tensor]] = [[] for _ in videos]
        for batch in on_device(load(clips, batches, workers), self.device):
            logits = self.network(transforms.normalise(batch, self.spec))
            for number, row in zip(batch.videos.tolist(), logits.softmax(dim=1).cpu(), strict=True):
                scores[number].append(row)
            self.bar.update(len(batch))
            if self.stopped.is_set():
                raise CancelledError
        return [torch.stack(rows) for rows in scores]


def _by_cores(judge: Judge, videos: list[Video], cores: int, at_a_time: int) -> list[Tensor]:
    """Have `cores` threads judge the videos in equal parts of up to `at_a_time`, so many each."""
    rounds = -(-len(videos) // (max(1, at_a_time) * cores))
    size = max(1, -(-len(videos) // max(1, rounds * cores)))
    parts = [videos[start : start + size] for start in range(0, len(videos), size)]
    threads = max(1, torch.get_num_threads() // cores)
    with ThreadPoolExecutor(cores, None, torch.set_num_threads, (threads,)) as pool:
        try:
            return [*chain.from_iterable(pool.map(judge.scores, parts))]
        finally:
            judge.stopped.set()
