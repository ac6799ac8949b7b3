"""Frames are exact, kept when nothing changed, and survive kills, bad videos and full disks."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest

from actionrec.dataset.leakage import find_duplicates
from actionrec.errors import InputError
from actionrec.frames.extraction import extract_class
from actionrec.frames.manifest import read_manifest
from actionrec.frames.segments import Segment, read_segments
from actionrec.frames.videos import list_videos, write_files_table
from actionrec.native.data.image_io import read_image
from actionrec.utils.tables import append_record
from helpers import PNG, REPOSITORY, is_running, start_python, wait_for, workers_of, write_video


class Class:
    """The paths of one class in a project folder."""

    def __init__(self, root, name="walk"):
        self.videos = root / "resources/videos" / name
        self.frames = root / "resources/frames" / name
        self.table = root / "results/videos" / f"{name}.tsv"
        self.manifest = root / "results/frames" / f"{name}.tsv"
        self.videos.mkdir(parents=True)

    def list(self):
        write_files_table(self.table, list_videos(self.videos))

    def extract(self, *, workers=0, **image_format):
        self.manifest.unlink(missing_ok=True)  # as Snakemake does
        extract_class(
            self.videos,
            self.table,
            self.frames,
            self.manifest,
            image_format=replace(PNG, **image_format),
            workers=workers,
        )
        return {record.video: record for record in read_manifest(self.manifest)}

    def rgb(self, video):
        return self.frames / video / "rgb"

    def tree(self):
        """Return each frame file's path, inode and time, which tell a kept file from a remade one.

        A remade file may get the inode of the one that it replaces.
        """
        return {
            str(path.relative_to(self.frames)): (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in self.frames.rglob("*")
            if path.is_file()
        }

    def leftovers(self):
        work_folder = self.frames.with_name(f".{self.frames.name}")
        kept = {"done.tsv", "lock"}
        return [path.name for path in work_folder.iterdir() if path.name not in kept]


@pytest.fixture
def walk(tmp_path):
    return Class(tmp_path)


@pytest.fixture
def three(walk):
    """Return a class of three videos, extracted."""
    for name, count in (("a", 5), ("b", 7), ("c", 9)):
        write_video(walk.videos / f"{name}.avi", frames=count)
    walk.list()
    walk.extract()
    return walk


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def decoded(path):
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        ok, frame = capture.read()
        if not ok:
            return np.array(frames)
        frames.append(frame)


def stored(rgb):
    return np.array([cv2.imread(str(path)) for path in sorted(rgb.iterdir())])


@pytest.mark.parametrize("encoder", ["fpng", "cv2"])
@pytest.mark.parametrize(("width", "height"), [(64, 48), (2, 2), (34, 18), (322, 240)])
def test_png_frames_equal_what_opencv_decodes(walk, encoder, width, height):
    write_video(walk.videos / "a.avi", frames=6, width=width, height=height, fourcc="MJPG")
    walk.list()
    record = walk.extract(encoder=encoder)["a"]
    assert names(walk.rgb("a")) == [f"{number:06d}.png" for number in range(1, 7)]
    assert np.array_equal(stored(walk.rgb("a")), decoded(walk.videos / "a.avi"))
    assert (record.frames, record.width, record.height, record.format) == (6, width, height, "png")


def test_noise_survives_both_encoders_bit_by_bit(walk):
    writer = cv2.VideoWriter(
        str(walk.videos / "n.mkv"), cv2.VideoWriter_fourcc(*"FFV1"), 30, (98, 54)
    )
    for frame in np.random.default_rng(7).integers(0, 256, (5, 54, 98, 3), np.uint8):
        writer.write(frame)
    writer.release()
    walk.list()
    for encoder in ("fpng", "cv2"):
        shutil.rmtree(walk.frames, ignore_errors=True)
        walk.extract(encoder=encoder)
        assert np.array_equal(stored(walk.rgb("n")), decoded(walk.videos / "n.mkv"))


def test_manifest_of_a_class(three):
    three.extract()
    lines = three.manifest.read_text().splitlines()
    assert lines[0].split("\t") == [
        *("video", "file", "frames", "width", "height", "fps"),
        *("bytes", "sha256", "suffix", "format", "status", "reason", "content"),
        *("codec", "rate_mode", "orientation", "interlaced", "source_width", "source_height"),
    ]
    assert [line.split("\t")[:6] for line in lines[1:]] == [
        ["a", "a.avi", "5", "64", "48", "30.0"],
        ["b", "b.avi", "7", "64", "48", "30.0"],
        ["c", "c.avi", "9", "64", "48", "30.0"],
    ]


def test_equal_frames_in_different_files_have_one_content(walk):
    for name, frames in (("a", 5), ("other", 4)):
        write_video(walk.videos / f"{name}.avi", frames=frames)
    copy = walk.videos / "renamed.avi"
    copy.write_bytes((walk.videos / "a.avi").read_bytes() + b"JUNK\x04\0\0\0some")
    walk.list()
    for suffix in ("png", "jpg"):
        records = walk.extract(suffix=suffix)
        assert records["a"].sha256 != records["renamed"].sha256
        assert records["a"].content == records["renamed"].content != records["other"].content
        assert find_duplicates({"walk": records.values()}) == [["walk/a.avi", "walk/renamed.avi"]]


def test_content_is_the_hash_of_sizes_and_crcs(walk):
    video = write_video(walk.videos / "a.avi", frames=3)
    walk.list()
    lines = [f"64x48 {zlib.crc32(frame.tobytes())} " for frame in decoded(video)]
    assert walk.extract()["a"].content == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_workers_change_nothing(three):
    alone = three.manifest.read_bytes()
    shutil.rmtree(three.frames.parent)
    three.extract(workers=2)
    assert three.manifest.read_bytes() == alone
    for name in "abc":
        assert np.array_equal(stored(three.rgb(name)), decoded(three.videos / f"{name}.avi"))


def test_png_without_fpng(walk, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "fpng", None)
    write_video(walk.videos / "a.avi")
    walk.list()
    walk.extract()
    assert np.array_equal(stored(walk.rgb("a")), decoded(walk.videos / "a.avi"))
    assert "OpenCV writes the PNG files" in caplog.text


def test_png_of_a_frame_that_fpng_refuses(walk, monkeypatch):
    def refuse(frame):
        raise RuntimeError("no")

    monkeypatch.setattr("fpng.from_ndarray", refuse)
    write_video(walk.videos / "a.avi")
    walk.list()
    walk.extract()
    assert np.array_equal(stored(walk.rgb("a")), decoded(walk.videos / "a.avi"))


def test_jpg_and_its_quality_are_on_record(three):
    assert three.extract(suffix="jpg", quality=90)["a"].format == "jpg 90"
    assert {path.suffix for path in three.rgb("a").iterdir()} == {".jpg"}
    error = np.abs(stored(three.rgb("a")).astype(int) - decoded(three.videos / "a.avi"))
    assert error.mean() < 4
    fine = three.tree()
    assert three.extract(suffix="jpg", quality=20)["a"].format == "jpg 20"
    assert fine.items().isdisjoint(three.tree().items())


def test_odd_names_of_hmdb51(walk):
    odd = (REPOSITORY / "tests/data/splits/odd_names.txt").read_text().split()
    assert len(odd) == 34
    first = write_video(walk.videos / odd[0], frames=3, width=16, height=16)
    not_utf8 = os.fsdecode(b"caf\xe9.avi")
    for name in [*odd[1:], "two words 100%_%03d.avi", "Übung_日本語.avi", "a:b.avi", not_utf8]:
        shutil.copy(first, walk.videos / name)
    walk.list()
    records = walk.extract(workers=2)
    assert len(records) == 38
    assert sorted(record.file for record in records.values()) == names(walk.videos)
    for name in records:
        assert names(walk.rgb(name)) == ["000001.png", "000002.png", "000003.png"]


def test_nothing_is_redone_without_need(three):
    before, table = three.tree(), three.manifest.read_bytes()
    three.extract(encoder="cv2", workers=2)
    assert three.tree() == before
    assert three.manifest.read_bytes() == table


def test_only_what_changed_is_redone(three):
    before = three.tree()
    write_video(three.videos / "b.avi", frames=4)
    write_video(three.videos / "d.avi", frames=3)
    (three.videos / "c.avi").unlink()
    three.list()
    records = three.extract()
    assert {name: record.frames for name, record in records.items()} == {"a": 5, "b": 4, "d": 3}
    assert names(three.frames) == ["a", "b", "d"]
    assert {p: i for p, i in three.tree().items() if p[0] == "a"} == {
        p: i for p, i in before.items() if p[0] == "a"
    }
    assert np.array_equal(stored(three.rgb("b")), decoded(three.videos / "b.avi"))


def test_equal_count_does_not_hide_a_replaced_video(three):
    write_video(three.videos / "a.avi", frames=5, width=80)
    three.list()
    assert three.extract()["a"].width == 80
    assert np.array_equal(stored(three.rgb("a")), decoded(three.videos / "a.avi"))


@pytest.mark.parametrize("damage", ["lost", "stray", "renamed", "no folder", "file for folder"])
def test_damaged_frames_are_made_again(three, damage):
    rgb = three.rgb("b")
    table = three.manifest.read_bytes()
    match damage:
        case "lost":
            (rgb / "000003.png").unlink()
        case "stray":
            (rgb / ".DS_Store").touch()
        case "renamed":
            (rgb / "000007.png").rename(rgb / "000008.png")
        case "no folder":
            shutil.rmtree(three.frames / "b")
        case "file for folder":
            shutil.rmtree(rgb)
            rgb.touch()
    three.extract()
    assert three.manifest.read_bytes() == table
    assert np.array_equal(stored(rgb), decoded(three.videos / "b.avi"))


def test_foreign_entries_leave_the_class_folder_and_flow_stays(three):
    (three.frames / ".DS_Store").touch()
    (three.frames / "stranger/rgb").mkdir(parents=True)
    flow = three.frames / "a/u/000001.jpg"
    flow.parent.mkdir()
    flow.touch()
    three.extract()
    assert names(three.frames) == ["a", "b", "c"]
    assert flow.exists()


def test_frames_may_live_on_another_disk(walk, tmp_path):
    (tmp_path / "disk").mkdir()
    walk.frames.parent.mkdir(parents=True)
    walk.frames.symlink_to(tmp_path / "disk")
    write_video(walk.videos / "a.avi", frames=3)
    walk.list()
    walk.extract()
    assert len(list((tmp_path / "disk/a/rgb").iterdir())) == 3


def make_bad(folder):
    (folder / "empty.avi").touch()
    (folder / "text.avi").write_text("no video")
    data = write_video(folder / "cut.avi", frames=30).read_bytes()
    (folder / "cut.avi").write_bytes(data[: len(data) // 2])


def test_bad_videos_are_listed_with_reasons_and_leave_nothing(three, caplog):
    make_bad(three.videos)
    three.list()
    records = three.extract(workers=2)
    bad = {name: record.reason for name, record in records.items() if record.status == "bad"}
    assert bad["empty"] == "is empty (0 bytes)"
    assert bad["text"].startswith("holds no video stream: ")
    assert bad["cut"].startswith("holds no video stream: it is cut off, 4775 of 9550")
    assert all(records[name].frames == 0 for name in bad)
    assert names(three.frames) == ["a", "b", "c"]
    assert three.leftovers() == []
    assert "cut.avi holds no video stream: it is cut off" in caplog.text


def test_video_that_turned_bad_loses_its_frames(three):
    (three.videos / "a.avi").write_text("overwritten")
    three.list()
    assert three.extract()["a"].status == "bad"
    assert names(three.frames) == ["b", "c"]
    write_video(three.videos / "a.avi", frames=5)
    three.list()
    assert three.extract()["a"].frames == 5


def test_class_without_a_usable_video_is_listed_too(walk):
    make_bad(walk.videos)
    walk.list()
    assert {record.status for record in walk.extract().values()} == {"bad"}
    assert names(walk.frames) == []


def test_missing_videos_are_named_with_the_command(three):
    (three.videos / "b.avi").unlink()
    with pytest.raises(InputError) as error:
        three.extract()
    assert "b.avi" in str(error.value)
    assert f"snakemake -f {three.table}" in str(error.value)
    assert three.rgb("b").is_dir()


def test_missing_folder_of_videos(three):
    shutil.rmtree(three.videos)
    with pytest.raises(InputError, match="3 videos are missing"):
        three.extract()


def test_videos_beyond_the_table_count(three):
    write_video(three.videos / "mine.mp4", frames=4, fourcc="mp4v")
    assert three.extract()["mine"].frames == 4


def test_damaged_record_of_finished_frames_only_costs_time(three):
    done = three.frames.with_name(".walk") / "done.tsv"
    done.write_bytes(os.urandom(200))
    table = three.manifest.read_bytes()
    three.extract()
    assert three.manifest.read_bytes() == table
    assert np.array_equal(stored(three.rgb("a")), decoded(three.videos / "a.avi"))
    again = three.tree()
    three.extract()
    assert three.tree() == again


def test_a_row_that_a_kill_cut_off_costs_its_video_alone(three):
    done = three.frames.with_name(".walk") / "done.tsv"
    before, table = three.tree(), three.manifest.read_bytes()
    for left in (1, 20):
        content = done.read_bytes()
        done.write_bytes(content[:-left])
        last = content.splitlines()[-1].split(b"\t")[0].decode()
        three.extract()
        assert three.manifest.read_bytes() == table
        remade = {path.split("/")[0] for path, _ in three.tree().items() - before.items()}
        assert remade == {last}
        before = three.tree()


def test_a_row_on_a_full_disk_leaves_the_table_as_it_was(small_disk):
    table, record = small_disk / "table.tsv", Segment("a", "a" * 100, 1)
    append_record(table, record)
    while table.stat().st_size % 4096 < 4096 - 100:  # the next row begins in the last page
        append_record(table, record)
    before = table.read_bytes()
    with pytest.raises(OSError, match="No space"):
        (small_disk / "rest").write_bytes(bytes(2**22))
    with pytest.raises(OSError, match="No space"):
        append_record(table, record)
    assert table.read_bytes() == before
    (small_disk / "rest").unlink()
    append_record(table, record)
    assert set(read_segments(table)) == {record}


MEMORY = """
import resource, sys
from pathlib import Path
from actionrec.frames.encoders import ImageFormat
from actionrec.frames.extraction import extract_class
extract_class(*map(Path, sys.argv[1:]), image_format=ImageFormat("png", "fpng", 95))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak_megabytes(walk, folder):
    done = start_python(folder, MEMORY, walk.videos, walk.table, walk.frames, walk.manifest)
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    return int(out)


