"""The inference task: what is to be seen in videos without labels."""

import csv
from pathlib import Path

from omegaconf import DictConfig
from torch import Tensor

from actionrec.native.checkpoints import lightning
from actionrec.native.data.videos import (
    Video,
    check_dataset_size,
    list_videos,
    warn_of_short_videos,
)
from actionrec.native.distributed import launch
from actionrec.native.predictor import clips_of, score_videos
from actionrec.native.status import StatusLog
from actionrec.spec.load import require_key
from actionrec.utils.files import replacing


def infer(spec: DictConfig, where: Path, log: StatusLog, folder: Path) -> None:
    """Predict the videos of inference.inference_dataset_dir.

    Prints `path : ['label']` a video, one label a clip, as TAO does, and writes
    `folder`/predictions.csv: video, prediction, and a probability for each label, averaged over
    the clips.
    """
    key = "inference.inference_dataset_dir"
    root = Path(require_key(spec, key, where))
    videos = list_videos(root, key, spec.model.model_type)
    check_dataset_size(len(videos), spec.inference.batch_size, "predict", "inference.batch_size")
    warn_of_short_videos(videos, spec)
    checkpoint = require_key(spec, "inference.checkpoint", where)
    log.write(f"Loading checkpoint: {checkpoint}")
    network = lightning.load_network(spec, checkpoint, "inference.checkpoint")
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
