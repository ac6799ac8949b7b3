"""Where decoded frames are kept: in RAM, then on a disk, and nowhere if there is no space."""

import os

import numpy as np
import pytest

from actionrec.errors import InputError
from actionrec.native.data import frame_memory
from actionrec.native.data.frame_cache import FrameCache
from actionrec.native.data.frame_memory import (
    DISK_VARIABLE,
    MEMORY_VARIABLE,
    FrameDisk,
    FrameMemory,
    memory_for_frames,
)
from actionrec.native.data.videos import list_labelled_videos
from helpers.engine import LABELS, curve, draw_tree, run, write_spec

VIDEO = 8 * 12 * 16 * 3  # bytes of a drawn one, resized


@pytest.fixture
def videos(tmp_path):
    draw_tree(tmp_path / "videos", videos=2)
    return list_labelled_videos(tmp_path / "videos", LABELS, "dataset.train_dataset_dir")


def read_all(videos, cache: FrameCache) -> list[np.ndarray]:
    return [np.stack(cache.read(number, np.arange(8))) for number in range(len(videos))]


def cache_of(videos, memory: FrameMemory) -> FrameCache:
    return FrameCache(videos, "rgb", [(16, 12)] * len(videos), memory)


def remove_frames(videos) -> None:
    for video in videos:
        for frame in (video.folder / "rgb").iterdir():
            frame.unlink()


def test_frames_for_which_there_is_no_memory_are_decoded_once_to_the_disk(videos, tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    cache = cache_of(videos, FrameMemory(VIDEO, FrameDisk(place)))
    expected = read_all(videos, cache_of(videos, FrameMemory(0)))
    assert all(map(np.array_equal, read_all(videos, cache), expected))
    remove_frames(videos)
    assert all(map(np.array_equal, read_all(videos, cache), expected))
    assert not list(place.iterdir())  # so nothing is left behind, whatever ends the process


def test_frames_are_decoded_each_time_if_the_disk_is_full(videos, small_disk, caplog):
    """Also if others fill it meanwhile, which a write to the mapped file would not survive."""
    disk = FrameDisk(small_disk)
    memory = FrameMemory(0, disk)
    cache = cache_of(videos, memory)
    first = cache.read(0, np.arange(8))
    with pytest.raises(OSError, match="No space"):
        (small_disk / "other").write_bytes(bytes(2**21))
    expected = read_all(videos, cache_of(videos, FrameMemory(0)))
    assert all(map(np.array_equal, read_all(videos, cache), expected))
    assert np.array_equal(first, expected[0])
    assert "has no more space" in caplog.text
    assert memory.free == 0


def test_the_environment_variables_limit_memory_and_choose_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_memory, "spare_memory", lambda: 10 * 2**30)
    assert memory_for_frames(0.5).free == 5 * 2**30
    monkeypatch.setenv(MEMORY_VARIABLE, "0.5")
    assert memory_for_frames(0.5).free == 2**28
    monkeypatch.setenv(DISK_VARIABLE, str(tmp_path))
    status = os.statvfs(tmp_path)
    half = status.f_bavail * status.f_frsize / 2
    assert memory_for_frames(0.5).free - 2**28 == pytest.approx(half / 2, rel=0.1)


@pytest.mark.parametrize("value", ["much", "-1", "inf", "nan"])
def test_a_memory_limit_that_is_no_number_is_refused(value, monkeypatch):
    monkeypatch.setenv(MEMORY_VARIABLE, value)
    with pytest.raises(InputError, match=f"{MEMORY_VARIABLE}(.|\n)*{value}"):
        memory_for_frames(1)


def test_a_disk_folder_that_does_not_exist_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(DISK_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(InputError, match=f"{DISK_VARIABLE}(.|\n)*No such file"):
        memory_for_frames(1)


@pytest.mark.slow
def test_a_training_is_the_same_wherever_its_frames_are_kept(drawn, tmp_path):
    outcomes = {}
    for name, variables in {
        "memory": {},
        "disk": {MEMORY_VARIABLE: "0", DISK_VARIABLE: str(tmp_path)},
        "nowhere": {MEMORY_VARIABLE: "0"},
    }.items():
        spec = write_spec(tmp_path / name / "spec.yaml", drawn, tmp_path / name / "results")
        done = run("train", spec, **variables)
        assert done.returncode == 0, done.stderr
        assert ("decoded in every epoch" in done.stderr) == (name == "nowhere")
        outcomes[name] = curve(tmp_path / name / "results/train")
    assert outcomes["memory"] == outcomes["disk"] == outcomes["nowhere"]
