"""The summary of a dataset and its page: counts, findings, leakage between parts, pictures."""

import json
import re
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from actionrec.dataset.findings import comparisons, findings
from actionrec.dataset.page import write_page
from actionrec.dataset.splits import ClassFiles, SplitSettings
from actionrec.dataset.summary import summarise
from actionrec.frames.extraction import extract_class
from actionrec.frames.manifest import FrameRecord, write_manifest
from actionrec.frames.videos import list_videos, write_files_table
from actionrec.sources.table import Given, write_parts
from helpers import PNG

RECORD = FrameRecord("a", "a.avi", 5, 64, 48, 29.97, 1234, "0" * 64, "png", "png", "ok", "")
FACTS = {
    "codec": "h264",
    "rate_mode": "variable",
    "orientation": "mirrored",
    "interlaced": 5,
    "source_width": 1920,
    "source_height": 1080,
}
SETTINGS = SplitSettings("fraction", test_fraction=0.3, validation=0.3, seed=1)
GIVEN = replace(SETTINGS, method="given")


def test_summary_of_a_dataset(tmp_path):
    walk = [
        RECORD,
        replace(
            RECORD,
            video="b",
            file="b.avi",
            status="warn",
            reason="header",
            sha256="1" * 64,
            **FACTS,
        ),
        FrameRecord("c", "c.avi", 0, 0, 0, 0.0, 0, "2" * 64, "", "", "bad", "is empty (0 bytes)"),
    ]
    run = [replace(RECORD, video="z_1-2", file="/x/z.mp4", frames=9, width=320, fps=30.0)]
    write_manifest(tmp_path / "walk.tsv", walk)
    write_manifest(tmp_path / "run.tsv", run)
    manifests = {cls: tmp_path / f"{cls}.tsv" for cls in ("walk", "run")}
    options = {"frames": tmp_path, "settings": SETTINGS, "official": {}, "videos": "mine"}
    summarise(ClassFiles(manifests), tmp_path / "dataset.json", **options)
    first = (tmp_path / "dataset.json").read_bytes()

    def count(*statuses, frames, seconds, shortest, median, longest):
        named = zip(("ok", "warn", "bad"), statuses, strict=True)
        lengths = {"shortest": shortest, "median": median, "longest": longest}
        videos = {"videos": sum(statuses), **dict(named)}
        return {**videos, "frames": frames, "seconds": seconds, **lengths}

    assert json.loads(first) == {
        "classes": {
            "walk": count(1, 1, 1, frames=10, seconds=0.3, shortest=5, median=5, longest=5),
            "run": count(1, 0, 0, frames=9, seconds=0.3, shortest=9, median=9, longest=9),
        },
        "total": count(2, 1, 1, frames=19, seconds=0.6, shortest=5, median=5, longest=9),
        "lengths": {
            "edges": [5, 6, 7, 8, 9, 10],
            "classes": {"walk": [2, 0, 0, 0, 0], "run": [0, 0, 0, 0, 1]},
        },
        "sizes": {"1920x1080": 1, "320x48": 1, "64x48": 1},
        "stored_sizes": {"320x48": 1, "64x48": 2},
        "codecs": {"h264": 1, "unknown": 2},
        "orientations": {"mirrored": 1},
        "interlaced": 1,
        "fps": {"29.97": 1, "29.97, variable": 1, "30": 1},
        "formats": {"png": 3},
        "remarks": {"header": 1},
        "bad": [{"class": "walk", "file": "mine/walk/c.avi", "reason": "is empty (0 bytes)"}],
        "duplicates": [["run/z_1-2", "walk/a.avi"]],
        "conflicts": [["run/z_1-2", "walk/a.avi"]],
        "mirrored_classes": [],
        "look_alikes": [],
        "mirrored": [],
        "places": [],
        "compared": {"by_look": 0, "flat": 2, "too_many": False, "undecoded": 0},
        "sources": {"videos": 3, "sources": 3, "rule": ""},
        "splits": {},
    }
    summarise(ClassFiles(manifests), tmp_path / "dataset.json", **options)
    assert (tmp_path / "dataset.json").read_bytes() == first


