"""Frames are shown as players show them: turned and mirrored as the display matrix says."""

import cv2
import numpy as np
import pytest

from actionrec.frames.decoder.video import open_video
from helpers.videos import draw, encode

ONE = 1 << 16
# The eight ways of EXIF, each with the (a, b, c, d) of its matrix and what it makes of a picture.
WAYS = {
    "": ((1, 0, 0, 1), lambda image: image),
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "rotated by 180°": ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
    "mirrored, rotated by 180°": ((1, 0, 0, -1), lambda image: image[::-1]),
    "mirrored, rotated by 90° counterclockwise": (
        (0, 1, 1, 0),
        lambda image: image.transpose(1, 0, 2),
    ),
    "rotated by 90° clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "mirrored, rotated by 90° clockwise": (
        (0, -1, -1, 0),
        lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    ),
    "rotated by 90° counterclockwise": ((0, -1, 1, 0), lambda image: np.rot90(image)),
}


def matrix(a, b, c, d):
    return [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]


def images(path, start=0.0):
    with open_video(path) as video:
        frames = [frame.image for frame in video.frames(start)]
        return frames, video.orientation


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_all_eight_matrices(tmp_path, way, suffix):
    values, turn = WAYS[way]
    plain, _ = images(encode(tmp_path / "plain.mp4", "libx264", 30))
    path = encode(tmp_path / f"a{suffix}", "libx264", 30, matrix=matrix(*values))
    shown, orientation = images(path)
    assert str(orientation) == way
    assert orientation.mirrored == ("mirrored" in way)
    for image, stored in zip(shown, plain, strict=True):
        assert image.flags.c_contiguous
        assert np.array_equal(image, turn(stored))
    span, _ = images(path, 1.0)
    assert len(span) == 5
    assert np.array_equal(span[0], turn(plain[25]))


@pytest.mark.parametrize("way", ["rotated by 90° clockwise", "rotated by 180°"])
def test_turned_frames_are_opencvs(tmp_path, way):
    path = encode(tmp_path / "a.mp4", "libx264", 3, matrix=matrix(*WAYS[way][0]))
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    for image in images(path)[0]:
        assert np.array_equal(image, capture.read()[1])


def test_mirrored_text_reads_right(tmp_path):
    """What a front camera's file stores mirrored is shown as it was."""
    marked = draw(0)
    marked[:, :40] = (255, 0, 0)
    stored = np.ascontiguousarray(marked[:, ::-1])
    values = matrix(*WAYS["mirrored"][0])
    path = encode(tmp_path / "a.mp4", "libx264", [stored] * 3, matrix=values)
    shown = images(path)[0][0]
    assert shown[10:30, 5:30, 2].mean() > 200 > shown[10:30, 60:, 2].mean()


@pytest.mark.parametrize(
    ("values", "way"),
    [
        ((0.9, 0.2, -0.2, 0.9), ""),
        ((0.2, 0.9, -0.9, 0.2), "rotated by 90° clockwise"),
        ((0, 0, 0, 0), ""),
        ((2, 0, 0, 0.5), ""),
    ],
)
def test_a_matrix_between_the_eight_is_taken_for_the_nearest(tmp_path, values, way):
    values = [round(ONE * value) for value in values]
    a, b, c, d = values
    path = encode(tmp_path / "a.mp4", "libx264", 2, matrix=[a, b, 0, c, d, 0, 0, 0, 1 << 30])
    assert str(images(path)[1]) == way


def test_matroska_keeps_a_rotation_too(tmp_path):
    path = encode(
        tmp_path / "a.mkv", "libx264", 2, matrix=matrix(*WAYS["rotated by 90° clockwise"][0])
    )
    shown, orientation = images(path)
    assert str(orientation) == "rotated by 90° clockwise"
    assert shown[0].shape == (96, 64, 3)
