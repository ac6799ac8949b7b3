"""The frames of a large class are made in chunks, side by side; what is finished is kept."""

import os
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from actionrec.errors import InputError
from actionrec.frames import staleness
from actionrec.frames.class_folder import hold
from actionrec.frames.encoders import ImageFormat
from actionrec.frames.extraction import extract, extract_class, extract_segments, gather
from actionrec.frames.journal import Journal
from actionrec.frames.manifest import FrameRecord, frame_fault, read_manifest
from actionrec.frames.segments import Segment, write_segments
from actionrec.frames.staleness import as_lines, stale_frames, stale_segments
from actionrec.frames.videos import list_videos, write_files_table
from actionrec.sources.folder import link_class
from actionrec.utils import tables
from actionrec.utils.chunks import WHOLE, Chunk, all_chunks, chunk_of
from actionrec.utils.locks import locked
from helpers import PNG, wait_for, write_video

HALVES = all_chunks(2)
NAMES = ("a", "b", "c", "d", "e", "f")
RECORD = FrameRecord("a", "a.avi", 9, 64, 48, 30.0, 5, "s" * 64, "png", "png", "ok", "")


class Large:
    """A class of six short videos in a folder, in two chunks."""

    def __init__(self, root: Path) -> None:
        self.videos, self.frames = root / "videos", root / "frames/walk"
        self.table, self.manifest = root / "videos.tsv", root / "frames.tsv"
        self.chunks = [root / f"chunks/{chunk}.tsv" for chunk in HALVES]
        for index, name in enumerate(NAMES):
            write_video(self.videos / f"{name}.avi", frames=3 + index, width=32, height=32)
        write_files_table(self.table, list_videos(self.videos))

    def extract(self, chunk=WHOLE, manifest=None, image_format: ImageFormat = PNG):
        options = {"image_format": image_format, "chunk": chunk}
        extract_class(self.videos, self.table, self.frames, manifest or self.manifest, **options)

    def extract_halves(self):
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(self.extract, HALVES, self.chunks))

    def tree(self):
        files = [path for path in self.frames.rglob("*") if path.is_file()]
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def large(tmp_path):
    return Large(tmp_path)


def names(manifest):
    return [record.video for record in read_manifest(manifest)]


def test_tables_of_another_number_of_chunks_are_removed_before_frames_change(large, tmp_path):
    """Else the next plan with that number would find them made, by the settings of then."""
    whole, folder = tmp_path / "tables/frames/walk.tsv", tmp_path / "tables/chunks/walk"
    whole.parent.mkdir(parents=True)
    inputs = (large.videos, large.table, None, large.frames)
    other = folder / "3of4.tsv"
    for chunk in HALVES:
        extract(*inputs, folder / f"{chunk}.tsv", image_format=PNG, chunk=chunk)
    for table in (whole, other):
        table.write_text("of other frames")
    extract(*inputs, folder / "1of2.tsv", image_format=PNG, chunk=HALVES[0])
    assert sorted(path.name for path in folder.iterdir()) == ["1of2.tsv", "2of2.tsv"]
    assert not whole.exists()
    extract(*inputs, whole, image_format=PNG)
    assert not list(folder.iterdir())
    assert names(whole) == list(NAMES)


def test_tables_of_another_number_of_chunks_stay_while_the_input_is_bad(large, tmp_path):
    inputs = (large.videos, large.table, None, large.frames)
    tables = [tmp_path / f"tables/chunks/walk/{half}.tsv" for half in HALVES]
    for half, table in zip(HALVES, tables, strict=True):
        extract(*inputs, table, image_format=PNG, chunk=half)
    (large.videos / "c.avi").unlink()
    frames, before = large.tree(), [table.read_bytes() for table in tables]
    for chunk, name in ((WHOLE, "frames/walk"), (chunk_of("c", 4), "chunks/walk/1of4")):
        with pytest.raises(InputError, match="1 video is missing"):
            extract(*inputs, tmp_path / f"tables/{name}.tsv", image_format=PNG, chunk=chunk)
    assert [table.read_bytes() for table in tables] == before
    assert large.tree() == frames


