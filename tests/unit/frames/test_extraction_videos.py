"""What a video is stands in the frame table, and decides what its frames and its flow are."""

import shutil
import signal

import cv2
import numpy as np
import pytest

from actionrec.errors import InputError
from actionrec.frames import parallel
from actionrec.frames.extraction import extract_class
from actionrec.frames.flow import extract_flow
from actionrec.frames.manifest import read_manifest
from actionrec.frames.videos import list_videos, write_files_table
from actionrec.frames.workers import Died
from helpers import DIS, PNG, decode
from helpers.videos import encode, encode_interlaced

ONE = 1 << 16
CLOCKWISE = [0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30]
MIRRORED = [-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30]


class Class:
    """A class of videos in a project folder."""

    def __init__(self, root):
        self.root, self.videos = root, root / "videos"
        self.videos.mkdir()
        self.frames, self.manifest = root / "frames", root / "frames.tsv"

    def extract(self, image_format=PNG, **options):
        write_files_table(self.root / "videos.tsv", list_videos(self.videos))
        extract_class(
            *(self.videos, self.root / "videos.tsv", self.frames, self.manifest),
            image_format=image_format,
            **options,
        )
        return {record.video: record for record in read_manifest(self.manifest)}

    def inodes(self, video, folder="rgb"):
        return {path.stat().st_ino for path in (self.frames / video / folder).iterdir()}

    def stored(self, video, folder="rgb"):
        paths = sorted((self.frames / video / folder).iterdir())
        return np.array([cv2.imread(str(path)) for path in paths])


@pytest.fixture
def walk(tmp_path):
    return Class(tmp_path)


