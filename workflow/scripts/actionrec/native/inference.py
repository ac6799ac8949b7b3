"""The inference task: what is to be seen in videos without labels."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from actionrec import spec as specs
from actionrec.files import replacing
from actionrec.native import checkpoints, distributed, footprint, launch, progress, transforms
from actionrec.native.clips import FixedClips, equal_batches, load, workers
from actionrec.native.loader import Loader, on_device
from actionrec.native.memory import Memory, spare_memory
from actionrec.native.status import StatusLog
from actionrec.native.videos import Video, list_videos, refuse_small, warn_of_short


def infer(spec: DictConfig, where: Path, log: StatusLog, folder: Path) -> None:
    """Predict the videos of inference.inference_dataset_dir.

    Prints `path : ['label']` a video, one label a clip, as TAO does, and writes
    `folder`/predictions.csv: video, prediction, and a probability for each label, averaged over
    the clips.
    """
    key = "inference.inference_dataset_dir"
    root = Path(specs.require(spec, key, where))
    videos = list_videos(root, key, spec.model.model_type)
    refuse_small(len(videos), spec.inference.batch_size, "predict", "inference.batch_size")
    warn_of_short(videos, spec)
    checkpoint = specs.require(spec, "inference.checkpoint", where)
    log.write(f"Loading checkpoint: {checkpoint}")
    network = checkpoints.load_network(spec, checkpoint, "inference.checkpoint")
    mode, segments = clips_of(spec, spec.inference.video_inf_mode, spec.inference)
    scores = score_videos(
        network,
        videos,
        spec,
        mode=mode,
        segments=segments,
        batch_size=spec.inference.batch_size,
        gpu_ids=spec.inference.gpu_ids,
    )
    names = {index: name for name, index in spec.dataset.label_map.items()}
    for video, clips in zip(videos, scores, strict=True):
        print(f"{video.folder} : {[names[int(index)] for index in clips.argmax(dim=1)]}")
    if launch.rank() == 0:
        _write_predictions(folder / "predictions.csv", videos, scores, names)


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
    # Results do not depend on the batch size: the spec's, TAO's default of 1, is only the least.
    most = max(batch_size, footprint.MOST)
    fitting = footprint.batch_size(network, spec.model, device, most, processes)
    memory = Memory(spare_memory() // processes // max(1, workers(spec)))
    clips = FixedClips(own, spec, memory, mode=mode, segments=segments, once=True)
    batches = equal_batches(clips.lengths, fitting)
    scores: list[list[Tensor]] = [[] for _ in own]
    with progress.bar(len(clips), "clips") as bar:
        for numbers, logits in _logits(network, load(clips, batches, spec), spec, device):
            for number, row in zip(numbers, logits.softmax(dim=1).cpu(), strict=True):
                scores[number].append(row)
            bar.update(len(numbers))
    return distributed.assembled([torch.stack(rows) for rows in scores])


@torch.inference_mode()
def _logits(
    network: nn.Module, loader: Loader, spec: DictConfig, device: torch.device
) -> Iterator[tuple[list[int], Tensor]]:
    for batch in on_device(loader, device):
        yield batch.videos.tolist(), network(transforms.normalise(batch, spec))


def _write_predictions(
    path: Path, videos: list[Video], scores: list[Tensor], names: dict[int, str]
) -> None:
    labels = [names[index] for index in sorted(names)]
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["video", "prediction", *labels])
        for video, clips in zip(videos, scores, strict=True):
            mean = clips.mean(dim=0)
            prediction = labels[int(mean.argmax())]
            writer.writerow([video.folder.name, prediction, *(f"{p:.6f}" for p in mean.tolist())])
