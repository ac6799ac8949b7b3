"""Lists of videos are read as they are, cut exactly, and refused with every fault named."""

import csv
import json
import math
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from actionrec.errors import InputError
from actionrec.frames.extraction import extract_segments
from actionrec.frames.manifest import read_manifest
from actionrec.frames.segments import Segment, read_segments
from actionrec.frames.staleness import stale_segments
from actionrec.sources.table import VideoList, list_table, read_parts
from helpers import PNG, clone, decode, snakemake, write_video

CLASSES = ("walk", "run")


class Project:
    """A folder of videos with a list of them."""

    def __init__(self, root):
        self.root = root

    def video(self, name, **options):
        options.setdefault("fourcc", "mp4v" if name.endswith("mp4") else "XVID")
        return write_video(self.root / name, **options)

    def list(self, text, classes=CLASSES, name="list.csv", **options):
        path = self.root / name
        path.write_text(text)
        return self.read({"": path}, classes, **options)

    def read(self, lists, classes=CLASSES, *, given=False, **options):
        tables = {cls: self.root / f"videos/{cls}.tsv" for cls in classes}
        parts = {cls: self.root / f"parts/{cls}.tsv" for cls in classes}
        list_table(VideoList(lists, **options), tables, parts, given=given)
        self.parts = {cls: read_parts(path) for cls, path in parts.items()}
        return {
            cls: {segment.video: segment for segment in read_segments(table)}
            for cls, table in tables.items()
        }

    def refusal(self, text, **options):
        with pytest.raises(InputError) as caught:
            self.list(text, **options)
        assert not list(self.root.glob("videos/*.tsv"))
        assert not list(self.root.glob("parts/*.tsv"))
        return str(caught.value)


@pytest.fixture
def project(tmp_path):
    found = Project(tmp_path)
    for name in ("a.avi", "sub/b.mp4", "c d.avi"):
        found.video(name)
    return found


def test_a_table_names_segments_spans_and_parts(project):
    segments = project.list(
        "\ufeffSplit;Path;label;start;END\n"
        "train;a.avi;walk;;\n"
        f"validation;{project.root / 'a.avi'};run;0.1;0.2\n"
        ";sub/b.mp4;run;0.1\n"
        "\n"
        "TEST;c d.avi; walk ;0;0.25\n"
    )
    assert {cls: set(of_class) for cls, of_class in segments.items()} == {
        "walk": {"a", "c d_0-0.25"},
        "run": {"a_0.1-0.2", "b_0.1-end"},
    }
    size = (project.root / "sub/b.mp4").stat().st_size
    expected = Segment("b_0.1-end", str(project.root / "sub/b.mp4"), size, 0.1, math.inf)
    assert segments["run"]["b_0.1-end"] == expected
    assert project.parts == {
        "walk": {"a": "train", "c d_0-0.25": "test"},
        "run": {"a_0.1-0.2": "val", "b_0.1-end": None},
    }


def test_a_list_for_each_part(project):
    lists = {}
    for part, row in (("train", "a.avi,walk"), ("test", "sub/b.mp4,run")):
        lists[part] = project.root / f"{part}.csv"
        lists[part].write_text(f"path,label\n{row}\n")
    project.read(lists, given=True)
    assert project.parts == {"walk": {"a": "train"}, "run": {"b": "test"}}


def test_kinetics_with_trimmed_videos_whole_ones_and_lost_ones(project):
    trimmed = "k400/riding a bike/-x_y_000010_000020.mp4"
    project.video(trimmed)
    project.video("k400/whole.mp4")
    text = (
        "label,youtube_id,time_start,time_end,split\n"
        '"riding a bike",-x_y,10,20,train\n'
        "walk,whole,1,2,validate\n"
        "walk,gone,0,10,train\n"
    )
    classes = ("riding a bike", "walk")
    videos = project.root / "k400"
    assert "list.csv, line 4: gone is not in" in project.refusal(
        text, classes=classes, videos=videos
    )
    segments = project.list(text, classes, videos=videos, skip=["missing"])
    size = (project.root / trimmed).stat().st_size
    name = "-x_y_000010_000020"
    assert segments["riding a bike"] == {name: Segment(name, str(project.root / trimmed), size)}
    assert (segments["walk"]["whole_1-2"].start, segments["walk"]["whole_1-2"].end) == (1, 2)
    assert project.parts["walk"] == {"whole_1-2": "val"}


