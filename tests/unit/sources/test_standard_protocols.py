"""HMDB51 and UCF101 whole, by their official names: unpacked, decoded, divided and labelled."""

import random
import shutil
import struct
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import yaml

from actionrec.dataset.link_tree import inference_names, link_split
from actionrec.dataset.source_videos import source_finder
from actionrec.dataset.split_table import PARTS, Row, read_split
from actionrec.dataset.splits import ClassFiles, SplitSettings, make_split
from actionrec.errors import InputError
from actionrec.frames.extraction import extract_class
from actionrec.frames.manifest import FrameRecord, read_manifest, write_manifest
from actionrec.sources.archives import unpack_class, unpack_splits
from actionrec.sources.split_files import read_class_file
from actionrec.spec.render import Run, render_spec
from actionrec.spec.toolkits import NEWEST
from helpers import PNG, REPOSITORY, write_video
from helpers.stored_rar import Entry, write_rar

OFFICIAL = REPOSITORY / "tests/data/splits/hmdb51_splits.tar.xz"
HMDB51 = yaml.safe_load((REPOSITORY / "config/hmdb51_full.yaml").read_text())["dataset"]["classes"]
UCF101 = yaml.safe_load((REPOSITORY / "config/ucf101.yaml").read_text())["dataset"]["classes"]
VIDEOS = 6766


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Return the folder of HMDB51's 153 split files."""
    folder = tmp_path_factory.mktemp("official") / "splits"
    unpack_splits(OFFICIAL, HMDB51, folder)
    return folder


def names_of(files: Path, cls: str) -> list[str]:
    return list(read_class_file(files / f"{cls}_test_split1.txt"))


def test_the_official_files_are_whole(files):
    """Facts of the release: 51 classes, 6,766 videos, no name twice, 70 and 30 everywhere."""
    assert sorted(HMDB51) == HMDB51 and len(HMDB51) == 51
    names = [name for cls in HMDB51 for name in names_of(files, cls)]
    assert len(names) == len({name.casefold() for name in names}) == VIDEOS
    for cls in HMDB51:
        for number in (1, 2, 3):
            parts = read_class_file(files / f"{cls}_test_split{number}.txt")
            assert parts.keys() == set(names_of(files, cls))
            counts = Counter(parts.values())
            assert (counts["train"], counts["test"]) == (70, 30), (cls, number)


def free_box(text: str) -> bytes:
    """Return what a reader of MP4 skips, so that no two videos are equal."""
    return struct.pack(">I4s", 8 + len(text), b"free") + text.encode()


def hmdb51_archive(root: Path, files: Path) -> Path:
    """Pack a tiny video under each official name as HMDB51 is packed."""
    video = write_video(root / "tiny.mp4", 2, 16, 16, "mp4v").read_bytes()
    inner = []
    for cls in HMDB51:
        entries = [
            Entry(f"{cls}/{name}.avi", video + free_box(name)) for name in names_of(files, cls)
        ]
        data = write_rar(root / "class.rar", entries, version=4).read_bytes()
        inner.append(Entry(f"{cls}.rar", data))
    return write_rar(root / "hmdb51_org.rar", inner, version=4)


@pytest.mark.slow
def test_hmdb51_whole(files, tmp_path):
    archive = hmdb51_archive(tmp_path, files)
    videos, frames, tables = (tmp_path / name for name in ("videos", "frames", "tables"))
    manifests = {cls: tables / f"frames/{cls}.tsv" for cls in HMDB51}
    for cls in HMDB51:
        table = tables / f"videos/{cls}.tsv"
        unpack_class(archive, cls, videos / cls, table, others=HMDB51)
        extract_class(videos / cls, table, frames / cls, manifests[cls], image_format=PNG)
        clips = read_manifest(manifests[cls])
        assert {clip.video for clip in clips} == set(names_of(files, cls))
        assert {(clip.status, clip.frames) for clip in clips} == {("ok", 2)}
    assert sum(1 for _ in frames.glob("*/*/rgb/000002.png")) == VIDEOS

    for number in (1, 2, 3):
        official = {cls: files / f"{cls}_test_split{number}.txt" for cls in HMDB51}
        run = tmp_path / f"run/split{number}"
        of_split = ClassFiles(manifests, official=official)
        make_split(run / "split.tsv", of_split, official_split("test"), number)
        counts = Counter((row.cls, row.part) for row in read_split(run / "split.tsv"))
        expected = {"train": 70, "test": 30}
        assert counts == {(cls, p): n for cls in HMDB51 for p, n in expected.items()}
        assert len(inference_names(run / "split.tsv")) == 51 * 30

        link_split(run / "split.tsv", frames, run / "data", "symlink")
        tree = Counter(path.parts[-3:-1] for path in (run / "data").glob("t*/*/*"))
        assert tree == {(p, cls): n for cls in HMDB51 for p, n in expected.items()}
        render_spec(
            run / "train.yaml",
            "train",
            {},
            Run(run, HMDB51, "test", {}, toolkit=NEWEST, encrypt=False),
        )
        labels = yaml.safe_load((run / "train.yaml").read_text())["dataset"]["label_map"]
        assert list(labels.items()) == [(cls, index) for index, cls in enumerate(sorted(HMDB51))]


