"""Flow has the right sign and size, TAO's layout, and is kept, remade and refused as frames are."""

import os
import re
import shutil
import signal
import subprocess
from dataclasses import astuple, replace

import cv2
import numpy as np
import pytest

from actionrec.errors import InputError
from actionrec.frames.flow import (
    extract_flow,
    fixed,
    make_method,
    max_rad,
    read_flo,
)
from actionrec.frames.flow_manifest import FlowRecord, flow_faults, read_flow_manifest
from actionrec.frames.manifest import FrameRecord, read_manifest, write_manifest
from actionrec.frames.staleness import stale_flow
from helpers import DIS, REPOSITORY, is_running, start_python, wait_for, workers_of

RIGHT, DOWN = 3, -2  # what the drawn picture moves by from frame to frame, in pixels


def draw(count, width=96, height=64, seed=0):
    """Return frames of a smooth random texture that moves as a whole, BGR uint8."""
    margin = 4 * count
    noise = np.random.default_rng(seed).normal(size=(height + 2 * margin, width + 2 * margin, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    texture = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    tops = [margin - DOWN * index for index in range(count)]
    lefts = [margin - RIGHT * index for index in range(count)]
    return [
        texture[top : top + height, left : left + width]
        for top, left in zip(tops, lefts, strict=True)
    ]


def write_flo(path, flow):
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = flow.shape[:2]
    header = np.float32(202021.25).tobytes() + np.array([width, height], "<i4").tobytes()
    path.write_bytes(header + flow.astype("<f4").tobytes())


class Class:
    """The frames of one class in a project folder."""

    def __init__(self, root, name="walk"):
        self.root = root
        self.frames = root / "resources/frames" / name
        self.frame_manifest = root / "results/frames" / f"{name}.tsv"
        self.manifest = root / "results/flow" / f"{name}.tsv"
        self.flo = root / "flo" / name
        self.records = {}

    def add(self, video, frames, suffix="png"):
        rgb = self.frames / video / "rgb"
        shutil.rmtree(rgb, ignore_errors=True)
        rgb.mkdir(parents=True)
        digest = 0
        for number, frame in enumerate(frames, 1):
            data = cv2.imencode(f".{suffix}", frame)[1].tobytes()
            (rgb / f"{number:06d}.{suffix}").write_bytes(data)
            digest = hash((digest, data))
        height, width = frames[0].shape[:2]
        form = "png" if suffix == "png" else "jpg 95"
        self.records[video] = FrameRecord(
            *(video, f"{video}.avi", len(frames), width, height, 30.0, 9),
            *(f"{digest:064d}", suffix, form, "ok", ""),
            content=f"{digest:064d}",
        )
        write_manifest(self.frame_manifest, self.records.values())

    def extract(self, *, workers=0, **settings):
        self.manifest.unlink(missing_ok=True)  # as Snakemake does
        extract_flow(
            self.frames,
            self.frame_manifest,
            self.manifest,
            replace(DIS, **settings),
            flo=self.flo if settings.get("method") == "flo" else None,
            workers=workers,
        )
        return {flow.video: flow for flow in read_flow_manifest(self.manifest)}

    def images(self, video, name):
        paths = sorted((self.frames / video / name).iterdir())
        return np.array([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths])

    def tree(self):
        """Return each flow image's path, inode and time, which tell a kept file from a remade one.

        A remade file may get the inode of the one that it replaces.
        """
        return {
            str(path.relative_to(self.frames)): (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in self.frames.glob("*/[uv]/*")
        }

    def content(self):
        return {path: (self.frames / path).read_bytes() for path in self.tree()}


@pytest.fixture
def walk(tmp_path):
    return Class(tmp_path)


@pytest.fixture
def three(walk):
    """Return a class of three videos of 4, 5 and 6 frames, with flow."""
    for index, video in enumerate("abc"):
        walk.add(video, draw(4 + index, seed=index))
    walk.extract()
    return walk


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def field(*motions):
    """Return a flow of one row, a pixel for each (right, down)."""
    return np.array([motions], np.float32)


def test_max_rad_is_nvidias_mapping():
    """The values of uint8(u / m * 127.999 + 128), m the longest motion or 1."""
    assert max_rad(field((3, -4))).tolist() == [[[204, 25]]]
    assert max_rad(field((3, 0), (-1.5, 0), (0, 0))).tolist() == [
        [[255, 128], [64, 128], [128, 128]]
    ]
    assert max_rad(field((0, -7.25))).tolist() == [[[128, 0]]]
    assert max_rad(field((0.5, -0.25))).tolist() == [[[191, 96]]]


def test_fixed_range_is_20_pixels():
    motions = (3, -4), (20, -20), (99, -99), (0, 0), (-3, 4)
    expected = [[147, 102], [255, 0], [255, 0], [128, 128], [108, 153]]
    assert fixed(field(*motions)).tolist() == [expected]


HAS_TVL1 = hasattr(cv2, "optflow")
METHODS = [
    replace(DIS, preset="ultrafast"),
    replace(DIS, preset="fast"),
    DIS,
    replace(DIS, method="farneback"),
    pytest.param(
        replace(DIS, method="tvl1"), marks=pytest.mark.skipif(not HAS_TVL1, reason="no contrib")
    ),
]


@pytest.mark.parametrize("settings", METHODS, ids=lambda settings: settings.full_method)
def test_every_method_sees_the_motion(settings):
    first, second = (cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in draw(2, 128, 96))
    method = make_method(settings)
    flow = method(first, second)
    assert flow.shape == (96, 128, 2)
    assert flow.dtype == np.float32
    inside = flow[16:-16, 16:-16].reshape(-1, 2)
    assert np.median(inside, axis=0) == pytest.approx([RIGHT, DOWN], abs=0.3)
    method(second, first)
    assert np.array_equal(method(first, second), flow), "a pair's flow depends on nothing else"


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_images_have_the_right_sign_and_size_in_both_mappings(walk, method):
    walk.add("a", draw(5))
    walk.extract(method=method, mapping="fixed")
    at = (slice(None), slice(16, -16), slice(16, -16))
    assert np.median(walk.images("a", "u")[at]) == pytest.approx(255 * 23 / 40, abs=2)
    assert np.median(walk.images("a", "v")[at]) == pytest.approx(255 * 18 / 40, abs=2)
    walk.extract(method=method, mapping="max_rad")
    u, v = (np.median(walk.images("a", name)[at]) - 128 for name in "uv")
    assert 40 < u <= 127
    assert v / u == pytest.approx(DOWN / RIGHT, abs=0.1)


def test_layout_and_manifest(three):
    for video, count in (("a", 3), ("b", 4), ("c", 5)):
        for name in "uv":
            folder = three.frames / video / name
            assert names(folder) == [f"{number:06d}.jpg" for number in range(1, count + 1)]
            assert three.images(video, name).shape == (count, 64, 96)
            assert three.images(video, name).dtype == np.uint8
    assert three.manifest.read_text().splitlines()[0].split("\t") == [
        *("video", "images", "width", "height", "method", "mapping", "opencv"),
        *("frames", "sha256", "status", "reason"),
    ]
    rows = [astuple(flow) for flow in read_flow_manifest(three.manifest)]
    version = cv2.__version__
    assert rows[1] == (
        *("b", 4, 96, 64, "dis medium", "max_rad", version),
        *("png", three.records["b"].content, "ok", ""),
    )
    assert names(three.frames.with_name(".walk")) == ["flow.tsv", "lock"]


def test_workers_and_a_second_run_change_nothing(three):
    manifest, content, tree = three.manifest.read_bytes(), three.content(), three.tree()
    three.extract(workers=2)
    assert three.tree() == tree
    shutil.rmtree(three.frames.with_name(".walk"))
    three.extract(workers=2)
    assert three.tree().items().isdisjoint(tree.items())
    assert (three.manifest.read_bytes(), three.content()) == (manifest, content)


def test_flow_is_of_the_stored_pixels(walk):
    """Frames stored as JPEG are what training sees: the flow is theirs, not the video's."""
    frames = draw(3)
    walk.add("a", frames)
    walk.extract(mapping="fixed")
    exact = walk.content()
    stored = [cv2.imdecode(cv2.imencode(".jpg", frame)[1], 1) for frame in frames]
    walk.add("a", frames, suffix="jpg")
    assert walk.extract(mapping="fixed")["a"].frames == "jpg 95"
    lossy = walk.content()
    walk.add("a", stored)
    walk.extract(mapping="fixed")
    assert lossy == walk.content() != exact


def test_only_what_changed_is_redone(three):
    before = three.tree()
    three.add("b", draw(3, seed=9))
    three.add("d", draw(2, seed=10))
    (three.frames / "c/v/000002.jpg").unlink()
    flows = three.extract()
    assert {video: flow.images for video, flow in flows.items()} == {"a": 3, "b": 2, "c": 5, "d": 1}
    kept = three.tree().items() & before.items()
    assert {path for path, _ in kept} == {path for path in before if path[0] == "a"}
    assert not list(flow_faults(three.frames / "b", 2))


def test_other_settings_redo_all(three):
    tree = three.tree()
    for options in ({"mapping": "fixed"}, {"preset": "fast"}, {"method": "farneback"}):
        three.extract(**options)
        assert three.tree().items().isdisjoint(tree.items())
        tree = three.tree()


def test_odd_names(walk):
    odd = (REPOSITORY / "tests/data/splits/odd_names.txt").read_text().split()
    odd = [name.removesuffix(".avi") for name in odd]
    for name in [*odd, "two words 100%_%03d", "Übung_日本語", os.fsdecode(b"\xff")]:
        walk.add(name, draw(2, 16, 16))
    flows = walk.extract(workers=2)
    assert len(flows) == 37
    for name in flows:
        assert names(walk.frames / name / "u") == names(walk.frames / name / "v") == ["000001.jpg"]


def test_videos_without_flow_are_listed_with_the_reason(walk, caplog):
    walk.add("a", draw(3))
    walk.add("single", draw(1))
    walk.add("flat", draw(3, 96, 12))
    flows = walk.extract()
    assert {video: (flow.images, flow.status) for video, flow in flows.items()} == {
        "a": (2, "ok"),
        "flat": (0, "none"),
        "single": (0, "none"),
    }
    assert flows["single"].reason == "has one frame: there is no motion to see"
    assert flows["flat"].reason == "has frames of 96x12: dis medium needs 16 pixels a side"
    assert "single has one frame" in caplog.text
    assert names(walk.frames / "single") == ["rgb"]


def test_a_video_that_lost_its_motion_loses_its_flow(three):
    three.add("b", draw(1))
    assert three.extract()["b"].status == "none"
    assert names(three.frames / "b") == ["rgb"]


def test_class_without_flow(walk):
    walk.add("single", draw(1))
    with pytest.raises(InputError, match="no video with flow"):
        walk.extract()
    assert not walk.manifest.exists()


def test_bad_videos_have_no_row(three):
    bad = FrameRecord(
        "bad", "bad.avi", 0, 0, 0, 0.0, 0, "1" * 64, "", "", "bad", "is empty (0 bytes)"
    )
    write_manifest(three.frame_manifest, [*three.records.values(), bad])
    assert list(three.extract()) == ["a", "b", "c"]


def test_frames_that_differ_from_their_manifest(three):
    (three.frames / "b/rgb/000002.png").unlink()
    shutil.rmtree(three.frames / "c/rgb")
    with pytest.raises(InputError) as error:
        three.extract()
    assert "b: expected 5 png frames, found 4 files" in str(error.value)
    assert "c: expected 6 frames, found no folder rgb" in str(error.value)
    assert f"snakemake -f {three.frame_manifest}" in str(error.value)
    assert not three.manifest.exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_damaged_frame(three, workers):
    before = three.tree()
    three.add("b", draw(5, seed=9))
    (three.frames / "b/rgb/000003.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"A frame is damaged(?s:.)*b/rgb/000003.png"):
        three.extract(workers=workers)
    assert not three.manifest.exists()
    assert three.tree() == before


def test_tvl1_without_contrib(three, monkeypatch):
    monkeypatch.delattr(cv2, "optflow", raising=False)
    with pytest.raises(InputError, match="opencv-contrib-python-headless"):
        three.extract(method="tvl1")


@pytest.fixture
def measured(walk):
    """Return a class of two videos with .flo files, and their flow in pixels."""
    rng = np.random.default_rng(3)
    flows = {video: rng.normal(0, 6, (count, 24, 40, 2)) for video, count in (("a", 3), ("b", 11))}
    for video, flow in flows.items():
        walk.add(video, draw(len(flow) + 1, 40, 24))
        for index, pair in enumerate(flow):
            write_flo(walk.flo / video / f"walk_{video}_{index}.flo", pair)
    return walk, flows


@pytest.mark.parametrize(("mapping", "function"), [("max_rad", max_rad), ("fixed", fixed)])
def test_flo_files_are_mapped_in_the_order_of_their_numbers(measured, mapping, function):
    walk, flows = measured
    rows = walk.extract(method="flo", mapping=mapping, workers=2)
    assert [(row.images, row.method, row.mapping) for row in rows.values()] == [
        (3, "flo", mapping),
        (11, "flo", mapping),
    ]
    for video, flow in flows.items():
        for number, pair in enumerate(flow.astype(np.float32), 1):
            for index, name in enumerate("uv"):
                path = walk.frames / video / name / f"{number:06d}.jpg"
                expected = cv2.imencode(".jpg", function(pair)[..., index])[1].tobytes()
                assert path.read_bytes() == expected


def test_flo_files_that_changed_are_read_again(measured):
    walk, _ = measured
    before = walk.extract(method="flo")
    tree = walk.tree()
    assert walk.extract(method="flo") == before
    assert walk.tree() == tree
    write_flo(walk.flo / "a/walk_a_1.flo", np.ones((24, 40, 2)))
    after = walk.extract(method="flo")
    assert after["b"] == before["b"]
    assert after["a"].cache_key != before["a"].cache_key
    assert {path for path in tree if tree[path] != walk.tree()[path]} == {
        path for path in tree if path[0] == "a"
    }


def test_every_miscount_of_flo_files_is_named_at_once(measured):
    walk, _ = measured
    (walk.flo / "a/walk_a_1.flo").unlink()
    shutil.rmtree(walk.flo / "b")
    walk.add("single", draw(1))
    with pytest.raises(InputError) as error:
        walk.extract(method="flo")
    assert "2 videos have not one .flo file for each pair of frames" in str(error.value)
    assert "a: 4 frames need 3 .flo files, found 2" in str(error.value)
    assert "b: 12 frames need 11 .flo files, found 0" in str(error.value)
    assert not walk.manifest.exists()
    assert walk.tree() == {}


def test_flo_of_another_size(measured):
    walk, _ = measured
    write_flo(walk.flo / "a/walk_a_1.flo", np.zeros((12, 20, 2)))
    with pytest.raises(InputError, match=r"walk_a_1.flo(?s:.)*20x12(?s:.)*40x24, as the frames"):
        walk.extract(method="flo")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:11],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"PIEX" + data[4:],
        lambda data: data[:4] + b"\xff" * 8 + data[12:],
        lambda data: data[:4] + b"\xff\xff\xff\x7f" * 2 + data[12:],
        lambda data: data[:12] + np.float32(np.nan).tobytes() + data[16:],
        lambda data: data[:12] + np.float32(1e10).tobytes() + data[16:],
    ],
)
def test_damaged_flo_is_refused(tmp_path, damage):
    path = tmp_path / "a.flo"
    flow = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    write_flo(path, flow)
    assert np.array_equal(read_flo(path), flow)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"a\.flo"):
        read_flo(path)