def test_tables_that_another_run_has_removed_are_not_gathered(large):
    large.extract_halves()
    large.chunks[1].unlink()
    with pytest.raises(InputError, match=r"another number of chunks(?s:.)*frames\.chunk"):
        gather(large.chunks, large.frames, large.manifest)
    assert not large.manifest.exists()


WAITS = [(1, 1, 1, 1), (1, 1, 1, 2), (1, 2, 1, 1), (1, 2, 1, 2), (1, 2, 3, 4), (7, 8, 1, 2)]
TOGETHER = [(1, 2, 2, 2), (1, 2, 2, 4), (3, 4, 1, 4), (5, 8, 2, 4)]


@pytest.mark.parametrize("numbers", WAITS + TOGETHER)
def test_jobs_that_share_videos_take_turns_and_others_do_not(tmp_path, caplog, numbers):
    first, second = Chunk(*numbers[:2]), Chunk(*numbers[2:])
    shared = any(first.holds(str(name)) and second.holds(str(name)) for name in range(100))
    entered = threading.Event()

    def enter():
        with hold(tmp_path / "walk", second):
            entered.set()

    with ThreadPoolExecutor(1) as threads:
        with hold(tmp_path / "walk", first):
            job = threads.submit(enter)
            if shared:
                wait_for(lambda: "waiting for it to end" in caplog.text)
                assert not entered.is_set()
            else:
                job.result(60)
        job.result(60)
    assert shared == (numbers in WAITS)


def test_runs_of_several_numbers_of_chunks_at_once_leave_no_table_of_other_frames(large, tmp_path):
    """Each has a format of its own: what is left of the tables must describe what is there."""
    inputs = (large.videos, large.table, None, large.frames)
    runs = [(1, PNG), (2, ImageFormat("jpg", "opencv", 95)), (4, PNG), (1, PNG)]

    def run(count, image_format):
        for chunk in all_chunks(count):
            name = f"chunks/walk/{chunk}" if count > 1 else "frames/walk"
            manifest = tmp_path / f"tables/{name}.tsv"
            extract(*inputs, manifest, image_format=image_format, chunk=chunk)

    with ThreadPoolExecutor(len(runs)) as threads:
        list(threads.map(lambda options: run(*options), runs))
    left = list(tmp_path.glob("tables/**/*.tsv"))
    assert left
    for record in (record for table in left for record in read_manifest(table)):
        assert not frame_fault(large.frames / record.video / "rgb", record.frames, record.suffix)


def test_what_killed_jobs_of_other_chunks_left_is_removed(large):
    large.extract_halves()
    work = large.frames.with_name(".walk")
    left, running = work / "part-1of2-abcdefgh", work / "part-2of2-abcdefgh"
    for part in (left, running):
        part.mkdir()
    with locked(work / "lock-2of2"):
        large.extract()
    assert not left.exists()
    assert running.exists(), "its job has not ended"
    large.extract()
    assert not running.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_what_another_user_has_closed_is_named_and_nothing_of_theirs_is_removed():
    """Of frames that two users share. Their folders must be open all the way from the root."""
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o777)
        with hold(Path(root) / "walk") as held:
            left = held.work_folder / "part-1of2-abcdefgh"
        left.mkdir()
        (held.work_folder / "lock-1of2").touch(0o600)
        held.work_folder.chmod(0o777)
        held.folder.chmod(0o777)
        os.seteuid(65534)
        try:
            with hold(Path(root) / "walk"):
                assert left.exists()
        finally:
            os.seteuid(0)
        held.work_folder.chmod(0o755)
        os.seteuid(65534)
        try:
            with pytest.raises(InputError, match=r"may not write[^*]*denied: .*/\.walk\n.*rights"):
                hold(Path(root) / "walk").__enter__()
        finally:
            os.seteuid(0)


def test_chunks_made_side_by_side_are_the_class(large):
    large.extract_halves()
    gather(large.chunks, large.frames, large.manifest)
    assert sorted(names(large.chunks[0]) + names(large.chunks[1])) == list(NAMES)
    assert all(map(names, large.chunks)), "the names are to be in both chunks"
    in_chunks, frames = large.manifest.read_bytes(), large.tree()
    large.extract()
    assert large.manifest.read_bytes() == in_chunks
    assert large.tree() == frames


