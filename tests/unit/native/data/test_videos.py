"""Folders of frames: which videos are found, and what is refused or warned of."""

import logging
from pathlib import Path

import pytest
from PIL import Image

from actionrec.errors import InputError
from actionrec.native.data.videos import (
    check_dataset_size,
    list_labelled_videos,
    list_videos,
    warn_of_rare_classes,
    warn_of_short_videos,
)
from helpers.engine import LABELS, draw_tree, draw_video, tiny_spec

KEY = "dataset.train_dataset_dir"


def test_videos_are_listed_by_class_id_and_name(tmp_path):
    draw_tree(tmp_path, videos=3, labels=["ride", "fall"])
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    assert [video.label for video in videos] == [0, 0, 0, 1, 1, 1]
    assert [video.folder.parent.name for video in videos] == ["fall"] * 3 + ["ride"] * 3
    assert videos[0].frames == tuple(f"{index:06d}.png" for index in range(1, 9))
    assert videos[0].size == (40, 32)


def stray_in_root(root: Path) -> None:
    (root / ".DS_Store").touch()


def stray_in_class(root: Path) -> None:
    (root / "fall" / "notes.txt").touch()


def stray_among_frames(root: Path) -> None:
    (next((root / "fall").iterdir()) / "rgb" / "Thumbs.db").touch()


def unknown_class(root: Path) -> None:
    draw_video(root / "rides" / "video", 0)


def no_rgb(root: Path) -> None:
    (root / "fall" / "empty").mkdir()


def no_frames(root: Path) -> None:
    (root / "fall" / "empty" / "rgb").mkdir(parents=True)


def grey_frames(root: Path) -> None:
    rgb = root / "fall" / "grey" / "rgb"
    rgb.mkdir(parents=True)
    Image.new("L", (8, 8)).save(rgb / "000001.png")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (stray_in_root, ".DS_Store"),
        (stray_in_class, "notes.txt"),
        (stray_among_frames, "Thumbs.db"),
        (unknown_class, r"label_map[\s\S]*rides[\s\S]*did you mean 'ride'"),
        (no_rgb, "no rgb folder"),
        (no_frames, "no frames"),
        (grey_frames, r"000001.png\n  found:   mode L"),
    ],
)
def test_a_damaged_tree_is_refused_by_name(damage, message, tmp_path):
    draw_tree(tmp_path, videos=1)
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        list_labelled_videos(tmp_path, LABELS, KEY)


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        list_labelled_videos(tmp_path / "none", LABELS, KEY)
    with pytest.raises(InputError, match="no videos"):
        list_videos(tmp_path, "inference.inference_dataset_dir")


def test_a_folder_of_classes_is_refused_as_a_folder_of_videos(tmp_path):
    draw_tree(tmp_path, videos=1)
    with pytest.raises(InputError, match=r"no rgb folder[\s\S]*<video>/rgb for inference"):
        list_videos(tmp_path, "inference.inference_dataset_dir")


def test_too_few_videos_are_refused_with_taos_message():
    with pytest.raises(InputError) as error:
        check_dataset_size(24, 100, "train", "dataset.batch_size")
    assert (
        "Dataset size (24) is smaller than the total batch size (100). Not enough data for train."
        in str(error.value)
    )
    assert "set dataset.batch_size to 24 or less" in str(error.value)


def test_a_warning_names_short_videos(tmp_path, caplog):
    draw_tree(tmp_path, videos=1, frames=5)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    spec = tiny_spec(model={"sample_strategy": "consecutive", "sample_rate": 2})
    with caplog.at_level(logging.WARNING):
        warn_of_short_videos(videos, spec)
    assert "2 videos have fewer than 6 frames" in caplog.text
    assert str(videos[0].folder) in caplog.text


def test_a_warning_names_classes_that_are_rarer_than_a_batch(tmp_path, caplog):
    draw_tree(tmp_path, videos=3, labels=["fall"])
    draw_tree(tmp_path, videos=1, labels=["ride"])
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    spec = tiny_spec(dataset={"batch_size": 5, "clips_per_video": 2, "label_map": LABELS})
    warn_of_rare_classes(videos, spec)
    assert "1 of 2 classes are rarer than a batch of 5 clips" in caplog.text
    assert "ride: 1 video, 2 clips" in caplog.text
    assert "fall" not in caplog.text
    caplog.clear()
    warn_of_rare_classes(videos, tiny_spec(dataset={"batch_size": 2, "label_map": LABELS}))
    assert not caplog.text
