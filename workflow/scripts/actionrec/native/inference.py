"""The inference task: what is to be seen in videos without labels."""

import csv
from collections.abc import Iterator
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from actionrec import spec as specs
from actionrec.files import replacing
from actionrec.native import checkpoints, data, progress, transforms
from actionrec.native.status import StatusLog

LEAST_BATCH = 16  # clips at a time: results do not depend on it, so TAO's default of 1 is raised


def infer(spec: DictConfig, where: Path, log: StatusLog, folder: Path) -> None:
    """Predict the videos of inference.inference_dataset_dir.

    Prints `path : ['label']` a video, one label a clip, as TAO does, and writes
    `folder`/predictions.csv: video, prediction, and a probability for each label, averaged over
    the clips.
    """
    key = "inference.inference_dataset_dir"
    root = Path(specs.require(spec, key, where))
    videos = data.list_videos(root, key, spec.model.model_type)
    data.refuse_small(len(videos), spec.inference.batch_size, "predict", "inference.batch_size")
    data.warn_of_short(videos, spec)
    checkpoint = specs.require(spec, "inference.checkpoint", where)
    log.write(f"Loading checkpoint: {checkpoint}")
    network = checkpoints.load_network(spec, checkpoint, "inference.checkpoint")
    scores = score_videos(
        network,
        videos,
        spec,
        mode=spec.inference.video_inf_mode,
        segments=spec.inference.video_num_segments,
        batch_size=spec.inference.batch_size,
    )
    names = {index: name for name, index in spec.dataset.label_map.items()}
    for video, clips in zip(videos, scores, strict=True):
        print(f"{video.folder} : {[names[int(index)] for index in clips.argmax(dim=1)]}")
    _write_predictions(folder / "predictions.csv", videos, scores, names)


def score_videos(
    network: nn.Module,
    videos: list[data.Video],
    spec: DictConfig,
    *,
    mode: str,
    segments: int,
    batch_size: int,
) -> list[Tensor]:
    """Return for each video the class probabilities of its clips, (clips, classes)."""
    clips = data.FixedClips(videos, spec, mode=mode, segments=segments)
    batches = data.equal_batches(clips.lengths, max(batch_size, LEAST_BATCH))
    scores: list[list[Tensor]] = [[] for _ in videos]
    with progress.bar(len(clips), "clips") as bar:
        for numbers, logits in _logits(network, data.load(clips, batches, spec), spec):
            for number, row in zip(numbers, logits.softmax(dim=1).cpu(), strict=True):
                scores[number].append(row)
            bar.update(len(numbers))
    return [torch.stack(rows) for rows in scores]


@torch.inference_mode()
def _logits(
    network: nn.Module, loader: data.Loader, spec: DictConfig
) -> Iterator[tuple[list[int], Tensor]]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device).eval()
    for clips, _, numbers in loader:
        yield numbers, network(transforms.normalise(clips.to(device), spec))


def _write_predictions(
    path: Path, videos: list[data.Video], scores: list[Tensor], names: dict[int, str]
) -> None:
    labels = [names[index] for index in sorted(names)]
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["video", "prediction", *labels])
        for video, clips in zip(videos, scores, strict=True):
            mean = clips.mean(dim=0)
            prediction = labels[int(mean.argmax())]
            writer.writerow([video.folder.name, prediction, *(f"{p:.6f}" for p in mean.tolist())])
