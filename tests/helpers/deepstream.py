"""What DeepStream's preprocessing computes, in NumPy, from the files of a package.

As facts on NVIDIA's sample say: nvdspreprocess scales a frame to the processing size; the sequence
kernel computes x * scale - scale * offset and lays a clip out as channel, sequence, height, width;
the window takes every (subsample + 1)-th frame and moves on by `stride` frames.
"""

from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass
class Preprocessing:
    """The preprocessing of a package."""

    shape: tuple[int, ...]
    scales: np.ndarray
    offsets: np.ndarray
    stride: int
    subsample: int

    @classmethod
    def read(cls, folder: Path) -> "Preprocessing":
        """Read config_preprocess.txt, a GLib key file."""
        config = read_config(folder / "config_preprocess.txt")
        own, user = config["property"], config["user-configs"]
        return cls(
            tuple(map(int, own["network-input-shape"].split(";"))),
            numbers(user["channel-scale-factors"]),
            numbers(user["channel-mean-offsets"]),
            int(user["stride"]),
            int(user["subsample"]),
        )

    @property
    def length(self) -> int:
        """Return how many frames a clip has."""
        return self.shape[2] if len(self.shape) == 5 else self.shape[1] // 3

    def clips(self, frames: list[np.ndarray]) -> list[np.ndarray]:
        """Return the clips of a source's scaled frames, (H, W, 3) RGB uint8, without the batch."""
        step, span = self.subsample + 1, (self.length - 1) * (self.subsample + 1) + 1
        starts = range(0, len(frames) - span + 1, self.stride)
        return [self.clip(frames[start : start + span : step]) for start in starts]

    def clip(self, frames: list[np.ndarray]) -> np.ndarray:
        """Return a clip of scaled frames."""
        pixels = np.stack(frames).astype(np.float32)
        values = pixels * self.scales - self.scales * self.offsets
        return values.transpose(3, 0, 1, 2).reshape(self.shape[1:]).astype(np.float32)


def read_config(path: Path) -> ConfigParser:
    """Read one of DeepStream's key files."""
    config = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    config.read(path)
    return config


def numbers(text: str) -> np.ndarray:
    """Return numbers that semicolons divide."""
    return np.array([float(part) for part in text.split(";")], np.float32)


def classify(probabilities: np.ndarray, labels: str, threshold: float) -> str:
    """Return the label as nvinfer's classifier finds it: the highest above the threshold and 0."""
    best, label = 0.0, ""
    for index, value in enumerate(probabilities):
        if value > threshold and value > best:
            best, label = value, labels.strip().split(";")[index]
    return label
