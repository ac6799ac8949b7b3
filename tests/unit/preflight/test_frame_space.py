"""The space that images will take, estimated from videos and compared with real images."""

import shutil
from pathlib import Path

import pytest

from actionrec.frames.encoders import ImageFormat
from actionrec.frames.extraction import extract_class
from actionrec.frames.flow import extract_flow
from actionrec.frames.manifest import read_manifest
from actionrec.frames.segments import Segment, write_segments
from actionrec.frames.videos import list_videos, write_files_table
from actionrec.preflight.class_space import frames_table, table_of
from actionrec.preflight.frame_space import Need, needs
from helpers import DIS, write_video

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


def settings(dataset: dict, frames: dict = PNG, flow: bool = False, links: str = "symlink") -> dict:
    return {
        "dataset": dataset,
        "frames": frames,
        "flow": {"method": "dis", "preset": "medium", "mapping": "max_rad"},
        "splits": {"links": links, "numbers": [1, 2], "test_fraction": 0.25},
        "experiments": {"one": {"classes": CLASSES, "flow": flow}},
    }


def estimate(dataset: dict, frames: dict = PNG) -> Need:
    (need,) = needs(settings(dataset, frames), BLOCK)
    return need


def on_disk(folder: Path, pattern: str) -> tuple[int, int]:
    """Return the bytes in whole blocks of the images of a pattern, and how many they are."""
    sizes = [path.stat().st_size for path in folder.rglob(pattern)]
    return sum(-(-size // BLOCK) * BLOCK for size in sizes), len(sizes)


def write_frames(dataset: dict, frames: dict = PNG) -> None:
    image_format = ImageFormat(*(frames[key] for key in FORMAT_KEYS))
    for cls in CLASSES:
        videos, table = Path(dataset["path"], cls), Path(f"{cls}.files.tsv")
        write_files_table(table, list_videos(videos))
        folder = Path("resources/mine/frames", cls)
        extract_class(videos, table, folder, frames_table(dataset, cls), image_format=image_format)


def write_videos(dataset: dict, **options) -> None:
    for cls in CLASSES:
        for name in ("a.avi", "b.avi"):
            write_video(Path(dataset["path"], cls, name), 20, fourcc="MJPG", **options)


@pytest.mark.parametrize("wide", [64, 320])
@pytest.mark.parametrize("frames", [PNG, SMALL_JPEG], ids=["png", "jpg"])
def test_it_is_measured_on_the_videos_at_hand(dataset, tmp_path, wide, frames):
    write_videos(dataset, width=wide, height=wide * 3 // 4)
    found = estimate(dataset, frames)
    assert found.basis == "measured on 4 videos"
    write_frames(dataset, frames)
    size, images = on_disk(tmp_path / "resources", "0*")
    assert images == 80 and found.space.size == pytest.approx(size, rel=0.1)
    folders = sum(path.is_dir() for path in (tmp_path / "resources/mine/frames").glob("[!.]*/**/"))
    assert found.space.files == pytest.approx(images + folders - len(CLASSES), rel=0.05)
    assert estimate(dataset, frames).space.size == 0, "all are there now"


@pytest.mark.parametrize("there", [False, True], ids=["videos", "frames"])
def test_flow_and_copies_count_whether_frames_are_there_or_not(dataset, tmp_path, there):
    write_videos(dataset, width=320, height=240)
    (frames_alone,) = needs(settings(dataset), BLOCK)
    if there:
        write_frames(dataset)
    images, copies = needs(settings(dataset, flow=True, links="copy"), BLOCK)
    assert copies.what == "the copies of the frames" and copies.folder.parts[0] == "results"
    flow = images.space.size - (0 if there else frames_alone.space.size)
    # Two splits, and a quarter of the videos a second time.
    whole = frames_alone.space.size + flow
    assert copies.space.size == pytest.approx(2 * 1.25 * whole, rel=0.1)
    if there:
        for cls in CLASSES:
            frames, manifest = Path("resources/mine/frames", cls), frames_table(dataset, cls)
            extract_flow(frames, manifest, table_of(dataset, "flow", cls), DIS)
        size, number = on_disk(tmp_path / "resources", "[uv]/0*")
        assert number == 4 * 19 * 2
        # A drawn square on a gradient: little moves, so that real flow takes more.
        assert size < flow < 8 * size
        Path("results/mine/experiments/one/split1/data").mkdir(parents=True)
        frames, copies = needs(settings(dataset, flow=True, links="copy"), BLOCK)
        assert frames.space.size == 0 and copies.space.size == pytest.approx(1.25 * whole, rel=0.1)


def test_frames_that_stay_in_their_videos_take_next_to_nothing(dataset):
    write_videos(dataset)
    found = estimate(dataset, PNG | {"store": "video"})
    assert found.space.size == pytest.approx(4 * 8192)
    assert found.space.files == pytest.approx(4 * 3)
    write_frames(dataset, PNG | {"format": "video"})
    assert on_disk(Path("resources"), "video.json")[1] == 4
    frames, _ = needs(settings(dataset, PNG | {"store": "video"}, flow=True, links="copy"), BLOCK)
    pairs = sum(
        record.frames for cls in CLASSES for record in read_manifest(frames_table(dataset, cls))
    )
    assert frames.space.files == pytest.approx(2 * pairs + 2 * 4)


def test_classes_without_videos_count_like_the_others_or_else_like_hmdb51s(dataset):
    write_videos(dataset)
    both = estimate(dataset)
    shutil.rmtree(Path(dataset["path"], "clap"))
    one = estimate(dataset)
    assert one.space.size == pytest.approx(both.space.size, rel=0.1)
    assert "1 class without a video yet" in one.basis
    none = estimate({**dataset, "source": "archives"})
    assert none.space.size == pytest.approx(3.2e9, rel=0.05) and not none.measured
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
        found = estimate(listed)
        assert found.basis == "measured on 2 videos"
        sizes.append(found.space.size)
    assert sizes[1] == pytest.approx(2 * sizes[0], rel=0.1)


def test_a_video_that_cannot_be_read_stops_no_estimate(dataset):
    write_videos(dataset)
    Path(dataset["path"], "clap/a.avi").write_bytes(b"nonsense")
    found = estimate(dataset)
    assert found.basis == "measured on 3 videos" and found.space.size > 0
