"""Every change on disk that matters is noticed, whatever made it, and no other."""

import os
import shutil

import pytest

from actionrec.frames.extraction import extract_class
from actionrec.frames.manifest import read_manifest
from actionrec.frames.segments import Segment, write_segments
from actionrec.frames.staleness import stale_frames, stale_segments
from actionrec.frames.videos import list_videos, write_files_table
from actionrec.sources.folder import link_class
from helpers import PNG, write_video


class Walk:
    """One class made of an archive's videos, or of a user's folder."""

    def __init__(self, root, linked):
        self.root = root
        self.source = root / "mine/walk"
        self.videos = root / "resources/videos/walk"
        self.frames = root / "resources/frames/walk"
        self.table = root / "results/videos/walk.tsv"
        self.manifest = root / "results/frames/walk.tsv"
        self.linked = linked
        self.home = self.source if linked else self.videos
        for name, count in (("a", 5), ("b", 6), ("c", 7)):
            write_video(self.home / f"{name}.avi", frames=count)
        self.list()
        self.extract()

    def list(self):
        if self.linked:
            link_class(self.source, self.videos, self.table)
        else:
            write_files_table(self.table, list_videos(self.videos))

    def extract(self):
        extract_class(self.videos, self.table, self.frames, self.manifest, image_format=PNG)

    def stale(self):
        return stale_frames(self.videos, self.table, self.frames, [self.manifest])

    def check(self, outputs, reason=""):
        """Assert what is stale and why, and that remaking it in this order settles it."""
        found = self.stale()
        assert [path.parent.name for path in found] == outputs
        assert any(reason in why for why in found.values()) or not outputs
        if self.table in found and self.linked:
            self.list()
        if self.manifest in found:
            self.extract()
        assert self.stale() == {}