def test_validation_of_hmdb51_shares_no_source_video_with_training(files, tmp_path):
    manifests = {cls: tmp_path / f"{cls}.tsv" for cls in HMDB51}
    for cls, path in manifests.items():
        write_manifest(path, [clip(name) for name in names_of(files, cls)])
    official = {cls: files / f"{cls}_test_split2.txt" for cls in HMDB51}
    table = tmp_path / "split.tsv"
    make_split(table, ClassFiles(manifests, official=official), official_split(0.15), number=2)
    rows = read_split(table)
    sources = sources_of_parts(rows)
    assert not sources["train"] & sources["val"]
    counts = Counter(row.part for row in rows)
    assert counts["train"] + counts["val"] == 3570 and counts["test"] == 1530
    assert 0.1 * 3570 < counts["val"] < 0.2 * 3570


def clip(video: str) -> FrameRecord:
    return FrameRecord(video, f"{video}.avi", 2, 16, 16, 30.0, 9, video, "png", "png", "ok", "")


def official_split(validation: float | str) -> SplitSettings:
    return SplitSettings("official", test_fraction=0.3, validation=validation, seed=1234)


def sources_of_parts(rows: list[Row]) -> dict[str, set[tuple[str, str]]]:
    find = source_finder(None)
    sources: dict[str, set] = {part: set() for part in PARTS}
    for row in rows:
        sources[row.part].add((row.cls, find(row.cls, row.video)))
    return sources


# UCF101: its lists are for research alone, so lists of their form are made here.


def ucf101_videos(seed: int = 0) -> dict[str, list[str]]:
    """Return names as UCF101's: 25 groups of 4 to 7 clips; one class is spelt otherwise in them."""
    draw = random.Random(seed)
    return {
        cls: [
            f"v_{'HandStandPushups' if cls == 'HandstandPushups' else cls}_g{g:02d}_c{c:02d}.avi"
            for g in range(1, 26)
            for c in range(1, draw.randint(4, 7) + 1)
        ]
        for cls in UCF101
    }


def ucf101_lists(videos: dict[str, list[str]]) -> dict[str, str]:
    """Return the lists: groups 1 to 7, 8 to 14 and 15 to 21 test in splits 1, 2 and 3."""
    texts = {"classInd.txt": "".join(f"{i} {cls}\r\n" for i, cls in enumerate(videos, 1))}
    for split in (1, 2, 3):
        lines: dict[str, list[str]] = {"train": [], "test": []}
        for label, (cls, names) in enumerate(videos.items(), 1):
            for name in names:
                group = int(name.rpartition("_g")[2][:2])
                part = "test" if (group - 1) // 7 + 1 == split else "train"
                lines[part].append(f"{cls}/{name}" + (f" {label}" if part == "train" else ""))
        for part, of in lines.items():
            texts[f"{part}list0{split}.txt"] = "\r\n".join(of) + "\r\n"
    return texts