SCRIPT = """
import sys
from pathlib import Path
from actionrec.errors import InputError
from actionrec.frames.flow import FlowSettings, extract_flow
print("script runs", flush=True)
try:
    extract_flow(*map(Path, sys.argv[1:]), FlowSettings("dis", "medium", "max_rad"), workers=2)
except InputError as error:
    sys.exit(f"InputError: {error}")
"""


@pytest.mark.parametrize("victim", ["worker", "job"])
def test_kill_9_of_a_worker_or_of_the_job(walk, tmp_path, victim):
    frames = draw(20, 192, 128)
    for index in range(12):
        walk.add(f"{index:02d}", frames)
    process = start_python(tmp_path, SCRIPT, walk.frames, walk.frame_manifest, walk.manifest)
    done = walk.frames.with_name(".walk") / "flow.tsv"
    wait_for(done.exists)
    workers = workers_of(process)
    os.kill(workers[0] if victim == "worker" else process.pid, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    wait_for(lambda: not any(map(is_running, workers)), seconds=5)
    assert out.count("script runs") == 1
    killed = re.search(r"\d\d was being read when its process was killed", err)
    assert bool(killed) == walk.manifest.exists() == (victim == "worker")
    if victim == "worker":  # its video was made once more
        assert {flow.images for flow in read_flow_manifest(walk.manifest)} == {19}
        return

    finished = {flow.video for flow in read_flow_manifest(done)}
    assert 0 < len(finished) < 12
    before = {path: inode for path, inode in walk.tree().items() if path[:2] in finished}
    assert len(before) == 38 * len(finished)
    assert {flow.images for flow in walk.extract(workers=2).values()} == {19}
    assert before.items() <= walk.tree().items()
    assert len(walk.tree()) == 12 * 38
    assert names(done.parent) == ["flow.tsv", "lock"]


def test_full_disk(small_disk, walk):
    walk.frames.parent.mkdir(parents=True)
    (small_disk / "walk").mkdir()
    walk.frames.symlink_to(small_disk / "walk")
    for video, count in (("a", 3), ("b", 12)):
        walk.add(video, draw(count, 160, 120))
    ballast = shutil.disk_usage(small_disk).free - 32_768
    (small_disk / "ballast").write_bytes(bytes(ballast))
    with pytest.raises(InputError, match="The disk is full"):
        walk.extract()
    assert not walk.manifest.exists()
    assert not list(walk.frames.glob("b/[uv]"))
    before = walk.tree()
    assert before.keys()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert walk.extract()["b"].images == 11
    assert before.items() <= walk.tree().items()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda c: (c.frames / "b/u/000002.jpg").unlink(), "b/u: expected 4 jpg frames, found 3"),
        (lambda c: (c.frames / "b/v/000005.jpg").touch(), "b/v: expected 4 jpg frames, found 5"),
        (lambda c: shutil.rmtree(c.frames / "c/v"), "c/v: expected 5 frames, found no folder v"),
        (lambda c: shutil.rmtree(c.frames), "a/u: expected 3 frames, found no folder u"),
        (lambda c: c.manifest.write_text("scribble\n"), "is damaged"),
    ],
)
def test_flow_changed_behind_its_manifest_is_stale(three, damage, reason):
    assert stale_flow(three.frames, three.manifest) == ""
    damage(three)
    assert reason in stale_flow(three.frames, three.manifest)


def test_flow_that_is_remade_is_not_stale(three):
    (three.frames / "b/u/000002.jpg").unlink()
    three.extract()
    assert stale_flow(three.frames, three.manifest) == ""
    three.manifest.unlink()
    assert stale_flow(three.frames, three.manifest) == "", (
        "a missing manifest is Snakemake's business"
    )


def test_the_cache_key_tells_flow_from_flow():
    flow = FlowRecord("a", 3, 9, 9, "dis medium", "max_rad", "5.0.0", "png", "0" * 64, "ok", "")
    assert flow.cache_key == "dis medium max_rad opencv 5.0.0"


def test_manifests_refuse_names_that_leave_their_folder(three):
    three.manifest.write_text(three.manifest.read_text().replace("\nb\t", "\n../b\t"))
    with pytest.raises(InputError, match="missing or damaged"):
        read_flow_manifest(three.manifest)
    assert [record.video for record in read_manifest(three.frame_manifest)] == ["a", "b", "c"]
