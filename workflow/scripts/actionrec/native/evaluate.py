"""The evaluate task: the accuracy of a checkpoint on labelled videos."""

from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from actionrec.native import metrics
from actionrec.native.data.videos import check_dataset_size, list_labelled_videos
from actionrec.native.predictor import clip_selection, score_with_checkpoint
from actionrec.native.status import StatusLog
from actionrec.spec.load import require_key


def evaluate(spec: DictConfig, spec_path: Path, log: StatusLog, folder: Path) -> None:
    """Measure evaluate.checkpoint on evaluate.test_dataset_dir; print and log it as TAO 7.3 does.

    With several clips a video (video_eval_mode conv or all, native.test_segments) a video's
    prediction is the class of the highest mean probability. TAO counts clips instead of videos; its
    figures are logged, too, as clip_accuracy and clip_m_accuracy. Raises `InputError` for videos,
    or a checkpoint, that do not fit the spec.
    """
    key = "evaluate.test_dataset_dir"
    labels = spec.dataset.label_map
    root = Path(require_key(spec, key, spec_path))
    videos = list_labelled_videos(root, labels, key, spec.model.model_type)
    check_dataset_size(len(videos), spec.evaluate.batch_size, "test", "evaluate.batch_size")
    selection = clip_selection(spec, spec.evaluate.video_eval_mode, spec.evaluate)
    scores = score_with_checkpoint(spec, spec_path, "evaluate", videos, selection, log)
    by_video = np.zeros((len(labels), len(labels)), np.int64)
    by_clip = np.zeros_like(by_video)
    for video, clips in zip(videos, scores, strict=True):
        by_video[video.label, int(clips.mean(dim=0).argmax())] += 1
        np.add.at(by_clip[video.label], clips.argmax(dim=1).numpy(), 1)
    kpi = metrics.accuracies(by_video)
    _print_table(by_video, sorted(labels, key=labels.get), **kpi)
    if selection.mode != "center":
        kpi |= {f"clip_{name}": value for name, value in metrics.accuracies(by_clip).items()}
    log.write("Test metrics generated.", kpi=kpi)


def _print_table(
    confusion: np.ndarray, names: list[str], accuracy: float, m_accuracy: float
) -> None:
    print("*" * 31)
    for name, accuracy_of_class in zip(names, metrics.class_accuracies(confusion), strict=True):
        print(f"{name:<14}{accuracy_of_class:.4}")
    print("*" * 31)
    print(f"Total accuracy: {accuracy}")
    print(f"Average class accuracy: {m_accuracy}")
