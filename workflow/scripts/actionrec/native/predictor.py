"""What a network makes of videos that it is not trained on.

A GPU takes the batches that processes read for it, one after another. On a CPU each core reads and
judges batches of its own: cores that share a batch wait for each other in every layer, and the
longer the more else they have to do.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from threading import Event

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from tqdm import tqdm

from actionrec.native import precision, progress
from actionrec.native.batch_size import MOST, batches
from actionrec.native.data import transforms
from actionrec.native.data.datasets import (
    ClipSelection,
    EvalDataset,
    eval_dataloader,
    num_workers,
)
from actionrec.native.data.frame_memory import FrameMemory, spare_memory
from actionrec.native.data.prefetch import prefetch_to_device
from actionrec.native.data.samplers import equal_length_batches, split_evenly
from actionrec.native.data.videos import Video
from actionrec.native.distributed import collectives, launch, process_group


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
    own, processes = launch.shard(videos), launch.local_world_size(len(gpu_ids))
    device = process_group.select_device(gpu_ids)
    precision.apply_memory_format(network.to(device).eval(), spec, device)
    # A core that judges reads its own frames.
    workers = 0 if device.type == "cpu" else num_workers(spec)
    room = spare_memory() // processes

    def clips_of_part(part: Sequence[Video], share: int) -> EvalDataset:
        memory = FrameMemory(room // share)
        return EvalDataset(part, spec, memory, ClipSelection(mode, segments), only_pass=True)

    clips = clips_of_part(own, max(1, workers))
    longest = max(clips.lengths, default=1)
    # Results do not depend on the batch size: the spec's, TAO's default of 1, is only the least.
    beside, fitting = batches(
        network,
        spec.model,
        device,
        most=max(batch_size, MOST),
        longest=longest,
        processes=processes,
    )
    with progress.progress_bar(len(clips), "clips") as bar:
        judge = Judge(network, device, spec, fitting, bar)
        if device.type == "cpu":
            at_a_time = max(1, fitting(longest) * len(own) // max(1, len(clips)))
            parts = split_evenly(own, at_a_time, beside)
            scores = _by_cores(judge, lambda part: clips_of_part(part, beside), parts, beside)
        else:
            scores = judge.scores(clips, workers)
    return collectives.all_gather(scores)


@dataclass(frozen=True)
class Judge:
    """A network on its device, and how many clips it judges at a time, by their number of frames.

    `stopped` ends its work before the next batch.
    """

    network: nn.Module
    device: torch.device
    spec: DictConfig
    batch_size: Callable[[int], int]
    bar: tqdm
    stopped: Event = field(default_factory=Event)

    @torch.inference_mode()
    def scores(self, clips: EvalDataset, workers: int = 0) -> list[Tensor]:
        """Return the probabilities (clips, classes) of each video, whose frames `workers` read.

        Raises `CancelledError` once it is stopped.
        """
        groups = equal_length_batches(clips.lengths, self.batch_size)
        scores: defaultdict[int, list[Tensor]] = defaultdict(list)
        for batch in prefetch_to_device(eval_dataloader(clips, groups, workers), self.device):
            logits = self.network(transforms.normalise(batch, self.spec))
            for number, row in zip(batch.videos.tolist(), logits.softmax(dim=1).cpu(), strict=True):
                scores[number].append(row)
            self.bar.update(len(batch))
            if self.stopped.is_set():
                raise CancelledError
        return [torch.stack(scores[number]) for number in sorted(scores)]


def _by_cores(
    judge: Judge,
    clips: Callable[[list[Video]], EvalDataset],
    parts: list[list[Video]],
    cores: int,
) -> list[Tensor]:
    """Have `cores` threads judge the parts, each with clips of its own; nothing else is shared."""
    threads = max(1, torch.get_num_threads() // cores)
    with ThreadPoolExecutor(cores, None, torch.set_num_threads, (threads,)) as pool:
        try:
            return [*chain.from_iterable(pool.map(lambda p: judge.scores(clips(p)), parts))]
        finally:
            judge.stopped.set()
