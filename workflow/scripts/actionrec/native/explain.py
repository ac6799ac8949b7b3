"""What a network sees in a clip: its features, and where the reasons for a class are (Grad-CAM)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from actionrec.native.data import transforms
from actionrec.native.data.batch import Batch
from actionrec.native.data.datasets import ClipSelection, EvalDataset
from actionrec.native.data.videos import Video
from actionrec.native.predictor import score_videos


class FeatureExtractor(nn.Module):
    """The part of a network in front of its classifier, averaged over time and space."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, clips: Any) -> Tensor:
        """Map clips to features (N, features), of unit length in each stream."""
        maps = _as_tuple(self.network.feature_maps(clips))
        means = [of.flatten(2).mean(dim=2) for of in maps]
        return torch.cat([nn.functional.normalize(mean.float(), dim=1) for mean in means], dim=1)


def video_features(
    network: nn.Module,
    videos: Sequence[Video],
    spec: DictConfig,
    selection: ClipSelection,
    gpu_ids: Sequence[int],
) -> Tensor:
    """Return the features of each video, averaged over its clips, (videos, features)."""
    clips = score_videos(
        FeatureExtractor(network),
        list(videos),
        spec,
        selection,
        gpu_ids=gpu_ids,
        activation=_unchanged,
    )
    return torch.stack([of_video.mean(dim=0) for of_video in clips])


def _unchanged(output: Tensor) -> Tensor:
    return output


def nearest(features: Tensor, among: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Return the cosine similarities and the indices of the nearest rows, (rows, number) each."""
    similarities = nn.functional.normalize(features) @ nn.functional.normalize(among).T
    best = similarities.topk(min(number, len(among)), dim=1)
    return best.values, best.indices


def class_activation(
    network: Any, dataset: EvalDataset, key: int, label: int, spec: DictConfig
) -> dict[str, np.ndarray]:
    """Return where a clip speaks for the class `label`, (t, h, w) for each stream, from 0 to 1.

    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", 2017, on the last convolution, over time too. A 2D network stacks its frames, so
    its map has one time. A map of zeros says that no place of the stream does so more than others.
    """
    device = next(network.parameters()).device
    streams = {name: np.empty(shape, np.uint8) for name, shape in dataset.shapes(key).items()}
    dataset.write_clip(key, streams)
    batch = Batch(
        {name: torch.from_numpy(pixels)[None].to(device) for name, pixels in streams.items()},
        torch.tensor([label], device=device),
        torch.tensor([False], device=device),
        torch.tensor([0]),
    )
    maps = network.feature_maps(transforms.normalise(batch, spec))
    logit = network.classify(maps)[0, label]
    gradients = torch.autograd.grad(logit, _as_tuple(maps))
    found = zip(streams, _as_tuple(maps), gradients, strict=True)
    return {name: _activation(of_stream, gradient) for name, of_stream, gradient in found}


def _as_tuple(maps: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return maps if isinstance(maps, tuple) else (maps,)


@torch.no_grad()
def _activation(maps: Tensor, gradient: Tensor) -> np.ndarray:
    """Weight feature maps (1, C, [t,] h, w) by their mean gradients; return (t, h, w)."""
    weights = gradient.flatten(2).mean(dim=2).reshape(*maps.shape[:2], *[1] * (maps.dim() - 2))
    heat = (weights * maps).sum(dim=1).relu().float()[0]
    heat = heat if heat.dim() == 3 else heat[None]
    heat -= heat.min()
    largest = heat.max()
    return (heat / largest if largest > 0 else heat).cpu().numpy()