def test_memory_does_not_grow_with_the_number_of_videos(tmp_path):
    peaks = []
    for count in (20, 80):
        many = Class(tmp_path, f"of_{count}")
        first = write_video(many.videos / "00.avi", frames=10, width=320, height=240)
        for number in range(1, count):
            shutil.copy(first, many.videos / f"{number:02d}.avi")
        many.list()
        peaks.append(peak_megabytes(many, tmp_path))
    assert peaks[1] - peaks[0] < 14, peaks  # the frames of 60 videos are 138 MB


# A script as Snakemake runs it: no `if __name__ == "__main__"` keeps its workers from running it.
SCRIPT = """
import sys
from pathlib import Path
from actionrec.errors import InputError
from actionrec.frames.encoders import ImageFormat
from actionrec.frames.extraction import extract_class
print("script runs", flush=True)
try:
    png = ImageFormat("png", "fpng", 95)
    extract_class(*map(Path, sys.argv[1:]), image_format=png, workers=2)
except InputError as error:
    sys.exit(f"InputError: {error}")
"""


def start_script(walk, folder):
    return start_python(folder, SCRIPT, walk.videos, walk.table, walk.frames, walk.manifest)


@pytest.fixture
def long(walk):
    """Return a class that takes two workers a few seconds."""
    first = write_video(walk.videos / "00.avi", frames=250, width=320, height=240)
    for number in range(1, 12):
        shutil.copy(first, walk.videos / f"{number:02d}.avi")
    walk.list()
    return walk


