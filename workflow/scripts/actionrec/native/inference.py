"""The inference task: the predicted classes of videos without labels."""

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
from actionrec.native.predictor import clip_selection, score_videos
from actionrec.native.status import StatusLog
from actionrec.spec.load import require_key
from actionrec.utils.files import replacing


def infer(spec: DictConfig, spec_path: Path, log: StatusLog, folder: Path) -> None:
    """Predict the videos of inference.inference_dataset_dir.

    Prints a line `path : ['label']` for each video, with one label for each clip, as TAO 7.3 does.
    Writes `folder`/predictions.csv with the columns video, prediction, and each label's
    probability, averaged over the clips. Raises `InputError` for videos, or a checkpoint, that do
    not fit the spec.
    """
    key = "inference.inference_dataset_dir"
    root = Path(require_key(spec, key, spec_path))
    videos = list_videos(root, key, spec.model.model_type)
    check_dataset_size(len(videos), spec.inference.batch_size, "predict", "inference.batch_size")
    warn_of_short_videos(videos, spec)
    checkpoint = require_key(spec, "inference.checkpoint", spec_path)
    log.write(f"Loading checkpoint: {checkpoint}")
    network = lightning.load_network(spec, checkpoint, "inference.checkpoint")
    selection = clip_selection(spec, spec.inference.video_inf_mode, spec.inference)
    scores = score_videos(
        network,
        videos,
        spec,
        selection,
        gpu_ids=spec.inference.gpu_ids,
        min_batch_size=spec.inference.batch_size,
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
