"""The demo set: HMDB51's names and layout, equal bytes for equal seeds, no clue but the motion."""

import hashlib
import re
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import rars

from actionrec.sources.archives import unpack_class, unpack_splits
from actionrec.sources.demo import CLASSES, FPS, HEIGHT, SOURCES, WIDTH, make_archives

NAME = re.compile(
    r"(?P<source>.+)_(?P<cls>" + "|".join(CLASSES) + r")"
    r"_[hulf]_(?:cm|nm)_np\d_(?:fr|ba|le|ri)_(?:goo|med|bad)_(?P<index>\d+)\.avi"
)


class Demo:
    def __init__(self, folder: Path, **options) -> None:
        self.videos, self.splits = folder / "videos.rar", folder / "splits.rar"
        make_archives(self.videos, self.splits, **options)

    def digests(self) -> list[str]:
        return [
            hashlib.sha256(path.read_bytes()).hexdigest() for path in (self.videos, self.splits)
        ]

    def unpack(self, root: Path) -> dict[str, list[Path]]:
        for cls in CLASSES:
            unpack_class(self.videos, cls, root / cls, root / f"{cls}.tsv")
        return {cls: sorted((root / cls).iterdir()) for cls in CLASSES}

    def split(self, root: Path, number: int = 1) -> dict[str, dict[str, int]]:
        unpack_splits(self.splits, CLASSES, root / "splits")
        lines = {
            cls: (root / "splits" / f"{cls}_test_split{number}.txt").read_text().splitlines()
            for cls in CLASSES
        }
        return {
            cls: {line.split()[0]: int(line.split()[1]) for line in found}
            for cls, found in lines.items()
        }


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def videos(demo, tmp_path_factory) -> dict[str, list[Path]]:
    return demo.unpack(tmp_path_factory.mktemp("videos"))


def read(path: Path) -> np.ndarray:
    """Return a video's frames, (time, height, width, BGR) uint8."""
    capture, frames = cv2.VideoCapture(str(path)), []
    assert capture.get(cv2.CAP_PROP_FPS) == FPS
    while (frame := capture.read())[0]:
        frames.append(frame[1])
    assert len(frames) == capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return np.stack(frames)


def test_archives_are_nested_as_hmdb51_is(demo, tmp_path):
    with rars.RarFile(str(demo.videos)) as outer:
        assert sorted(outer.namelist()) == sorted(f"{cls}.rar" for cls in CLASSES)
        inner = outer.read("walk.rar")
    with rars.RarFile.from_bytes(inner) as archive:
        assert all(name.startswith("walk/") for name in archive.namelist())
        assert any(entry.compress_size < entry.file_size for entry in archive.infolist())
    with rars.RarFile(str(demo.splits)) as lists:
        assert sorted(lists.namelist()) == sorted(
            f"testTrainMulti_7030_splits/{cls}_test_split{number}.txt"
            for cls in CLASSES
            for number in (1, 2, 3)
        )


def test_names_follow_hmdb51(videos):
    assert CLASSES == ("fall_floor", "ride_bike", "walk", "run", "push")
    names = [path.name for paths in videos.values() for path in paths]
    assert len(set(names)) == len(names) == 5 * 32
    for cls, paths in videos.items():
        for path in paths:
            match = NAME.fullmatch(path.name)
            assert match and match["cls"] == cls and match["source"] in SOURCES
    odd = {character for name in names for character in re.sub(r"[\w.-]", "", name)}
    assert odd >= set("[]()#!&+;~@")
    assert any(name.startswith("-") for name in names)


def test_clips_are_small_avi_with_whole_motion(videos):
    for paths in videos.values():
        for path in paths[::5]:
            assert path.read_bytes()[:4] == b"RIFF"
            frames = read(path)
            assert frames.shape[1:] == (HEIGHT, WIDTH, 3)
            assert 24 <= len(frames) <= 40
            steps = np.abs(np.diff(frames.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
            assert steps.max() > 0.5


def test_split_files_read_like_hmdb51s(demo, tmp_path):
    unpack_splits(demo.splits, ["walk"], tmp_path)
    text = (tmp_path / "walk_test_split1.txt").read_bytes()
    assert b"\r" not in text and text.endswith(b"\n")
    assert all(re.fullmatch(rb"\S+\.avi [012] ", line) for line in text.splitlines())


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_source_is_on_one_side_of_all_classes(demo, videos, tmp_path, number):
    split = demo.split(tmp_path, number)
    sides = defaultdict(set)
    for cls, digits in split.items():
        assert sorted(digits) == sorted(path.name for path in videos[cls])
        counts = [list(digits.values()).count(digit) for digit in (0, 1, 2)]
        assert counts == [2, 20, 10]
        for name, digit in digits.items():
            sides[NAME.fullmatch(name)["source"]].add(digit)
    assert all(len(side) == 1 for side in sides.values())
    assert len(sides) == len(SOURCES)


def test_splits_differ(demo, tmp_path):
    splits = [demo.split(tmp_path, number) for number in (1, 2, 3)]
    assert splits[0] != splits[1] != splits[2] != splits[0]


def test_equal_seeds_give_equal_bytes(tmp_path):
    made = [
        Demo(tmp_path / name, seed=seed, videos_per_class=3, workers=workers).digests()
        for name, seed, workers in [("a", 51, 1), ("b", 51, 2), ("c", 52, 2)]
    ]
    assert made[0] == made[1]
    assert made[0][0] != made[2][0]


def test_few_videos_still_have_both_sides(tmp_path):
    split = Demo(tmp_path, videos_per_class=2).split(tmp_path)
    assert all(sorted(digits.values()) == [1, 2] for digits in split.values())


def test_archives_are_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    demo = Demo(tmp_path, videos_per_class=2)
    before = demo.digests()
    monkeypatch.setattr(cv2.VideoWriter, "isOpened", lambda _writer: False)
    with pytest.raises(RuntimeError, match="XVID"):
        Demo(tmp_path, videos_per_class=3)
    assert demo.digests() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_scene_does_not_tell_the_class(videos):
    """The mean colour of a clip's upper edge, free of people, is spread alike in all classes."""
    colours = {
        cls: np.array([read(path)[:, :8].mean(axis=(0, 1, 2)) for path in paths])
        for cls, paths in videos.items()
    }
    spread = np.concatenate(list(colours.values())).std(axis=0)
    for means in colours.values():
        centre = np.concatenate(list(colours.values())).mean(axis=0)
        assert (np.abs(means.mean(axis=0) - centre) < 0.6 * spread).all()


def test_what_tells_a_run_from_a_walk_is_its_pace(videos):
    """Frame by frame they look alike; from frame to frame a run changes more."""

    def pace(path: Path) -> float:
        frames = read(path).astype(np.int16)
        return float(np.abs(np.diff(frames, axis=0)).mean())

    walks, runs = ([pace(path) for path in videos[cls]] for cls in ("walk", "run"))
    assert np.median(runs) > 1.3 * np.median(walks)