def test_facts_of_a_video(walk):
    encode(walk.videos / "plain.mp4", "libx264", 6)
    encode(walk.videos / "divx.avi", "mpeg4", 6)
    times = [0, 0.1, 0.2, 0.9, 1.5, 3]
    encode(walk.videos / "phone.mp4", "libx264", 6, times=times, matrix=CLOCKWISE)
    encode(walk.videos / "selfie.mov", "libx264", 6, matrix=MIRRORED)
    data = encode(walk.videos / "cut.avi", "mjpeg", 30).read_bytes()
    (walk.videos / "cut.avi").write_bytes(data[: len(data) // 2])
    found = {
        name: (
            *(record.status, record.codec, record.rate_mode, record.orientation),
            *(record.interlaced, record.source_width, record.source_height),
        )
        for name, record in walk.extract().items()
    }
    assert found == {
        "plain": ("ok", "h264", "constant", "", 0, 96, 64),
        "divx": ("ok", "mpeg4", "constant", "", 0, 96, 64),
        "phone": ("ok", "h264", "variable", "rotated by 90° clockwise", 0, 64, 96),
        "selfie": ("ok", "h264", "constant", "mirrored", 0, 96, 64),
        "cut": ("bad", "mjpeg", "constant", "", 0, 96, 64),
    }


def test_the_source_keeps_its_size_in_the_table(walk):
    encode(walk.videos / "a.mp4", "libx264", 3, matrix=CLOCKWISE)
    record = walk.extract(type(PNG)("png", "fpng", 95, (32, 24)))["a"]
    assert (record.width, record.height) == (32, 24)
    assert (record.source_width, record.source_height) == (64, 96)


def test_frames_and_flow_are_shown_the_right_way_round(walk):
    plain = encode(walk.root / "plain.mp4", "libx264", 3)
    encode(walk.videos / "a.mp4", "libx264", 3, matrix=MIRRORED)
    walk.extract()
    assert np.array_equal(walk.stored("a"), decode(plain)[:, :, ::-1])
    extract_flow(walk.frames, walk.manifest, walk.root / "flow.tsv", DIS)
    mirrored = walk.stored("a", "u").astype(int)
    walk.videos.joinpath("a.mp4").unlink()
    shutil.copy(plain, walk.videos / "a.mp4")
    walk.extract()
    extract_flow(walk.frames, walk.manifest, walk.root / "flow.tsv", DIS)
    # Motion to the left where the stored picture moves to the right.
    straight = walk.stored("a", "u").astype(int)
    assert (mirrored.mean() - 128) * (straight.mean() - 128) < 0


@pytest.fixture
def taped(walk):
    """Return a class of an interlaced and a progressive video, extracted."""
    options = {"flags": "+ildct+ilme", "b": "4M"}
    encode_interlaced(walk.videos / "tape.avi", "mpeg4", 6, options=options)
    encode(walk.videos / "web.avi", "mpeg4", 6)
    walk.extract()
    extract_flow(walk.frames, walk.manifest, walk.root / "flow.tsv", DIS)
    return walk


def test_interlaced_videos_are_remarked_on(taped):
    tape, web = (taped.extract()[name] for name in ("tape", "web"))
    assert (tape.status, tape.reason) == ("warn", "is interlaced: deinterlaced")
    assert (tape.interlaced, tape.format) == (6, "png")
    assert (web.status, web.interlaced, web.format) == ("ok", 0, "png")


def test_another_way_with_interlaced_videos_remakes_them_alone(taped):
    before = taped.stored("tape"), taped.stored("tape", "u")
    kept = taped.inodes("web"), taped.inodes("web", "u")
    records = taped.extract(interlaced="weave")
    extract_flow(taped.frames, taped.manifest, taped.root / "flow.tsv", DIS)
    assert records["tape"].reason == "is interlaced: its fields are woven"
    assert (records["tape"].format, records["tape"].suffix) == ("png woven", "png")
    assert not np.array_equal(taped.stored("tape"), before[0])
    assert not np.array_equal(taped.stored("tape", "u"), before[1])
    assert (taped.inodes("web"), taped.inodes("web", "u")) == kept
    woven = taped.inodes("tape")
    taped.extract(interlaced="weave")
    assert taped.inodes("tape") == woven


@pytest.fixture
def death(monkeypatch):
    """Let the process of b die, by the signal that stands in the list, while others do their work.

    With two signals it dies again when it is tried once more.
    """
    signals = [-signal.SIGSEGV]

    def call(function, tasks, workers):
        for task in tasks:
            dies = task.folder.name == "b" and signals
            yield task, Died(signals.pop(0), memory=False) if dies else function(task)

    monkeypatch.setattr(parallel, "call_for_each", call)
    return signals


@pytest.fixture
def three(walk):
    for name in "abc":
        encode(walk.videos / f"{name}.mp4", "libx264", 3)
    return walk


CRASHED = "crashed the process that read it (SIGSEGV)"


def test_a_video_that_crashes_its_process_is_a_bad_one(three, death, caplog):
    records = three.extract(workers=2)
    assert {name: record.status for name, record in records.items()} == {
        **{"a": "ok", "b": "bad", "c": "ok"}
    }
    assert records["b"].reason == CRASHED
    assert f"b.mp4 {CRASHED}" in caplog.text
    assert not (three.frames / "b").exists()


KILLED = "was being read when its process was killed (SIGKILL)"


@pytest.mark.parametrize(("times", "status"), [(1, "ok"), (2, "bad")])
def test_a_video_whose_process_is_killed_has_a_second_try(three, death, caplog, times, status):
    death[:] = [-signal.SIGKILL] * times
    record = three.extract(workers=2)["b"]
    assert (record.status, record.reason) == (status, KILLED if status == "bad" else "")
    assert f"b {KILLED}. Once more, alone" in caplog.text


def test_flow_that_crashes_its_process_names_the_video_after_all_others_are_made(three, request):
    three.extract()
    request.getfixturevalue("death")
    with pytest.raises(InputError, match=r"1 process died(?s:.)*b crashed the process"):
        extract_flow(three.frames, three.manifest, three.root / "flow.tsv", DIS, workers=2)
    assert not (three.root / "flow.tsv").exists()
    assert [len(three.inodes(video, "u")) for video in "ac"] == [2, 2]
