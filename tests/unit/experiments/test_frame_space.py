"""The space that frames will take, estimated from videos and compared with real frames."""

import shutil
from pathlib import Path

import pytest

from actionrec.experiments.frame_space import estimate, frames_table
from actionrec.frames.encoders import ImageFormat
from actionrec.frames.extraction import extract_class
from actionrec.frames.segments import Segment, write_segments
from actionrec.frames.videos import list_videos, write_files_table
from helpers import write_video

BLOCK = 4096
PNG = {"format": "png", "size": None, "encoder": "fpng", "quality": 95}
SMALL_JPEG = {"format": "jpg", "size": (224, 224), "encoder": "fpng", "quality": 95}
FORMAT_KEYS = ("format", "encoder", "quality", "size")
CLASSES = ("wave", "clap")


@pytest.fixture
def dataset(tmp_path, monkeypatch) -> dict:
    """Return a dataset of a folder, which has no video yet."""
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / "videos")
    return {"name": "mine", "source": "folder", "path": path, "classes": list(CLASSES)}


def write_videos(dataset: dict, **options) -> None:
    for cls in CLASSES:
        for name in ("a.avi", "b.avi"):
            write_video(Path(dataset["path"], cls, name), 20, fourcc="MJPG", **options)


@pytest.mark.parametrize("wide", [64, 320])
@pytest.mark.parametrize("frames", [PNG, SMALL_JPEG], ids=["png", "jpg"])
def test_it_is_measured_on_the_videos_at_hand(dataset, tmp_path, wide, frames):
    write_videos(dataset, width=wide, height=wide * 3 // 4)
    found = estimate(dataset, frames, BLOCK)
    assert found.basis == "measured on 4 videos"
    for cls in CLASSES:
        videos, table = Path(dataset["path"], cls), tmp_path / f"{cls}.files.tsv"
        write_files_table(table, list_videos(videos))
        image_format = ImageFormat(*(frames[key] for key in FORMAT_KEYS))
        manifest = tmp_path / frames_table(dataset, cls)
        extract_class(videos, table, tmp_path / "frames" / cls, manifest, image_format=image_format)
    images = [path.stat() for path in (tmp_path / "frames").rglob("0*")]
    assert len(images) == 80
    blocks = sum(-(-image.st_size // BLOCK) for image in images)
    assert found.size == pytest.approx(blocks * BLOCK, rel=0.1)
    assert estimate(dataset, frames, BLOCK).size == 0, "all are there now"


def test_classes_without_videos_count_like_the_others_or_else_like_hmdb51s(dataset):
    write_videos(dataset)
    both = estimate(dataset, PNG, BLOCK)
    shutil.rmtree(Path(dataset["path"], "clap"))
    one = estimate(dataset, PNG, BLOCK)
    assert one.size == pytest.approx(both.size, rel=0.1)
    assert "1 class without a video yet" in one.basis
    none = estimate({**dataset, "source": "archives"}, PNG, BLOCK)
    assert (none.size, none.measured) == (3.2e9, False)
    assert "no video is here yet" in none.basis


def test_segments_of_a_list_count_by_their_seconds(dataset, tmp_path):
    video = write_video(tmp_path / "long.avi", 90, fourcc="MJPG")
    listed = {**dataset, "source": "table", "path": "list.csv"}
    sizes = []
    for end in (0.5, 1.0):
        for cls in CLASSES:
            table = Path("results/mine/tables/videos", f"{cls}.tsv")
            table.parent.mkdir(parents=True, exist_ok=True)
            write_segments(table, [Segment("a", str(video), video.stat().st_size, 0.0, end)])
        found = estimate(listed, PNG, BLOCK)
        assert found.basis == "measured on 2 videos"
        sizes.append(found.size)
    assert sizes[1] == pytest.approx(2 * sizes[0], rel=0.1)


def test_a_video_that_cannot_be_read_stops_no_estimate(dataset):
    write_videos(dataset)
    Path(dataset["path"], "clap/a.avi").write_bytes(b"nonsense")
    found = estimate(dataset, PNG, BLOCK)
    assert found.basis == "measured on 3 videos" and found.size > 0