def test_an_mmaction2_list(project):
    labels = project.root / "labels.txt"
    labels.write_text("run\nwalk\n")
    segments = project.list("a.avi 1\nc d.avi 1\nsub/b.mp4 0\n", name="train.txt", labels=labels)
    assert {cls: set(of_class) for cls, of_class in segments.items()} == {
        "walk": {"a", "c d"},
        "run": {"b"},
    }
    assert "line 2" in project_refusal(project, "a.avi 1\nsub/b.mp4 2\n", labels)


def project_refusal(project, text, labels):
    shutil.rmtree(project.root / "videos")
    shutil.rmtree(project.root / "parts")
    return project.refusal(text, name="train.txt", labels=labels)


def test_every_row_that_cannot_be_used_is_named(project):
    said = project.refusal(
        "path,label,start,end,split\n"
        "a.avi,walk,3,3,\n"
        "a.avi,walk,5,2,\n"
        "a.avi,walk,-1,2,\n"
        "a.avi,walk,0:10,20,\n"
        "a.avi,walk,nan,,\n"
        "a.avi,walk,,,trian\n"
        ",walk,,,\n"
        "a.avi,run\n"
    )
    assert "7 rows of the list cannot be used" in said
    assert "list.csv, line 2: start 3 is not before end 3" in said
    assert "line 3: start 5 is not before end 2" in said
    assert "line 4: time '-1'" in said
    assert "line 5: time '0:10' is not a number of seconds" in said
    assert "line 7: split 'trian', not train, val or test" in said
    assert "line 9" not in said


def test_of_many_faults_a_few_are_shown_and_the_log_has_all(project, caplog):
    """As in a list with 1 % broken rows or missing videos."""
    caplog.set_level("INFO")
    good = "".join(f"a.avi,walk,{number},{number + 1}\n" for number in range(2000))
    missing = "".join(f"gone{number}.avi,run,,\n" for number in range(25))
    broken = "".join(f"a.avi,run,{number},0\n" for number in range(25))
    for text, fault in ((missing, "is not in"), (broken, "is not before end 0")):
        caplog.clear()
        said = project.refusal("path,label,start,end\n" + good + text)
        assert "25 rows of the list cannot be used; the log of list_table names all" in said
        assert said.count(fault) == 20
        assert "and 5 more" in said
        assert caplog.text.count(fault) == 25
    caplog.clear()
    text = "path,label,start,end\na.avi,run,,\n" + good + missing
    found = project.list(text, skip=["missing"])
    assert len(found["walk"]) == 2000
    assert caplog.messages.count("list.csv, line 2003: gone0.avi is not in " + str(project.root))
    shown = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(shown) == 1
    assert "25 rows left out" in shown[0]
    assert len(shown[0]) < 1500


def test_a_missing_video_is_named_and_left_out_on_request(project, caplog):
    text = "path,label\na.avi,walk\nlost/x.avi,walk\nsub/b.mp4,run\n"
    said = project.refusal(text)
    assert "list.csv, line 3: lost/x.avi is not in" in said
    assert "dataset.skip: [missing]" in said
    assert set(project.list(text, skip=["missing"])["walk"]) == {"a"}
    assert "1 row left out, the video is missing: list.csv, line 3" in caplog.text


def test_a_label_that_is_no_class(project, caplog):
    text = "path,label\na.avi,walk\nsub/b.mp4,run\nc d.avi,WALK\na.avi,jump\n"
    said = project.refusal(text)
    assert "2 labels of the list are not in dataset.classes" in said
    assert "WALK (1 row; did you mean 'walk'?)" in said
    assert "jump (1 row)" in said
    assert set(project.list(text, skip=["other_labels"])["walk"]) == {"a"}
    assert "jump (1 row)" in caplog.text


def test_a_class_without_a_row(project):
    said = project.refusal("path,label\na.avi,walk\n")
    assert "Classes without a row" in said
    assert "found:   run" in said


@pytest.mark.parametrize("text", ["", "file,label\na.avi,walk\n", "a.avi 0\nc.avi 1\n"])
def test_a_header_that_says_nothing(project, text):
    said = project.refusal(text)
    assert "path,label[,split,group,start,end]" in said
    assert "dataset.labels" in said