def finished(walk):
    """Return the videos whose frames the next run can rely on."""
    journal = walk.frames.with_name(".walk") / "done.tsv"
    try:
        return {record.video for record in read_manifest(journal)}
    except InputError:  # not there, or its first row is being written just now
        return set()


def test_a_killed_worker_names_its_video_which_is_made_once_more(long, tmp_path):
    process = start_script(long, tmp_path)
    wait_for(lambda: finished(long))
    os.kill(workers_of(process)[0], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.count("script runs") == 1
    assert re.search(r"\d\d was being read when its process was killed \(SIGKILL\)", err)
    assert "memory" not in err
    records = read_manifest(long.manifest)
    assert [(record.status, record.frames) for record in records] == [("ok", 250)] * 12
    assert long.leftovers() == []


def test_kill_9_of_the_job_ends_its_workers_and_the_next_run_resumes(long, tmp_path):
    process = start_script(long, tmp_path)
    wait_for(lambda: finished(long))
    workers = workers_of(process)
    assert len(workers) == 2
    process.kill()
    process.wait()
    wait_for(lambda: not any(map(is_running, workers)), seconds=5)
    assert not long.manifest.exists()
    resume(long)


def resume(long):
    """Run again: what was finished is kept, the rest is made, nothing is left over."""
    done = finished(long)
    assert 0 < len(done) < 12
    before = {path: state for path, state in long.tree().items() if path[:2] in done}
    assert len(before) == 250 * len(done)
    records = long.extract(workers=2)
    assert {record.frames for record in records.values()} == {250}
    assert before.items() <= long.tree().items()
    assert long.leftovers() == []
    for name in records:
        assert len(names(long.rgb(name))) == 250


@pytest.mark.parametrize("workers", [1, 2])
def test_full_disk(small_disk, tmp_path, workers):
    walk = Class(tmp_path)
    walk.frames.parent.mkdir(parents=True)
    walk.frames.symlink_to(small_disk / "walk")
    (small_disk / "walk").mkdir()
    for number, frames in enumerate((10, 10, 200)):
        write_video(walk.videos / f"{number}.avi", frames=frames, width=320, height=240)
    walk.list()
    with pytest.raises(InputError, match="The disk is full") as error:
        walk.extract(workers=workers)
    assert "run the same command again" in str(error.value)
    assert not walk.manifest.exists()
    assert not list(walk.frames.glob("2"))
    assert all(len(names(rgb)) == 10 for rgb in walk.frames.glob("*/rgb"))
    assert [path.name for path in (small_disk / ".walk").glob("part-*")] == []
    # The disk may have been full when a video that had all its images was to be noted as finished.
    done = finished(walk)
    before = {path: state for path, state in walk.tree().items() if path[:1] in done}
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert walk.extract(workers=workers)["2"].frames == 200
    assert before.items() <= walk.tree().items()


def test_frames_in_the_networks_size_are_what_the_reader_would_make_of_them(walk):
    write_video(walk.videos / "a.avi", 6, width=70, height=50)
    walk.list()
    as_they_are = walk.extract()["a"]
    paths = sorted((walk.frames / "a" / "rgb").iterdir())
    expected = [read_image(path, (32, 24)) for path in paths]
    record = walk.extract(size=(32, 24))["a"]
    assert (as_they_are.format, record.format) == ("png", "png 32x24")
    assert (record.width, record.height, record.frames) == (32, 24, 6)
    for path, pixels in zip(paths, expected, strict=True):
        assert np.array_equal(cv2.imread(str(path))[..., ::-1], pixels)


def test_files_that_differ_by_suffix_alone_are_told_apart(three):
    """Whatever is added to or removed from a class, `a` stays `a` as long as a.avi is there."""
    kept = {path: state for path, state in three.tree().items() if path[:2] == "a/"}
    write_video(three.videos / "a.mp4", frames=8, fourcc="mp4v")
    three.list()
    records = three.extract()
    assert {name: record.file for name, record in records.items()} == {
        **{"a": "a.avi", "a.mp4": "a.mp4"},
        **{"b": "b.avi", "c": "c.avi"},
    }
    assert [records[name].frames for name in ("a", "a.mp4")] == [5, 8]
    assert kept.items() <= three.tree().items()
    assert [records[name].display_name for name in ("a", "a.mp4")] == ["a.avi", "a.mp4"]
    (three.videos / "a.avi").unlink()
    three.list()
    assert three.extract()["a"].file == "a.mp4"
    assert np.array_equal(stored(three.rgb("a")), decoded(three.videos / "a.mp4"))
    assert names(three.frames) == ["a", "b", "c"]