def test_other_chunks_keep_the_frames_of_those_before(large):
    large.extract()
    frames = large.tree()
    for count in (4, 2, 8):
        for chunk in all_chunks(count):
            large.extract(chunk, large.chunks[0])
        assert large.tree() == frames


def test_a_chunk_leaves_the_others_alone(large):
    large.extract_halves()
    frames = large.tree()
    gone = [next(name for name in NAMES if half.holds(name)) for half in HALVES]
    for name in gone:
        (large.videos / f"{name}.avi").unlink()
    write_files_table(large.table, list_videos(large.videos))
    large.extract(HALVES[0], large.chunks[0])
    assert {path for path in frames if gone[0] not in path.parts} == set(large.tree())


def test_a_missing_video_fails_its_own_chunk_alone(large):
    half, other = chunk_of("c", 2), chunk_of("c", 2).number % 2
    (large.videos / "c.avi").unlink()
    with pytest.raises(InputError, match=r"1 video is missing[^*]*found:   c\.avi"):
        large.extract(half, large.chunks[0])
    assert not large.chunks[0].exists()
    large.extract(HALVES[other], large.chunks[1])
    segments = [Segment(name, str(large.videos / f"{name}.avi"), 9) for name in NAMES]
    write_segments(large.table, segments)
    paths = large.table, None, large.frames
    with pytest.raises(InputError, match="1 video is missing"):
        extract_segments(*paths, large.chunks[0], image_format=PNG, chunk=half)
    extract_segments(*paths, large.chunks[1], image_format=PNG, chunk=HALVES[other])


def test_a_chunk_without_videos_is_an_empty_table(large):
    empty = next(chunk for chunk in all_chunks(64) if not any(map(chunk.holds, NAMES)))
    large.extract(empty, large.chunks[0])
    assert names(large.chunks[0]) == []


def test_a_replaced_video_of_a_list_makes_its_own_chunk_again(large):
    segments = [
        Segment(path.stem, str(path), path.stat().st_size) for path in list_videos(large.videos)
    ]
    write_segments(large.table, segments)
    for half, manifest in zip(HALVES, large.chunks, strict=True):
        extract_segments(large.table, None, large.frames, manifest, image_format=PNG, chunk=half)
    assert stale_segments(large.table, large.frames, large.chunks) == {}
    video = large.videos / "d.avi"
    video.write_bytes(video.read_bytes()[:-1] + b"x")
    found = stale_segments(large.table, large.frames, large.chunks)
    assert list(found) == [large.chunks[chunk_of("d", 2).number - 1]]
    (large.frames / "stray").mkdir()
    found = stale_segments(large.table, large.frames, large.chunks)
    assert large.chunks[chunk_of("stray", 2).number - 1] in found