def test_no_list_and_no_given_parts(project):
    with pytest.raises(InputError, match=r"dataset\.path.*\n.*gone\.csv"):
        project.read({"": project.root / "gone.csv"})
    said = project.refusal("path,label\na.avi,walk\nsub/b.mp4,run\n", given=True)
    assert "splits.method: fraction" in said


def test_two_videos_of_one_name_get_names_of_their_paths(project):
    project.video("x/1.avi")
    project.video("y/1.avi", frames=5)
    segments = project.list("path,label\nx/1.avi,walk\ny/1.avi,walk\na.avi,walk\nsub/b.mp4,run\n")
    assert set(segments["walk"]) == {"x.1", "y.1", "a"}
    shutil.rmtree(project.root / "videos")
    shutil.rmtree(project.root / "parts")
    said = project.refusal("path,label\na.avi,walk\nsub/b.mp4,run\na.avi,walk,\n")
    assert "list.csv, line 4: the same as list.csv, line 2" in said


def test_files_that_differ_by_suffix_alone_are_told_apart(project):
    """As in a folder: what is added to a list renames nothing that was in it."""
    project.video("a.mp4", frames=5)
    before = project.list("path,label\na.avi,walk\nsub/b.mp4,run\n")
    shutil.rmtree(project.root / "videos")
    after = project.list("path,label\na.mp4,walk\na.avi,walk\nsub/b.mp4,run\n")
    assert {name: Path(found.file).name for name, found in after["walk"].items()} == {
        "a": "a.avi",
        "a.mp4": "a.mp4",
    }
    assert before["walk"].items() <= after["walk"].items()


def test_names_become_folders_whatever_they_hold(project):
    odd = ["../out/.hidden.avi", "Ü 日本 [HD].avi", "x" * 240 + ".avi"]
    inside = Project(project.root / "in")
    for name in odd:
        inside.video(name)
    rows = "".join(f'"{name}",walk\n' for name in odd)
    segments = inside.list(f"path,label\n{rows}../a.avi,run\n")
    assert all("/" not in name and not name.startswith(".") for name in segments["walk"])
    assert "Ü 日本 [HD]" in segments["walk"]
    assert max(len(os.fsencode(name)) for name in segments["walk"]) <= 255


# Cutting


@pytest.mark.parametrize(
    ("name", "fourcc"),
    [
        *[("v.avi", "XVID"), ("v.mp4", "mp4v"), ("v.m4v", "mp4v"), ("v.mov", "mp4v")],
        *[("v.mkv", "mp4v"), ("v.webm", "VP80"), ("v.mpg", "PIM1"), ("v.wmv", "WMV2")],
        *[("v.flv", "FLV1"), ("v.ts", "MPG2"), ("v.3gp", "mp4v")],
    ],
)
def test_cuts_are_exact_in_every_container(tmp_path, name, fourcc):
    video = write_video(tmp_path / name, frames=160, fourcc=fourcc, fps=25)
    whole = decode(video)
    assert len(whole) == 160
    for start, end in ((0, 0.4), (0.2, 1), (3, 4), (4.04, 4.16), (6, math.inf)):
        part = decode(video, start, end)
        first, last = round(start * 25), min(160, round(end * 25) if end < math.inf else 160)
        assert np.array_equal(part, whole[first:last]), (start, end)


def extract(project, classes=CLASSES, **options):
    for cls in classes:
        extract_segments(
            project.root / f"videos/{cls}.tsv",
            None,
            project.root / f"frames/{cls}",
            project.root / f"manifests/{cls}.tsv",
            image_format=PNG,
            **options,
        )
    return {
        record.video: record
        for cls in classes
        for record in read_manifest(project.root / f"manifests/{cls}.tsv")
    }


def test_segments_of_one_video_are_distinct_and_equal_ones_are_equal(project):
    project.video("long.mp4", frames=60, fps=30)
    project.list(
        "path,label,start,end\n"
        "long.mp4,walk,0,1\nlong.mp4,walk,1,2\nlong.mp4,walk,,\nlong.mp4,run,1,2\n"
    )
    records = extract(project)
    assert {name: record.frames for name, record in records.items()} == {
        "long_0-1": 30,
        "long_1-2": 30,
        "long": 60,
    }
    walk = {record.video: record for record in read_manifest(project.root / "manifests/walk.tsv")}
    assert len({record.sha256 for record in walk.values()}) == 3
    assert walk["long_1-2"].sha256 == records["long_1-2"].sha256
    assert records["long"].file == str(project.root / "long.mp4")
    first = cv2.imread(str(project.root / "frames/walk/long_1-2/rgb/000001.png"))
    assert np.array_equal(first, decode(project.root / "long.mp4")[30])


