"""Videos and folders that the tests make for themselves."""

from pathlib import Path

import cv2
import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def draw_frame(index: int, width: int, height: int) -> np.ndarray:
    """Return frame `index` of a test video: a gradient with a square that moves, BGR uint8."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)[None, :]
    frame[..., 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    left = (3 * index) % max(1, width - 8)
    frame[4:12, left : left + 8] = (0, 0, 255)
    return frame


def write_video(
    path: Path,
    frames: int = 10,
    width: int = 64,
    height: int = 48,
    fourcc: str = "XVID",
    fps: float = 30.0,
) -> Path:
    """Encode a small real video with OpenCV and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), fps, (width, height))
    assert writer.isOpened(), f"this OpenCV cannot write {fourcc} to {path}"
    for index in range(frames):
        writer.write(draw_frame(index, width, height))
    writer.release()
    return path


@pytest.fixture
def repository() -> Path:
    """Return the root of the repository."""
    return REPOSITORY
