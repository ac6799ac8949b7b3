"""Where decoded frames are kept: in memory, then on a disk, and nowhere if there is no room."""

import os

import numpy as np
import pytest

from actionrec.errors import InputError
from actionrec.native.data import frame_memory
from actionrec.native.data.frame_cache import FrameReader
from actionrec.native.data.frame_memory import FOLDER, MOST, Disk, Memory, room_for_frames
from actionrec.native.data.videos import list_classes
from helpers.engine import LABELS, curve, draw_tree, run, write_spec

VIDEO = 8 * 12 * 16 * 3  # bytes of a drawn one, resized


@pytest.fixture
def videos(tmp_path):
    draw_tree(tmp_path / "videos", videos=2)
    return list_classes(tmp_path / "videos", LABELS, "dataset.train_dataset_dir")


def read_all(videos, reader: FrameReader) -> list[np.ndarray]:
    return [np.stack(reader.read(number, np.arange(8))) for number in range(len(videos))]


def reader_of(videos, room: Memory) -> FrameReader:
    return FrameReader(videos, "rgb", [(16, 12)] * len(videos), room)


def remove_frames(videos) -> None:
    for video in videos:
        for frame in (video.folder / "rgb").iterdir():
            frame.unlink()


def test_frames_that_memory_does_not_hold_are_decoded_once_onto_the_disk(videos, tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    reader = reader_of(videos, Memory(VIDEO, Disk(place)))
    expected = read_all(videos, reader_of(videos, Memory(0)))
    assert all(map(np.array_equal, read_all(videos, reader), expected))
    remove_frames(videos)
    assert all(map(np.array_equal, read_all(videos, reader), expected))
    assert not list(place.iterdir())  # so nothing is left behind, whatever ends the process


def test_a_disk_without_room_is_done_without(videos, small_disk, caplog):
    """Also if others fill it meanwhile, which a write to the mapped file would not survive."""
    disk = Disk(small_disk)
    room = Memory(0, disk)
    reader = reader_of(videos, room)
    first = reader.read(0, np.arange(8))
    with pytest.raises(OSError, match="No space"):
        (small_disk / "other").write_bytes(bytes(2**21))
    expected = read_all(videos, reader_of(videos, Memory(0)))
    assert all(map(np.array_equal, read_all(videos, reader), expected))
    assert np.array_equal(first, expected[0])
    assert "has no more room" in caplog.text
    assert room.free == 0


def test_the_environment_says_how_much_room_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_memory, "spare_memory", lambda: 10 * 2**30)
    assert room_for_frames(0.5).free == 5 * 2**30
    monkeypatch.setenv(MOST, "0.5")
    assert room_for_frames(0.5).free == 2**28
    monkeypatch.setenv(FOLDER, str(tmp_path))
    status = os.statvfs(tmp_path)
    half = status.f_bavail * status.f_frsize / 2
    assert room_for_frames(0.5).free - 2**28 == pytest.approx(half / 2, rel=0.1)


@pytest.mark.parametrize("value", ["much", "-1", "inf", "nan"])
def test_memory_that_is_no_number_is_refused(value, monkeypatch):
    monkeypatch.setenv(MOST, value)
    with pytest.raises(InputError, match=f"{MOST}(.|\n)*{value}"):
        room_for_frames(1)


def test_a_folder_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path / "none"))
    with pytest.raises(InputError, match=f"{FOLDER}(.|\n)*No such file"):
        room_for_frames(1)


@pytest.mark.slow
def test_a_training_is_the_same_wherever_its_frames_are_kept(drawn, tmp_path):
    outcomes = {}
    for name, variables in {
        "memory": {},
        "disk": {MOST: "0", FOLDER: str(tmp_path)},
        "nowhere": {MOST: "0"},
    }.items():
        spec = write_spec(tmp_path / name / "spec.yaml", drawn, tmp_path / name / "results")
        done = run("train", spec, **variables)
        assert done.returncode == 0, done.stderr
        assert ("decoded in every epoch" in done.stderr) == (name == "nowhere")
        outcomes[name] = curve(tmp_path / name / "results/train")
    assert outcomes["memory"] == outcomes["disk"] == outcomes["nowhere"]