def test_times_outside_of_the_video(project):
    project.video("short.avi", frames=30, fps=30)
    text = (
        "path,label,start,end\nshort.avi,walk,5,6\nshort.avi,walk,0,1.5\n"
        "short.avi,walk,0,9\nshort.avi,walk,0,1\na.avi,run,,\n"
    )
    project.list(text)
    records = extract(project)
    bad = {name: record.reason for name, record in records.items() if record.status == "bad"}
    assert bad["short_5-6"] == "has no frame at 5 to 6 s: the video lasts 1.0 s"
    assert bad["short_0-9"] == "ends 8.0 s before its end at 9 s"
    assert len(bad) == 2
    assert records["short_0-1"].reason == ""
    assert records["short_0-1.5"].reason == "ends 0.5 s before the time in the list"


def test_changes_on_disk_are_noticed(project):
    project.list("path,label,start,end\na.avi,walk,0,0.2\nsub/b.mp4,run,,\n")
    extract(project)
    walk = project.root / "videos/walk.tsv", project.root / "manifests/walk.tsv"
    frames = project.root / "frames/walk"

    def found():
        return {
            path.parent.name: why
            for path, why in stale_segments(walk[0], frames, [walk[1]]).items()
        }

    assert found() == {}
    (frames / "a_0-0.2/rgb/000002.png").unlink()
    assert "expected 6" in found()["manifests"]
    extract(project)
    assert found() == {}
    project.video("a.avi", frames=11)
    assert found().keys() == {"videos", "manifests"}
    (project.root / "a.avi").unlink()
    assert "video gone" in found()["videos"]
    walk[0].write_text("damage")
    assert "damaged" in found()["videos"]


@pytest.fixture
def workflow(tmp_path):
    """Return a clone with a table of videos of classes with awkward names."""
    folder = clone(tmp_path / "project")
    rows = [("path", "label", "split", "start", "end")]
    for cls in ("laufen", "gehen", "Übung machen"):
        for index in range(6):
            name = f"{cls}/{index}.mp4"
            write_video(folder / "my videos" / name, 40 + index, fourcc="mp4v")
            part = ("train", "train", "train", "val", "test", "")[index]
            rows.append((name, cls, part, "0.5", ""))
    with (folder / "my videos/list.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    config = {
        "dataset": {
            "name": "tables",
            "source": "table",
            "path": "my videos/list.csv",
            "classes": ["Übung machen", "gehen", "laufen"],
        },
        "experiments": {"rgb": None},
    }
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
    return folder


@pytest.mark.slow
def test_a_table_feeds_the_same_dag(workflow):
    run = Path("results/tables/experiments/rgb/split1")
    split = run / "split.tsv"
    snakemake(workflow, "--cores", "2", "dataset", str(run / "data"))
    with (workflow / split).open(newline="") as file:
        rows = list(csv.DictReader(file, dialect="excel-tab"))
    assert [row["part"] for row in rows].count("train") == 9
    assert {row["class"] for row in rows} == {"laufen", "gehen", "Übung machen"}
    assert rows[0]["frames"] == "25"
    data = workflow / run / "data/test/Übung machen/4_0.5-end/rgb/000001.png"
    assert data.exists()
    summary = json.loads((workflow / "results/tables/dataset.json").read_text())
    assert summary["splits"]["1"]["classes"]["gehen"] == {"train": 3, "val": 1, "test": 1}
    assert "Nothing to be done" in snakemake(workflow, "-n", "dataset", str(split))

    table = workflow / "my videos/list.csv"
    table.write_text(table.read_text().replace("gehen/5.mp4,gehen,,", "gehen/5.mp4,gehen,train,"))
    before = data.stat().st_ino
    assert "list_table" in snakemake(workflow, "--cores", "2", str(split))
    frame = workflow / "resources/tables/frames/Übung machen/4_0.5-end/rgb/000001.png"
    assert frame.stat().st_ino == before, "the segments are the same, only a part is another"
    assert (workflow / split).read_text().count("train\t") == 10