def test_frames_that_are_lost_make_their_own_chunk_again(large, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    large.videos.rename(tmp_path / "mine")
    link_class(tmp_path / "mine", large.videos, large.table)
    large.extract_halves()
    paths = large.videos, large.table, large.frames
    assert stale_frames(*paths, large.chunks) == {}
    (large.frames / "e/rgb/000001.png").unlink()
    found = stale_frames(*paths, large.chunks)
    assert list(found) == [large.chunks[chunk_of("e", 2).number - 1]]
    assert said_of(large, found) == [f"1 of 2 tables in {large.chunks[0].parent}"]
    write_video(large.videos / "new.avi")
    check_whole_class(large, "videos added: new.avi")
    (large.videos / "new.avi").unlink()
    shutil.copy(large.videos / "e.avi", large.videos / "a.avi")
    check_whole_class(large, "video replaced: a.avi")
    (large.videos / "a.avi").unlink()
    check_whole_class(large, "videos removed: a.avi")


def said_of(large, stale, why=""):
    """Return what the plan says is remade, of lines for which no other reason is given."""
    lines = [line.split(" will be remade: ") for line in as_lines(stale, large.chunks)]
    assert all(why in line[1] for line in lines)
    return [line[0] for line in lines]


def check_whole_class(large, why):
    """Assert that a class is made again, for which the plan has one line and one reason."""
    found = stale_frames(large.videos, large.table, large.frames, large.chunks)
    assert found == dict.fromkeys([large.table, *large.chunks], why)
    tables = f"{large.table} and 2 of 2 tables in {large.chunks[0].parent}"
    assert said_of(large, found, why) == [tables]


def test_many_reasons_of_many_chunks_are_one_line(tmp_path):
    chunks = [tmp_path / f"{chunk}.tsv" for chunk in all_chunks(8)]
    stale = {chunk: f"{chunk.stem} differs" for chunk in chunks[2:7]}
    assert as_lines(stale, chunks) == [
        f"5 of 8 tables in {tmp_path} will be remade: 3of8 differs; 4of8 differs; 5of8 differs; "
        "and 2 more reasons"
    ]
    assert as_lines({chunks[0]: "why"}, chunks[:1]) == [f"{chunks[0]} will be remade: why"]


def journal(path, chunk=WHOLE):
    return Journal(path, FrameRecord, "bad", chunk)


def test_a_journal_is_shared_by_chunks_and_forgets_what_is_taken_back(tmp_path):
    path = tmp_path / "done.tsv"
    own, other = chunk_of("a", 2), HALVES[chunk_of("a", 2).number % 2]
    first, second = journal(path, own), journal(path, other)
    first.add(RECORD)
    foreign = next(name for name in NAMES if other.holds(name))
    second.add(replace(RECORD, video=foreign))
    assert set(journal(path).finished) == {"a", foreign}
    assert set(journal(path, own).finished) == {"a"}
    first.take_back("a")
    assert set(journal(path, Chunk(chunk_of("a", 8).number, 8)).finished) <= {foreign}
    first.add(replace(RECORD, sha256="t" * 64))
    assert journal(path).finished["a"].sha256 == "t" * 64


def test_a_row_that_a_killed_job_left_half_written_costs_no_other(tmp_path):
    first, second = journal(tmp_path / "done.tsv"), journal(tmp_path / "done.tsv")
    first.add(RECORD)
    with (tmp_path / "done.tsv").open("a") as file:
        file.write("b\tb.avi\t1")
    second.add(replace(RECORD, video="c"))
    assert set(journal(tmp_path / "done.tsv").finished) == {"a", "c"}


def test_a_journal_of_many_changes_is_written_anew(tmp_path):
    one = journal(tmp_path / "done.tsv")
    for number in range(110):
        one.add(replace(RECORD, frames=number))
    assert journal(tmp_path / "done.tsv").finished["a"].frames == 109
    assert len((tmp_path / "done.tsv").read_text().splitlines()) == 2


def test_many_bad_videos_are_named_in_the_log_and_a_few_on_the_terminal(large, caplog):
    caplog.set_level("INFO")
    for number in range(15):
        (large.videos / f"empty{number:02d}.avi").touch()
    large.extract()
    bad = [record for record in caplog.records if record.message.startswith("Bad video in")]
    assert [record.levelname for record in bad] == ["WARNING"] * 10 + ["INFO"] * 5
    assert f"15 videos in {large.videos} are bad: all are in {large.manifest}" in caplog.text
    assert sum(not record.usable for record in read_manifest(large.manifest)) == 15


def test_the_plan_asks_the_disk_once_a_video_and_once_a_segment(large, monkeypatch):
    """However many chunks the class has; and reads each table once."""
    times = (0.0, 0.05), (0.05, 0.1), (0.0, 0.1)
    segments = [
        Segment(f"{path.stem}_{number}", str(path), path.stat().st_size, *span)
        for path in list_videos(large.videos)
        for number, span in enumerate(times)
    ]
    write_segments(large.table, segments)
    manifests = [large.table.with_name(f"{chunk}.tsv") for chunk in all_chunks(4)]
    for chunk, manifest in zip(all_chunks(4), manifests, strict=True):
        extract_segments(large.table, None, large.frames, manifest, image_format=PNG, chunk=chunk)
    asked, read = [], []
    stat, read_table = os.stat, tables.read_table
    monkeypatch.setattr(staleness.os, "stat", lambda path, **kw: asked.append(path) or stat(path))
    monkeypatch.setattr(tables, "read_table", lambda *a: read.append(a[0]) or read_table(*a))
    assert stale_segments(large.table, large.frames, manifests) == {}
    monkeypatch.undo()
    assert sorted(read) == sorted([large.table, *manifests])
    of_tables = [path for path in asked if str(path).endswith(".tsv")]
    assert len(asked) - len(of_tables) == len(NAMES) + len(segments)
