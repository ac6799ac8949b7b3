"""Bad videos are named as the user knows them, and refused where videos are divided."""

from pathlib import Path

import pytest

from actionrec.dataset.bad_videos import UnusableVideo, bad_videos, require_tolerated
from actionrec.errors import InputError
from actionrec.frames.manifest import FrameRecord, write_manifest


def record(video, file, reason=""):
    status = "bad" if reason else "ok"
    return FrameRecord(video, file, 0, 0, 0, 0.0, 9, "0", "", "", status, reason)


def test_paths_are_the_users_own():
    records = {"walk": [record("a", "a.mp4"), record("b", "b.mp4", "is empty (0 bytes)")]}
    assert bad_videos(records, "my videos") == [
        UnusableVideo("walk", "my videos/walk/b.mp4", "is empty (0 bytes)")
    ]
    records = {
        "walk": [record("c_1-2", "/disk/c.mp4", "breaks off"), record("d", "/disk/d.mp4", "x")]
    }
    assert [video.path for video in bad_videos(records, None)] == [
        "/disk/c.mp4 (c_1-2)",
        "/disk/d.mp4",
    ]


@pytest.fixture
def manifests(tmp_path):
    tables = {cls: tmp_path / f"{cls}.tsv" for cls in ("walk", "run")}
    write_manifest(tables["walk"], [record("a", "a.mp4"), record("b", "b.mp4", "is AV1")])
    bad = [record(str(n), f"{n}.mp4", "is empty") for n in range(3)]
    write_manifest(tables["run"], [*bad, record("x", "x.mp4")])
    return tables


def test_more_than_are_tolerated_are_refused_with_each_class_that_has_them(manifests):
    with pytest.raises(InputError) as error:
        require_tolerated(manifests, 1, "mine", Path("results/mine/dataset.html"))
    said = str(error.value)
    assert "3 of 4 videos of class run; frames.tolerate is 1." in said
    assert "results/mine/dataset.html, which shows them all" in said
    assert "mine/run/0.mp4 is empty" in said
    assert "set frames.tolerate to 3" in said
    assert "walk" not in said


def test_as_many_as_are_tolerated_are_no_matter(manifests):
    require_tolerated(manifests, 3, "mine", None)
    require_tolerated({"walk": manifests["walk"]}, 1, "mine", None)


def test_a_large_dataset_with_a_few_bad_videos_in_each_class_is_refused_in_few_lines(tmp_path):
    tables = {f"class{number:03d}": tmp_path / f"{number}.tsv" for number in range(100)}
    for table in tables.values():
        bad = [record(str(n), f"{n}.mp4", "is empty") for n in range(5)]
        write_manifest(table, [*bad, *(record(f"g{n}", f"g{n}.mp4") for n in range(50))])
    with pytest.raises(InputError) as error:
        require_tolerated(tables, 4, "mine", Path("results/mine/dataset.html"))
    said = str(error.value)
    assert "5 of 55 videos of class class000" in said
    assert "and 90 more" in said
    assert "and 480 more" in said
    assert said.count("\n") < 30
    assert max(map(len, said.splitlines())) < 700
    require_tolerated(tables, 5, "mine", None)
