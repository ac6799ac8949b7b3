"""A training reads verified copies on the node's own disk, and leaves nothing there."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from actionrec.dataset.link_tree import link_split
from actionrec.dataset.split_table import COLUMNS
from actionrec.errors import InputError
from actionrec.experiments import scratch
from actionrec.frames.extraction import extract_segments
from actionrec.frames.manifest import read_manifest
from actionrec.frames.segments import Segment, write_segments
from actionrec.frames.store import open_frames
from actionrec.utils.files import write_text
from actionrec.utils.tables import write_table
from helpers import PNG, start_python, wait_for, write_video

PARTS = {"train": ("walk/a (1)", "run/b"), "val": ("walk/c",), "test": ("walk/d", "run/e")}


@pytest.fixture
def run(tmp_path):
    """Return an experiment's folder with a split whose frames are 100 kB each."""
    folder = tmp_path / "results/exp/split1"
    rows = []
    for part, videos in PARTS.items():
        for video in videos:
            write_text(tmp_path / f"frames/{video}/rgb/000001.png", video * 20_000)
            rows.append((part, *video.split("/"), 1, "png", video, ""))
    write_table(folder / "split.tsv", COLUMNS, rows)
    link_split(folder / "split.tsv", tmp_path / "frames", folder / "data", "symlink")
    folders = {key: f"{folder}/data/{key.partition('_')[0]}" for key in scratch.FOLDERS}
    write_text(folder / "specs/train.yaml", yaml.safe_dump({"dataset": folders, "train": {}}))
    return folder


def on_scratch(run, place):
    return scratch.spec_on_scratch(
        str(place), run / "specs/train.yaml", run / "split.tsv", workers=2
    )


def test_the_spec_leads_to_copies_which_vanish_with_it(run, tmp_path, monkeypatch):
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "local"))
    before = (run / "specs/train.yaml").read_bytes()
    with on_scratch(run, "$NODE_DISK/me") as (spec, copies):
        folders = yaml.safe_load(spec.read_text())["dataset"]
        train, val = (tmp_path / folders[key] for key in scratch.FOLDERS)
        assert train.is_relative_to(tmp_path / "local/me")
        assert (train / "walk/a (1)/rgb/000001.png").read_text() == "walk/a (1)" * 20_000
        assert sorted(path.name for path in val.glob("*/*")) == ["c"]
        assert not (train.parent / "test").exists()
        assert not any(path.is_symlink() for path in train.rglob("*"))
        assert spec.parent == run / "specs"
        assert copies == [train.parent]
    assert list((tmp_path / "local/me").iterdir()) == []
    assert [path.name for path in (run / "specs").iterdir()] == ["train.yaml"]
    assert (run / "specs/train.yaml").read_bytes() == before


def test_without_scratch_the_spec_is_the_original(run):
    with on_scratch(run, "") as found:
        assert found == (run / "specs/train.yaml", [])


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("$NO_SUCH_VARIABLE/x", "found:   $NO_SUCH_VARIABLE/x"),
        ("relative/folder", "no absolute path"),
        ("/proc/no/such", "cannot be written to"),
    ],
)
def test_a_folder_that_the_node_does_not_have_is_named(run, place, said):
    with pytest.raises(InputError, match="scratch") as error, on_scratch(run, place):
        pass
    assert said in str(error.value)


def test_a_full_disk_is_told_and_emptied(run, mount_disk):
    disk = mount_disk("size=200k")
    with pytest.raises(InputError, match="disk is full"), on_scratch(run, disk / "me"):
        pass
    assert list((disk / "me").iterdir()) == []


def test_frames_that_are_lost_stop_the_training(run, tmp_path):
    (tmp_path / "frames/run/b/rgb/000001.png").unlink()
    with pytest.raises(InputError, match="train/run/b"), on_scratch(run, tmp_path / "local"):
        pass


HOLD = """
import sys, time
from pathlib import Path
from actionrec.experiments import scratch

run, place = map(Path, sys.argv[1:])
with scratch.spec_on_scratch(str(place), run / "specs/train.yaml", run / "split.tsv", workers=1):
    print("held", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_job_left_is_removed_and_a_living_ones_is_not(run, tmp_path):
    place = tmp_path / "local"
    jobs = []
    for _ in range(2):
        jobs.append(start_python(tmp_path, HOLD, run, place))
        assert jobs[-1].stdout.readline() == "held\n"
    first, second = sorted(place.iterdir(), key=lambda folder: folder.stat().st_mtime)
    jobs[0].kill()
    jobs[0].wait()
    with on_scratch(run, place):
        assert not first.exists()
        assert second.exists()
    jobs[1].send_signal(signal.SIGINT)
    jobs[1].wait()
    wait_for(lambda: not list(place.iterdir()))


def test_a_spec_of_an_old_toolkit_reads_the_copies_too(run, tmp_path):
    content = yaml.safe_load((run / "specs/train.yaml").read_text())
    content["dataset_config"] = content.pop("dataset")
    write_text(run / "specs/train.yaml", yaml.safe_dump(content))
    with on_scratch(run, tmp_path / "local") as (spec, copies):
        folders = yaml.safe_load(spec.read_text())["dataset_config"]
        assert {Path(folder).parent for folder in folders.values()} == set(copies)


def test_videos_whose_frames_are_in_no_images_are_copied_once(tmp_path):
    """Two segments of one video, as a list has them."""
    video = write_video(tmp_path / "long.avi", 60)
    spans = {"a": (0.0, 1.0), "b": (0.5, 2.0)}
    segments = [
        Segment(name, str(video), video.stat().st_size, *span) for name, span in spans.items()
    ]
    write_segments(tmp_path / "walk.tsv", segments)
    extract_segments(
        tmp_path / "walk.tsv",
        None,
        tmp_path / "frames/walk",
        tmp_path / "made.tsv",
        image_format=replace(PNG, suffix="video"),
    )
    counts = {record.video: record.frames for record in read_manifest(tmp_path / "made.tsv")}
    folder = tmp_path / "results/exp/split1"
    rows = [("train", "walk", name, counts[name], "video", name, "") for name in spans]
    write_table(folder / "split.tsv", COLUMNS, rows)
    link_split(folder / "split.tsv", tmp_path / "frames", folder / "data", "symlink")
    folders = {"train_dataset_dir": f"{folder}/data/train", "val_dataset_dir": None}
    write_text(folder / "specs/train.yaml", yaml.safe_dump({"dataset": folders}))
    with on_scratch(folder, tmp_path / "local") as (spec, (copies,)):
        (copy,) = (copies / "videos").iterdir()
        assert copy.read_bytes() == video.read_bytes()
        video.rename(tmp_path / "away.avi")  # all that is read now is on scratch
        train = Path(yaml.safe_load(spec.read_text())["dataset"]["train_dataset_dir"])
        for name, number in counts.items():
            assert len(list(open_frames(train / "walk" / name / "rgb").read())) == number
    assert list((tmp_path / "local").iterdir()) == []
