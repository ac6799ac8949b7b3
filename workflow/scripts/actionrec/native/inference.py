"""The inference task: the predicted classes of videos without labels."""

import csv
from pathlib import Path

from omegaconf import DictConfig
from torch import Tensor

from actionrec.native.data.videos import Video, check_dataset_size, list_videos
from actionrec.native.distributed import launch
from actionrec.native.predictor import clip_selection, score_with_checkpoint
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
    selection = clip_selection(spec, spec.inference.video_inf_mode, spec.inference)
    scores = score_with_checkpoint(spec, spec_path, "inference", videos, selection, log)
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