def zip_lists(path: Path, texts: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, text in texts.items():
            zipped.writestr(f"ucfTrainTestlist/{name}", text)
    return path


@pytest.mark.slow
def test_ucf101_whole(tmp_path):
    videos = ucf101_videos()
    lists = zip_lists(tmp_path / "lists.zip", ucf101_lists(videos))
    archive = write_rar(
        tmp_path / "UCF101.rar",
        [Entry(f"UCF-101/{cls}/{name}", name.encode()) for cls in videos for name in videos[cls]],
        version=4,
    )
    unpack_splits(lists, UCF101, tmp_path / "splits")
    for cls in ("HandstandPushups", "YoYo"):
        unpack_class(archive, cls, tmp_path / "videos" / cls, tmp_path / f"tables/{cls}.tsv")
        there = {path.name: path.read_text() for path in (tmp_path / "videos" / cls).iterdir()}
        assert there == {name: name for name in videos[cls]}
    manifests = {cls: tmp_path / f"frames/{cls}.tsv" for cls in UCF101}
    for cls, path in manifests.items():
        write_manifest(path, [clip(name.removesuffix(".avi")) for name in videos[cls]])
    seen = []
    for number in (1, 2, 3):
        official = {cls: tmp_path / f"splits/{cls}_test_split{number}.txt" for cls in UCF101}
        table = tmp_path / f"split{number}.tsv"
        make_split(table, ClassFiles(manifests, official=official), official_split(0.2), number)
        rows = read_split(table)
        assert len(rows) == sum(map(len, videos.values())), "every video is used"
        sources = sources_of_parts(rows)
        assert sum(map(len, sources.values())) == len(set.union(*sources.values())) == 101 * 25
        groups = {row.video.rpartition("_g")[2][:2] for row in rows if row.part == "test"}
        assert groups == {f"{g:02d}" for g in range(7 * number - 6, 7 * number + 1)}
        assert {row.cls for row in rows if row.part == "val"} == set(UCF101)
        seen += [(row.cls, row.video) for row in rows if row.part == "test"]
    assert max(Counter(seen).values()) == 1


@pytest.fixture
def lists() -> dict[str, str]:
    videos = {cls: names for cls, names in ucf101_videos().items() if cls in UCF101[:3]}
    return ucf101_lists(videos)


def refusal(tmp_path: Path, texts: dict[str, str], classes=UCF101[:3]) -> str:
    with pytest.raises(InputError) as caught:
        unpack_splits(zip_lists(tmp_path / "lists.zip", texts), classes, tmp_path / "splits")
    assert not (tmp_path / "splits").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("trainlist02.txt", "Archery/v_Archery_g01_c01.avi 3", "is there twice"),
        ("testlist02.txt", "Archery/v_Archery_g01_c01.avi", "is there twice"),
        ("trainlist03.txt", "Archery/new.avi 2", "has the id of ApplyLipstick"),
        ("testlist01.txt", "new.avi", "is not a class, a video and perhaps an id"),
        ("testlist01.txt", "<html>404</html>", "is not a class, a video"),
    ],
)
def test_lists_that_contradict_themselves(tmp_path, lists, name, line, message):
    lists[name] += line + "\r\n"
    said = refusal(tmp_path, lists)
    at = len(lists[name].splitlines())
    assert message in said and f"{name}, line {at}: {line!r}" in said


def test_lists_that_are_not_all_there(tmp_path, lists):
    del lists["testlist03.txt"]
    assert "no testlist03.txt" in refusal(tmp_path, lists)


def test_lists_of_another_dataset(tmp_path, lists):
    said = refusal(tmp_path, lists, ["walk", "archery"])
    assert "do not have some classes: walk, archery" in said
    assert "allowed: ApplyEyeMakeup, ApplyLipstick, Archery" in said
    said = refusal(tmp_path, lists, ["archery"])
    assert "did you mean 'Archery'?" in said
    with pytest.raises(
        InputError, match=r"no split files of some classes: Archery_test_split1\.txt"
    ):
        unpack_splits(OFFICIAL, ["Archery"], tmp_path / "splits")


def test_no_split_file_at_all(tmp_path):
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", zip_lists(tmp_path / "a.zip", {"notes.txt": "x"})):
        with pytest.raises(InputError, match="no split files of some classes"):
            unpack_splits(source, ["walk"], tmp_path / "splits")


def test_files_of_a_class_of_the_same_name_in_another_dataset(files, tmp_path):
    """UCF101 and HMDB51 both have punching; a split that knows none of the videos is foreign."""
    manifest = tmp_path / "punch.tsv"
    write_manifest(manifest, [clip(name[:-4]) for name in ucf101_videos()["Punch"]])
    with pytest.raises(InputError) as caught:
        official = {"punch": files / "punch_test_split1.txt"}
        of_split = ClassFiles({"punch": manifest}, official=official)
        make_split(tmp_path / "split.tsv", of_split, official_split(0.2), number=1)
    message = str(caught.value)
    assert "are of another dataset: they name none of the videos" in message
    assert len(message.splitlines()) < 12, "not every name is listed"


def test_split_files_of_a_folder_are_copied(files, tmp_path):
    shutil.copytree(files, tmp_path / "mine/testTrainMulti_7030_splits")
    unpack_splits(tmp_path / "mine", ["hug", "walk"], tmp_path / "splits")
    assert {path.name: path.read_bytes() for path in (tmp_path / "splits").iterdir()} == {
        f"{cls}_test_split{k}.txt": (files / f"{cls}_test_split{k}.txt").read_bytes()
        for cls in ("hug", "walk")
        for k in (1, 2, 3)
    }
