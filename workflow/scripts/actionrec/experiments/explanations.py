"""explanations.json: what a model saw in the test videos that are worth a look.

These are its surest mistakes and its least sure right answers. The file names the frames that the
network saw and, where the native engine runs, the nearest training videos by the network's features
and class-activation maps; so that a page can show them without a network.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionrec.dataset import link_tree
from actionrec.experiments.predictions import Prediction, read_predictions
from actionrec.runners import gpus
from actionrec.utils.files import write_text
from actionrec.utils.rule_script import Job

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from actionrec.native.data.datasets import ClipSelection, EvalDataset
    from actionrec.native.data.videos import Video

MISTAKES, UNSURE = 12, 4  # videos of an experiment on a split
MAPS = 6  # of the surest mistakes, those with a class-activation map
NEAREST = 3


@dataclass(frozen=True)
class Explained:
    """What explanations are made from; `model` is None where the native engine does not run.

    `spec` are the experiment's keys by dotted name, as far as they are not TAO's defaults.
    """

    spec: Mapping[str, Any]
    labels: Sequence[str]
    split: Path
    data: Path
    predictions: Path
    model: Path | None
    threads: int = 1

    @classmethod
    def of_rule(cls, snakemake: Job) -> "Explained":
        """Return what a rule's inputs and params describe."""
        given, params = snakemake.input, snakemake.params
        return cls(
            spec=params.spec,
            labels=params.labels,
            split=Path(given.split),
            data=Path(given.split).parent / "data",
            predictions=Path(given.predictions),
            model=Path(given.model) if given.get("model") else None,
            threads=snakemake.threads,
        )


Chosen = tuple[str, Prediction]  # the kind, "mistake" or "unsure"


def select(predictions: Sequence[Prediction]) -> list[Chosen]:
    """Return the surest mistakes, then the least sure right predictions."""
    wrong = [p for p in predictions if not p.correct]
    right = [p for p in predictions if p.correct and p.score is not None]
    surest = sorted(wrong, key=lambda p: (-(p.score or 0), p.label, p.video))[:MISTAKES]
    unsure = sorted(right, key=lambda p: (p.score, p.label, p.video))[:UNSURE]
    return [("mistake", p) for p in surest] + [("unsure", p) for p in unsure]


def explain(explained: Explained, target: Path | str, num_gpus: int = 1) -> None:
    """Write explanations.json; `InputError` for videos or weights that do not fit the spec."""
    chosen = select(read_predictions(explained.predictions))
    found: list[dict[str, Any]] = []
    with gpus.lease(num_gpus if explained.model else 0) as ids:
        if ids is not None:  # PyTorch, which is imported next, sees these alone
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(ids)
        if chosen:
            clips = _clips(explained, chosen)
            found = _described(clips, chosen)
            if explained.model:
                _add_network_view(explained, clips, found)
    write_text(target, json.dumps({"videos": found}, indent=1) + "\n")


@dataclass(frozen=True)
class _Clips:
    """The chosen videos as the network sees them."""

    spec: "DictConfig"
    videos: Sequence["Video"]
    selection: "ClipSelection"
    dataset: "EvalDataset"

    def middle(self, index: int) -> int:
        """Return the key of the middle one of the clips of a video."""
        keys: list[int] = self.dataset.clips_of(index)
        return keys[len(keys) // 2]


def _clips(explained: Explained, chosen: Sequence[Chosen]) -> _Clips:
    from actionrec.native.data.datasets import EvalDataset
    from actionrec.native.data.frame_memory import FrameMemory, spare_memory
    from actionrec.native.data.videos import list_videos
    from actionrec.native.predictor import clip_selection

    spec = _load_spec(explained)
    key = "inference.inference_dataset_dir"
    found = list_videos(explained.data / "inference", key, spec.model.model_type)
    folders = {video.folder.name: video for video in found}
    names = {pair: name for name, pair in link_tree.inference_names(explained.split).items()}
    videos = [folders[names[p.label, p.video]] for _, p in chosen]
    selection = clip_selection(spec, spec.inference.video_inf_mode, spec.inference)
    dataset = EvalDataset(videos, spec, FrameMemory(spare_memory()), selection)
    return _Clips(spec, videos, selection, dataset)


def _described(clips: _Clips, chosen: Sequence[Chosen]) -> list[dict[str, Any]]:
    """Return of each video what was predicted, and which frames the network saw of it."""
    from actionrec.native.data.crops import prepared_size

    model, augmentation = clips.spec.model, clips.spec.dataset.augmentation_config
    return [
        {
            "kind": kind,
            "video": p.video,
            "label": p.label,
            "prediction": p.prediction,
            "top": [[label, score] for label, score in p.top],
            "frames": clips.dataset.frame_ids(clips.middle(index)),
            "clips": len(clips.dataset.clips_of(index)),
            "resized": list(prepared_size(video.size, model, augmentation, training=False)),
            "input": [model.input_width, model.input_height],
        }
        for index, ((kind, p), video) in enumerate(zip(chosen, clips.videos, strict=True))
    ]


def _add_network_view(explained: Explained, clips: _Clips, found: list[dict[str, Any]]) -> None:
    """Add to each video its nearest training videos, and to the first ones activation maps."""
    import torch

    from actionrec.native import explain as native
    from actionrec.native.checkpoints import lightning
    from actionrec.native.data.videos import list_labelled_videos

    torch.set_num_threads(explained.threads)
    spec, labels = clips.spec, clips.spec.dataset.label_map
    network = lightning.load_network(spec, str(explained.model), "inference.checkpoint")
    key, root = "dataset.train_dataset_dir", explained.data / "train"
    train = list_labelled_videos(root, labels, key, spec.model.model_type)
    of_train, of_test = (
        native.video_features(network, videos, spec, clips.selection, [0])
        for videos in (train, clips.videos)
    )
    similarities, indices = native.nearest(of_test, of_train, NEAREST)
    for index, entry in enumerate(found):
        pairs = zip(similarities[index].tolist(), indices[index].tolist(), strict=True)
        entry["nearest"] = [
            {
                "video": train[number].folder.name,
                "label": train[number].folder.parent.name,
                "similarity": round(similarity, 4),
            }
            for similarity, number in pairs
        ]
        if entry["kind"] == "mistake" and index < MAPS:
            label = labels[entry["prediction"]]
            maps = native.class_activation(network, clips.dataset, clips.middle(index), label, spec)
            entry["activation"] = {
                stream: (255 * heat).round().astype(int).tolist() for stream, heat in maps.items()
            }


def _load_spec(explained: Explained) -> "DictConfig":
    """Return the experiment's spec in the schema of the newest toolkit, whichever it runs with."""
    from actionrec.spec import dotted_keys
    from actionrec.spec.load import make_spec

    label_map = {name: number for number, name in enumerate(explained.labels)}
    values = dotted_keys.nested(explained.spec)
    values.setdefault("dataset", {})["label_map"] = label_map
    return make_spec(values, explained.predictions)
