"""The class probabilities of videos, for evaluation and inference.

A GPU scores one batch after another, which worker processes read for it. On a CPU each core reads
and scores batches of its own. If several cores shared a batch, they would wait for each other in
every layer, and longer the busier the machine is with other work.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import Event

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from tqdm import tqdm

from actionrec.native import batch_size, precision, progress
from actionrec.native.batch_size import BatchPlan
from actionrec.native.checkpoints import lightning
from actionrec.native.data import transforms
from actionrec.native.data.datasets import (
    ClipSelection,
    EvalDataset,
    eval_dataloader,
    num_scoring_workers,
)
from actionrec.native.data.frame_memory import FrameMemory, spare_memory
from actionrec.native.data.prefetch import prefetch_to_device
from actionrec.native.data.samplers import equal_length_batches, split_evenly
from actionrec.native.data.videos import Video, warn_of_short_videos
from actionrec.native.distributed import collectives, launch, process_group
from actionrec.native.status import StatusLog
from actionrec.spec.load import require_key


def clip_selection(spec: DictConfig, mode: str, section: DictConfig) -> ClipSelection:
    """Return the clips that a task scores: native.test_segments, else TAO's `mode` and segments.

    `section` is the task's section of the spec.
    """
    if spec.native.test_segments:
        return ClipSelection("segments", spec.native.test_segments)
    return ClipSelection(mode, section.video_num_segments)


def probabilities(logits: Tensor) -> Tensor:
    """Map logits (N, classes) to class probabilities."""
    return logits.softmax(dim=1)


def score_with_checkpoint(
    spec: DictConfig,
    spec_path: Path,
    task: str,
    videos: list[Video],
    selection: ClipSelection,
    log: StatusLog,
) -> list[Tensor]:
    """Return what `score_videos` does, by the checkpoint and the settings of a task.

    Raises `InputError` for a checkpoint that does not fit the spec.
    """
    warn_of_short_videos(videos, spec)
    section, key = spec[task], f"{task}.checkpoint"
    checkpoint = require_key(spec, key, spec_path)
    log.write(f"Loading checkpoint: {checkpoint}")
    return score_videos(
        lightning.load_network(spec, checkpoint, key),
        videos,
        spec,
        selection,
        gpu_ids=section.gpu_ids,
        min_batch_size=section.batch_size,
    )


def score_videos(
    network: nn.Module,
    videos: list[Video],
    spec: DictConfig,
    selection: ClipSelection,
    *,
    gpu_ids: Sequence[int],
    min_batch_size: int = 1,
    activation: Callable[[Tensor], Tensor] = probabilities,
) -> list[Tensor]:
    """Return the class probabilities of each video's clips, (clips, classes), on the CPU.

    Another `activation` of the network's output, (N, values), gives other values in their place.

    The ranks divide the videos among them, and each returns the scores of all. The batches are as
    large as memory allows, whatever TAO's key batch_size says, because results do not depend on
    it. `min_batch_size` only raises the usual maximum.
    """
    shard = launch.shard(videos)
    processes = launch.local_world_size(len(gpu_ids))
    device = process_group.select_device(gpu_ids)
    precision.apply_memory_format(network.to(device).eval(), spec, device)
    frame_bytes = spare_memory() // processes  # measured once, before anything is allocated

    def dataset_of(part: Sequence[Video], num_caches: int) -> EvalDataset:
        """Return the clips of some videos, with memory for one of several frame caches."""
        memory = FrameMemory(frame_bytes // num_caches)
        return EvalDataset(part, spec, memory, selection, only_pass=True)

    # On a CPU each core reads the frames of its batches itself, and never waits for another.
    on_cpu = device.type == "cpu"
    workers = 0 if on_cpu else num_scoring_workers(spec, len(shard), processes)
    dataset = dataset_of(shard, max(1, workers))
    longest_clip = max(dataset.lengths, default=1)
    plan = batch_size.plan_batches(
        network,
        spec.model,
        device,
        max_batch_size=max(min_batch_size, batch_size.MAX_BATCH_SIZE),
        longest_clip=longest_clip,
        processes=processes,
    )
    with progress.progress_bar(len(dataset), "clips") as bar:
        predictor = Predictor(network, device, spec, plan, bar, activation)
        if on_cpu:
            # Parts of about one batch each, as many for each core: they end at the same time.
            clips_per_part = plan.batch_size(longest_clip)
            videos_per_part = max(1, clips_per_part * len(shard) // max(1, len(dataset)))
            parts = split_evenly(shard, videos_per_part, plan.parallel)
            scores = predictor.score_by_cores(parts, lambda part: dataset_of(part, plan.parallel))
        else:
            scores = predictor.score(dataset, workers)
    return collectives.all_gather(scores)


@dataclass(frozen=True)
class Predictor:
    """A network on its device, in evaluation mode, that scores clips as `plan` says."""

    network: nn.Module
    device: torch.device
    spec: DictConfig
    plan: BatchPlan
    bar: tqdm
    activation: Callable[[Tensor], Tensor] = probabilities
    stopped: Event = field(default_factory=Event)  # ends all threads before their next batch

    @torch.inference_mode()
    def score(self, dataset: EvalDataset, num_workers: int = 0) -> list[Tensor]:
        """Return the class probabilities of each video's clips, (clips, classes), on the CPU.

        Raises `CancelledError` when it is stopped.
        """
        batches = equal_length_batches(dataset.lengths, self.plan.batch_size)
        loader = eval_dataloader(dataset, batches, num_workers, self.spec.native.loader_timeout)
        scores: defaultdict[int, list[Tensor]] = defaultdict(list)  # of clips, by video
        # A video's clips may come in several batches, but always in their order.
        for batch in prefetch_to_device(loader, self.device):
            output = self.network(transforms.normalise(batch, self.spec))
            rows = self.activation(output).cpu()
            for video, row in zip(batch.videos.tolist(), rows, strict=True):
                scores[video].append(row)
            self.bar.update(len(batch))
            if self.stopped.is_set():
                raise CancelledError
        return [torch.stack(scores[video]) for video in sorted(scores)]

    def score_by_cores(
        self, parts: list[list[Video]], dataset_of: Callable[[list[Video]], EvalDataset]
    ) -> list[Tensor]:
        """Return the scores of the videos of all parts, each part scored by one core.

        Each core is a thread with a dataset of its own, so nothing but the network is shared. Each
        lets PyTorch use its share of the threads: more than one, if memory allows fewer batches
        than there are cores.
        """
        cores = self.plan.parallel
        threads = max(1, torch.get_num_threads() // cores)
        with ThreadPoolExecutor(
            cores, initializer=torch.set_num_threads, initargs=(threads,)
        ) as pool:
            try:
                scores = pool.map(lambda part: self.score(dataset_of(part)), parts)
                return [*chain.from_iterable(scores)]
            finally:
                # After an error or an interrupt, the executor would wait for all parts to be done.
                self.stopped.set()