@pytest.fixture
def archive(tmp_path):
    return Walk(tmp_path, linked=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Walk(tmp_path, linked=True)


@pytest.fixture(params=["archive", "folder"])
def walk(request):
    return request.getfixturevalue(request.param)


def test_a_tolerated_video_is_listed_and_not_stale(archive):
    (archive.videos / "empty.avi").touch()
    archive.list()
    folders = archive.videos, archive.table, archive.frames, archive.manifest
    extract_class(*folders, image_format=PNG)
    assert [record.video for record in read_manifest(archive.manifest)] == ["a", "b", "c", "empty"]
    usable = [record.video for record in read_manifest(archive.manifest) if record.usable]
    assert usable == list("abc")
    assert archive.stale() == {}


def test_nothing_is_stale_at_first_and_nothing_is_written(walk):
    before = sorted((str(p), p.lstat().st_mtime_ns) for p in walk.root.rglob("*"))
    assert walk.stale() == {}
    assert sorted((str(p), p.lstat().st_mtime_ns) for p in walk.root.rglob("*")) == before


def test_frame_deleted(walk):
    (walk.frames / "b/rgb/000003.png").unlink()
    walk.check(["frames"], "expected 6 png frames, found 5 files")


def test_frame_added(walk):
    (walk.frames / "b/rgb/000007.png").touch()
    walk.check(["frames"], "expected 6")


def test_video_folder_of_frames_deleted_or_added(walk):
    shutil.rmtree(walk.frames / "c")
    walk.check(["frames"], "frame folders added or deleted: c")
    (walk.frames / "d/rgb").mkdir(parents=True)
    walk.check(["frames"], "frame folders added or deleted: d")


def test_all_frames_deleted(walk):
    shutil.rmtree(walk.frames.parent)
    walk.check(["frames"], "no frames in")


def test_video_added_to_unpacked_ones(archive):
    write_video(archive.videos / "d.mp4", frames=4, fourcc="mp4v")
    archive.check(["frames"], "videos added: d.mp4")
    (archive.videos / "d.mp4").unlink()
    archive.check(["frames"], "videos removed: d.mp4")


def test_video_added_to_a_folder(folder):
    write_video(folder.source / "d.avi", frames=4)
    folder.check(["videos", "frames"], "videos added: d.avi")
    (folder.source / "d.avi").unlink()
    folder.check(["videos", "frames"], "videos removed: d.avi")


def test_video_replaced_by_another_size(walk):
    write_video(walk.home / "b.avi", frames=11)
    outputs = ["videos", "frames"] if walk.linked else ["frames"]
    walk.check(outputs, "video replaced: b.avi")


def test_video_replaced_by_equal_size(walk):
    video = walk.home / "b.avi"
    data = bytearray(video.read_bytes())
    data[-1] ^= 1
    video.write_bytes(data)
    walk.check(["frames"], "video replaced: b.avi")


def test_other_files_are_no_change(walk):
    (walk.home / "notes.txt").touch()
    (walk.home / ".b.avi.part").touch()
    (walk.home / "b.avi").touch()
    (walk.frames / ".hidden").touch()
    assert walk.stale() == {}


def test_videos_of_an_archive_may_be_deleted_while_their_frames_last(archive):
    (archive.videos / "a.avi").unlink()
    assert archive.stale() == {}
    shutil.rmtree(archive.videos)
    assert archive.stale() == {}
    (archive.frames / "b/rgb/000003.png").unlink()
    found = archive.stale()
    assert list(found) == [archive.table, archive.manifest]
    assert "videos are gone: a.avi, b.avi, c.avi" in found[archive.table]


def test_interrupted_before_the_manifest(archive):
    archive.manifest.unlink()
    assert archive.stale() == {}
    shutil.rmtree(archive.videos)
    assert list(archive.stale()) == [archive.table]


def test_nothing_made_yet(tmp_path):
    videos, table, frames, manifest = (
        tmp_path / name for name in ("videos/walk", "v.tsv", "frames/walk", "f.tsv")
    )
    assert stale_frames(videos, table, frames, [manifest]) == {}


def test_users_folder_gone(folder):
    shutil.rmtree(folder.source)
    assert list(folder.stale()) == [folder.table, folder.manifest]


@pytest.mark.parametrize("output", ["table", "manifest"])
def test_damaged_table_is_remade(walk, output):
    getattr(walk, output).write_text("scribble\n")
    assert getattr(walk, output) in walk.stale()


def test_copied_project_with_new_times_is_not_stale(walk, tmp_path):
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        os.utime(path, (4e9, 4e9), follow_symlinks=False)
    os.utime(walk.manifest, (1e9, 1e9))
    assert walk.stale() == {}


def test_damage_in_a_copied_project_is_found(walk, tmp_path):
    (walk.frames / "b/rgb/000003.png").unlink()
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        os.utime(path, (4e9, 4e9), follow_symlinks=False)
    walk.check(["frames"], "expected 6")


def test_a_folder_that_becomes_a_table_of_the_same_dataset_is_not_called_damaged(walk):
    """`source: folder` or archives before, a list of videos now: the table has other columns."""
    found = stale_segments(walk.table, walk.frames, [walk.manifest])
    assert list(found) == [walk.table]
    assert "another dataset.source" in found[walk.table]
    videos = sorted(walk.home.iterdir())
    segments = [Segment(path.stem, str(path), path.stat().st_size) for path in videos]
    write_segments(walk.table, segments)
    assert stale_segments(walk.table, walk.frames, [walk.manifest]) == {}, "frames of equal videos"


def test_a_table_that_becomes_a_folder_of_the_same_dataset_is_not_called_damaged(walk):
    write_segments(walk.table, [Segment("a", str(walk.home / "a.avi"), 9)])
    found = walk.stale()
    assert walk.table in found
    assert not any("damaged" in why for why in found.values())
    assert "another dataset.source" in found[walk.table]
    walk.list()
    assert walk.stale() == {}


def test_a_manifest_of_another_version_is_remade(walk):
    lines = walk.manifest.read_text().splitlines()
    lines[0] = lines[0].replace("suffix", "dialect")
    walk.manifest.write_text("\n".join(lines) + "\n")
    walk.check(["frames"], "another version")