def scene(seed, count=12, width=160, height=120):
    """Return frames of a random landscape with a square that crosses it."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    land = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 9), None, 0, 255, cv2.NORM_MINMAX)
    frames = [land.astype(np.uint8) for _ in range(count)]
    for index, frame in enumerate(frames):
        frame[40:80, 8 * index : 8 * index + 30] = seed * 37 % 256
    return frames


def encode(path, frames, fourcc="MJPG", scale=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = (round(side * scale) for side in frames[0].shape[:2])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), 30, (width, height))
    for frame in frames:
        writer.write(cv2.resize(frame, (width, height)))
    writer.release()
    return path


class Dataset:
    """Some classes of videos with their frames, summary and page."""

    def __init__(self, root):
        self.root = root
        self.manifests = {}

    def extract(self, *classes):
        for cls in classes:
            videos, table = self.root / "videos" / cls, self.root / f"{cls}.files.tsv"
            write_files_table(table, list_videos(videos))
            self.manifests[cls] = self.root / f"{cls}.tsv"
            folders = videos, table, self.root / "frames" / cls, self.manifests[cls]
            extract_class(*folders, image_format=PNG)

    def summarise(self, settings=SETTINGS, numbers=(1, 2), given=None):
        files, output = ClassFiles(self.manifests, given=given or {}), self.root / "dataset.json"
        official = {number: {} for number in numbers}
        videos = str(self.root / "videos")
        options = {"settings": settings, "official": official, "videos": videos, "threads": 2}
        summarise(files, output, frames=self.root / "frames", **options)
        return json.loads(output.read_text())

    def page(self, name="page.html", tolerate=1, flips=None):
        write_page(
            "<my set>",
            summary=self.root / "dataset.json",
            manifests=self.manifests,
            frames=self.root / "frames",
            output=self.root / name,
            tolerate=tolerate,
            flips=flips,
        )
        return (self.root / name).read_text()


@pytest.fixture
def dataset(tmp_path):
    """Return two classes of five scenes; scene 0 is there twice, encoded again, 9 as a copy."""
    found = Dataset(tmp_path)
    for seed in range(5):
        encode(tmp_path / f"videos/<walk>/w{seed}.avi", scene(seed))
        encode(tmp_path / f"videos/run/r{seed}.avi", scene(seed + 5))
    encode(tmp_path / "videos/<walk>/again.mp4", scene(0), "mp4v", scale=1.5)
    shutil.copy(tmp_path / "videos/run/r4.avi", tmp_path / "videos/run/copy.avi")
    (tmp_path / "videos/run/empty.avi").touch()
    found.extract("<walk>", "run")
    return found


def test_copies_are_found_by_file_and_by_look_and_in_two_parts(dataset, tmp_path):
    given = {cls: tmp_path / f"{cls}.parts.tsv" for cls in dataset.manifests}
    sides = {"again": "test", "w1": "test", "w2": "val", "copy": "val", "r0": "test"}
    for cls, names in (("<walk>", "w0 w1 w2 w3 w4 again"), ("run", "r0 r1 r2 r3 r4 copy")):
        rows = {name: Given(sides.get(name, "train"), name[0]) for name in names.split()}
        write_parts(given[cls], rows)
    summary = dataset.summarise(GIVEN, [1], given)
    assert summary["duplicates"] == [["run/copy.avi", "run/r4.avi"]]
    assert summary["look_alikes"] == [["<walk>/again", "<walk>/w0"]]
    assert summary["splits"]["1"] == {
        "classes": {
            "<walk>": {"train": 3, "val": 1, "test": 2},
            "run": {"train": 4, "val": 1, "test": 1},
        },
        "videos": {"train": 7, "val": 2, "test": 3},
        "sources": {"train": 7, "val": 2, "test": 3},
        "groups": {},
        "videos_by_source": {
            "train": {"sizes": {"1": 7}, "largest": {"name": "<walk>/w0", "videos": 1}},
            "val": {"sizes": {"1": 2}, "largest": {"name": "<walk>/w2", "videos": 1}},
            "test": {"sizes": {"1": 3}, "largest": {"name": "<walk>/again", "videos": 1}},
        },
        "videos_by_group": {},
        "leaks": {
            "same content": [["run/r4 (train)", "run/copy (val)"]],
            "same source video": [],
            "same group": [],
            "look alike": [["<walk>/w0 (train)", "<walk>/again (test)"]],
            "mirrored": [],
            "same place": [["<walk>/w0 (train)", "<walk>/again (test)"]],
        },
        "leak_names": {"same source video": [], "same group": []},
    }


def test_videos_that_were_not_decoded_are_compared_by_their_files_alone(tmp_path):
    listed = replace(RECORD, suffix="video", format="video")
    write_manifest(tmp_path / "walk.tsv", [listed, replace(listed, video="b", file="b.avi")])
    files, output = ClassFiles({"walk": tmp_path / "walk.tsv"}), tmp_path / "dataset.json"
    summarise(files, output, frames=tmp_path, settings=SETTINGS, official={})
    summary = json.loads(output.read_text())
    assert summary["duplicates"] == [["walk/a.avi", "walk/b.avi"]]
    assert summary["compared"] == {"by_look": 0, "flat": 0, "too_many": False, "undecoded": 2}
    (said,) = comparisons(summary)
    assert said.startswith("The files of 2 videos, for equal ones; frames.check: quick")


def test_cuts_of_one_file_in_two_parts(tmp_path):
    names = ["film_1-2", "film_5-6", "other"]
    records = [
        replace(RECORD, video=name, file=f"/x/{name.partition('_')[0]}.mp4", sha256=str(index) * 64)
        for index, name in enumerate(names)
    ]
    given = {}
    for cls in ("a", "b"):
        write_manifest(tmp_path / f"{cls}.tsv", records if cls == "a" else records[2:])
        given[cls] = tmp_path / f"{cls}.parts.tsv"
    parts = {"film_1-2": "train", "film_5-6": "test", "other": "val"}
    write_parts(given["a"], {video: Given(part, "") for video, part in parts.items()})
    write_parts(given["b"], {"other": Given("train", "")})
    manifests = {cls: tmp_path / f"{cls}.tsv" for cls in given}
    options = {"frames": tmp_path, "settings": GIVEN, "official": {1: {}}}
    summarise(ClassFiles(manifests, given=given), tmp_path / "d.json", **options)
    split = json.loads((tmp_path / "d.json").read_text())["splits"]["1"]
    assert "Classes without a video to train or to test with" in split["problem"]
    assert "b: no test video" in split["problem"]
    manifests.pop("b"), given.pop("b")
    summarise(ClassFiles(manifests, given=given), tmp_path / "d.json", **options)
    summary = json.loads((tmp_path / "d.json").read_text())
    leaks = summary["splits"]["1"]["leaks"]
    assert leaks["same source video"] == [["a/film_1-2 (train)", "a/film_5-6 (test)"]]
    (finding,) = (found for found in findings(summary) if "one source video" in found.title)
    assert finding.entries == ["/x/film: a/film_1-2 (train) = a/film_5-6 (test)"]
    assert leaks["same content"] == []


def test_the_page_stands_alone_and_names_all_findings(dataset):
    dataset.summarise()
    page = dataset.page()
    assert page == dataset.page("again.html")
    assert "&lt;my set&gt;" in page
    assert "<walk>" not in page, "a class's name must not become markup"
    assert "http" not in re.sub(r"data:[^\"]+", "", page)
    strips = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(strips) == 6, "three videos of each class"
    for finding in (
        "/videos/run/empty.avi is empty",
        "run/copy.avi = run/r4.avi",
        "Videos that look alike: 1",
    ):
        assert finding in page
    assert '<th class="n first">train 2</th>' in page


def test_a_clean_dataset_says_so(tmp_path):
    dataset = Dataset(tmp_path)
    for seed in range(4):
        encode(tmp_path / f"videos/one/{seed}.avi", scene(seed))
        encode(tmp_path / f"videos/two/{seed}.avi", scene(seed + 4))
    dataset.extract("one", "two")
    assert dataset.summarise()["look_alikes"] == []
    page = dataset.page()
    assert "nothing in two parts of a split, in what was compared" in page
    assert "The decoded frames of 8 videos, for equal ones" in page
    assert "of 8 videos, as they are and mirrored" in page
    assert 'class="bad"' not in page
    assert 'class="warn"' not in page
    assert "Every video counts as its own source, as no rule for source_video is set" in page


def test_a_split_that_cannot_be_made_is_shown_and_stops_nothing(dataset):
    summary = dataset.summarise(replace(SETTINGS, source_video="("))
    assert "does not tell the source video" in summary["splits"]["1"]["problem"]
    assert "Split 2 cannot be made: 1" in dataset.page()


def test_mirrored_copies_on_two_sides_are_found_and_one_place_too(tmp_path):
    dataset = Dataset(tmp_path)
    for seed in range(4):
        encode(tmp_path / f"videos/one/{seed}.avi", scene(seed))
        encode(tmp_path / f"videos/two/{seed}.avi", scene(seed + 4))
    flipped = [frame[:, ::-1] for frame in scene(0)]
    encode(tmp_path / "videos/one/0_flipped.mp4", flipped, "mp4v", scale=1.5)
    # The same place, and something else in front of it.
    elsewhere = [frame.copy() for frame in scene(1)]
    for index, frame in enumerate(elsewhere):
        frame[40:80] = scene(1)[0][40:80]
        frame[5 * index : 5 * index + 40, 100:130] = 255
    encode(tmp_path / "videos/two/other.avi", elsewhere)
    dataset.extract("one", "two")
    given = {cls: tmp_path / f"{cls}.parts.tsv" for cls in ("one", "two")}
    parts = {"0": "train", "0_flipped": "test", "1": "train", "2": "test", "3": "val"}
    write_parts(given["one"], {video: Given(part, "") for video, part in parts.items()})
    parts = {"0": "train", "1": "train", "2": "train", "3": "val", "other": "test"}
    write_parts(given["two"], {video: Given(part, "") for video, part in parts.items()})
    summary = dataset.summarise(GIVEN, [1], given)
    assert summary["look_alikes"] == []
    assert summary["mirrored"] == [["one/0", "one/0_flipped"]]
    assert summary["places"] == [["one/1", "two/other"]]
    leaks = summary["splits"]["1"]["leaks"]
    assert leaks["mirrored"] == [["one/0 (train)", "one/0_flipped (test)"]]
    assert leaks["same place"] == [["one/1 (train)", "two/other (test)"]]
    page = dataset.page()
    assert "Split 1: a video and its mirror image in two parts: 1" in page
    assert "Split 1: one camera or place in two parts: 1" in page


def test_a_picture_that_is_its_own_mirror_image_is_no_mirrored_copy(tmp_path):
    dataset = Dataset(tmp_path)
    for name, seeds in (("one", (0, 1)), ("two", (2, 3))):
        for seed in seeds:
            frames = [np.hstack([frame, frame[:, ::-1]]) for frame in scene(seed)]
            encode(tmp_path / f"videos/{name}/{seed}.avi", frames)
            encode(tmp_path / f"videos/{name}/{seed}_again.mp4", frames, "mp4v", scale=0.5)
    dataset.extract("one", "two")
    summary = dataset.summarise()
    assert len(summary["look_alikes"]) == 4
    assert summary["mirrored"] == []


def test_the_page_shows_the_facts_of_each_video_and_the_bad_ones_first(tmp_path):
    bad = replace(RECORD, video="z", file="z.avi", frames=0, status="bad", codec="av1")
    records = [
        RECORD,
        replace(RECORD, video="b", file="b.avi", **FACTS),
        replace(bad, reason="is AV1"),
    ]
    dataset = Dataset(tmp_path)
    for cls in ("a$b$", "=two"):
        dataset.manifests[cls] = tmp_path / f"{cls}.tsv"
        write_manifest(dataset.manifests[cls], records)
    dataset.summarise()
    page = dataset.page(tolerate=0)
    assert "No split is made while a class has more of them than frames.tolerate, 0" in page
    assert "or set it to 1 to leave them out" in page
    assert "videos/a$b$/z.avi is AV1" in page
    table = page[page.index("<h2>Videos</h2>") :]
    names = re.findall(r'class="name">([^<]*)<', table)
    assert names == ["z.avi", "a.avi", "b.avi"] * 2
    for fact in ("h264", "1920x1080", "29.97, variable", "mirrored; 5 interlaced frames"):
        assert f">{fact}</td>" in table
    assert "They are left out: frames.tolerate allows that." in dataset.page(tolerate=1)
