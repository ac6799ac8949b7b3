"""Whole runs of a small dataset: a folder of videos, and flow that follows the frames."""

import json
import re
import shutil

import pytest

from actionrec.frames.manifest import read_manifest
from helpers import edit, planned, small_project, snakemake, write_video

SMALL_RUNS = "results/small/experiments"


@pytest.fixture
def small(tmp_path):
    """Return a clone with a folder of tiny videos and a configuration that runs in seconds."""
    return small_project(tmp_path / "small")


@pytest.mark.slow
def test_a_folder_of_videos_runs_the_same_dag(small):
    before = sorted(path.name for path in (small / "videos").rglob("*"))
    snakemake(small, "--cores", "2")
    metrics = json.loads((small / SMALL_RUNS / "rgb_2d/split1/metrics.json").read_text())
    assert metrics["labels"] == ["wave", "clap"]
    assert metrics["videos"] == 4
    assert before == sorted(path.name for path in (small / "videos").rglob("*"))

    write_video(small / "videos/wave/another.mov", 8, fourcc="mp4v")
    jobs = planned(small)
    assert jobs["link_class"] == jobs["extract_frames"] == jobs["train_model"] == 1
    (small / "videos/wave/another.mov").unlink()
    assert planned(small) == {}


@pytest.mark.slow
def test_frames_that_stay_in_their_videos_are_followed_to_them(small):
    edit(small / "config/config.yaml", lambda c: c.update(frames={"store": "video"}))
    target = f"{SMALL_RUNS}/rgb_2d/split1/data"
    snakemake(small, "--cores", "2", target)
    assert planned(small, target) == {}
    stored = [path.name for path in (small / "resources/small").rglob("*") if path.is_file()]
    assert stored.count("video.json") == 16
    assert not [name for name in stored if name.endswith((".png", ".jpg"))]

    video = sorted((small / "videos/wave").iterdir())[0]
    write_video(video, 9, fourcc="mp4v")
    assert planned(small, target)["extract_frames"] == 1
    video.unlink()
    assert planned(small, target)["extract_frames"] == 1

    (small / "videos/wave").rename(small / "videos/away")
    said = snakemake(small, "-n", target)
    assert "What is there is used, as its source cannot be read: A class has no folder" in said


@pytest.mark.slow
def test_flow_follows_the_frames_and_is_made_again_when_it_is_lost(small):
    def see_flow(config):
        config["spec"]["model"]["model_type"] = "joint"

    edit(small / "config/config.yaml", see_flow)
    split = f"{SMALL_RUNS}/rgb_2d/split1/split.tsv"
    snakemake(small, "--cores", "2", split)
    assert planned(small, split) == {}
    video = sorted((small / "resources/small/frames/wave").iterdir())[0]
    assert len(list((video / "u").iterdir())) == len(list((video / "v").iterdir())) == 7

    before = (small / split).read_bytes()
    shutil.rmtree(video / "v")
    jobs = planned(small, split)
    assert jobs["extract_flow"] == 1
    assert "extract_frames" not in jobs
    snakemake(small, "--cores", "2", split)
    assert len(list((video / "v").iterdir())) == 7
    assert (small / split).read_bytes() == before
    edit(small / "config/config.yaml", lambda c: c.update(flow={"mapping": "fixed"}))
    jobs = planned(small, split)
    assert jobs["extract_flow"] == 2
    assert jobs["make_split"] == 1
    snakemake(small, "--cores", "2", split)
    assert "dis medium fixed opencv" in (small / split).read_text()


@pytest.mark.slow
def test_a_chunk_that_fails_is_made_again_alone(small):
    edit(small / "config/config.yaml", lambda c: c.update(frames={"chunk": 4, "store": "video"}))
    table, tables = "results/small/tables/frames/wave.tsv", small / "results/small/tables"
    chunks = [tables / f"chunks/wave/{number}of2.tsv" for number in (1, 2)]
    # A file in place of the folder of one video's frames.
    in_the_way = small / "resources/small/frames/wave/wave [3] & co"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.touch()
    said = snakemake(small, "--cores", "2", "--keep-going", table, check=False)
    assert "A file is in place of the folder" in said
    assert [jobs_of(said, rule) for rule in ("extract_chunk", "gather_frames")] == [2, 1]
    made = [chunk for chunk in chunks if chunk.exists()]
    assert len(made) == 1, "the other chunk, whole"
    before = made[0].stat().st_mtime_ns
    assert not (small / table).exists()

    in_the_way.unlink()
    said = snakemake(small, "--cores", "2", table)
    assert [jobs_of(said, rule) for rule in ("extract_chunk", "gather_frames")] == [1, 1]
    assert made[0].stat().st_mtime_ns == before
    assert [record.video for record in read_manifest(small / table)] == [
        f"wave [{index}] & co" for index in range(8)
    ]
    assert planned(small, table) == {}
    (small / "videos/wave/wave [3] & co.mp4").unlink()
    (told,) = re.findall(r".* will be remade: .*", snakemake(small, "--dry-run", table))
    assert told.endswith("/chunks/wave will be remade: videos removed: wave [3] & co.mp4")


def jobs_of(said: str, rule: str) -> int:
    """Return how many jobs of a rule a run of Snakemake has said that it needs."""
    found = re.search(rf"^{rule} +(\d+)$", said, re.MULTILINE)
    return int(found[1]) if found else 0
