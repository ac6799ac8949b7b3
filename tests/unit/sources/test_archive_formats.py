"""Archives of every format and layout: found from their contents, read once, and never trusted."""

import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rars

from actionrec.errors import InputError
from actionrec.sources import archives, rar
from actionrec.sources.archive_formats import is_sequential
from actionrec.sources.archives import list_members, unpack_class
from helpers.stored_rar import Entry, write_rar

TARS = {".tar": "w", ".tar.gz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
CLASSES = ("clap", "run", "walk")


def video(cls: str, index: int, size: int = 3000) -> bytes:
    seed = [len(cls), ord(cls[0]), index]
    return np.random.default_rng(seed).integers(0, 200, size, dtype=np.uint8).tobytes()


def tree(number: int = 3, size: int = 3000, prefix: str = "") -> dict[str, bytes]:
    return {
        f"{prefix}{cls}/{cls}_{i}.avi": video(cls, i, size)
        for cls in CLASSES
        for i in range(number)
    }


def pack(suffix: str, members: dict[str, bytes], **options) -> bytes:
    """Return an archive of the format that the suffix stands for."""
    if suffix == ".rar":
        builder = rars.RarBuilder(**{"format": rars.RAR29, **options})
        for name, data in members.items():
            builder.add_bytes(data, name, mtime=1_000_000_000, mode=0o644)
        return builder.to_bytes()
    buffer = io.BytesIO()
    if suffix == ".zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, data in members.items():
                zipped.writestr(name, data)
    else:
        with tarfile.open(fileobj=buffer, mode=TARS[suffix]) as tar:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def nested(outer: str, inner: str, prefix: str = "", **options) -> bytes:
    members = tree()
    return pack(
        outer,
        {
            f"{prefix}{cls}{inner}": pack(
                inner, {name: data for name, data in members.items() if name.startswith(f"{cls}/")}
            )
            for cls in CLASSES
        },
        **options,
    )


class Place:
    """Where a data set's archive and classes go, as the rules have it."""

    def __init__(self, root: Path) -> None:
        self.root, self.archive = root, root / "archives" / "set.archive"
        self.archive.parent.mkdir(parents=True)

    def put(self, content: bytes) -> "Place":
        self.archive.write_bytes(content)
        return self

    def unpack(self, cls: str, **options) -> dict[str, bytes]:
        folder = self.root / "videos" / cls
        unpack_class(self.archive, cls, folder, self.root / "tables" / f"{cls}.tsv", **options)
        return {f"{cls}/{path.name}": path.read_bytes() for path in folder.iterdir()}

    def unpack_all(self, **options) -> dict[str, bytes]:
        together: dict[str, bytes] = {}
        for cls in CLASSES:
            together |= self.unpack(cls, **options)
        return together

    def error(self, cls: str = "walk") -> str:
        with pytest.raises(InputError) as caught:
            self.unpack(cls)
        left = [path for path in self.root.rglob("*") if path.is_file() and path.suffix != ".lock"]
        assert left == [self.archive], "something half-made was left"
        return str(caught.value)

    def leftovers(self) -> list[str]:
        names = {path.name for path in self.archive.parent.iterdir()}
        return sorted(names - {self.archive.name, f".{self.archive.name}.lock"})


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path / "set")


@pytest.mark.parametrize("suffix", [".rar", ".zip", *TARS])
@pytest.mark.parametrize("prefix", ["", "UCF-101/", "data/videos/"])
def test_folders_of_classes_in_every_format_and_depth(place, suffix, prefix):
    extra = {f"{prefix}README.md": b"about", "__MACOSX/walk/._walk_0.avi": b"x"}
    place.put(pack(suffix, tree(prefix=prefix) | extra))
    assert place.unpack_all(others=CLASSES) == tree()
    assert place.leftovers() == []


@pytest.mark.parametrize("outer", [".rar", ".zip", ".tar", ".tar.gz"])
@pytest.mark.parametrize("inner", [".rar", ".zip", ".tar.gz"])
@pytest.mark.parametrize("prefix", ["", "hmdb51_org/"])
def test_archives_of_classes_in_every_format(place, outer, inner, prefix):
    place.put(nested(outer, inner, prefix))
    assert place.unpack_all(others=CLASSES) == tree()
    assert place.leftovers() == []


def test_a_class_in_several_folders_is_put_together(place):
    first = {name: data for name, data in tree(prefix="train/").items() if "_0" in name}
    second = {name: data for name, data in tree(prefix="test/").items() if "_0" not in name}
    assert place.put(pack(".zip", first | second)).unpack_all() == tree()


def test_tar_made_in_its_own_folder(place, tmp_path):
    for name, data in tree(prefix="set/").items():
        path = tmp_path / "made" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    subprocess.run(["tar", "-C", tmp_path / "made", "-cf", place.archive, "."], check=True)
    assert place.unpack_all() == tree()


@pytest.mark.parametrize("suffix", [".rar", ".zip", ".tar"])
def test_classes_with_spaces_and_letters_of_any_script(place, suffix):
    names = {"play guitar/v 1.avi": b"1", "Übung 日本/ü.avi": b"2", "läuft-davon/a.mp4": b"3"}
    place.put(pack(suffix, names, **({"format": rars.RAR50} if suffix == ".rar" else {})))
    for name, data in names.items():
        assert place.unpack(name.split("/")[0]) == {name: data}


def test_accents_written_in_two_characters_are_the_same_class(place):
    """macOS stores e + accent where a configuration has one character."""
    place.put(pack(".zip", {"cafe\u0301/a.avi": b"1"}))
    assert place.unpack("caf\u00e9") == {"caf\u00e9/a.avi": b"1"}
    place.put(pack(".zip", {"cafe\u0301.zip": pack(".zip", {"cafe\u0301/b.avi": b"2"})}))
    shutil.rmtree(place.root / "videos")
    assert place.unpack("caf\u00e9") == {"caf\u00e9/b.avi": b"2"}


@pytest.mark.parametrize("there", ["Walk", "WALK"])
def test_a_class_in_other_letters_is_offered(place, there):
    message = place.put(pack(".zip", {f"{there}/a.avi": b"x", "run/a.avi": b"x"})).error()
    assert "A class is not in the archive" in message
    assert f"did you mean '{there}'?" in message


@pytest.mark.parametrize(
    "names",
    [
        ("train/walk/a.avi", "test/walk/a.avi"),
        ("walk/a.avi", "old/walk/a.avi"),
        ("x/walk/a.MKV", "walk/a.MKV"),
    ],
)
def test_two_videos_with_one_name(place, names):
    message = place.put(pack(".zip", dict.fromkeys(names, b"x"))).error()
    assert "Two videos of one class have the same name" in message
    assert f"{names[0]} = {names[1]}" in message


def test_files_that_differ_by_suffix_alone_are_unpacked_next_to_each_other(place):
    members = {"train/walk/a.avi": b"x", "test/walk/a.mp4": b"y", "walk/a.MKV": b"z"}
    expected = {"walk/a.avi": b"x", "walk/a.mp4": b"y", "walk/a.MKV": b"z"}
    assert place.put(pack(".zip", members)).unpack("walk") == expected


def test_two_archives_of_one_class(place):
    walk = pack(".zip", {"walk/a.avi": b"x"})
    message = place.put(pack(".zip", {"walk.zip": walk, "old/walk.rar": walk})).error()
    assert "two archives of class walk: walk.zip, old/walk.rar" in message


# Solid archives

SOLID = {
    "rar": lambda: pack(".rar", tree(), solid=True),
    "rar of rars": lambda: nested(".rar", ".rar", solid=True),
    "tar.gz": lambda: pack(".tar.gz", tree()),
}


@pytest.fixture
def passes(monkeypatch) -> list[list[str]]:
    """Return what was asked of an archive, one list a pass over it."""
    seen = []
    unpack = archives.archive_formats.extract

    def watched(archive, names, folder):
        seen.append(list(names))
        unpack(archive, names, folder)

    monkeypatch.setattr(archives.archive_formats, "extract", watched)
    return seen


@pytest.mark.parametrize("kind", SOLID)
def test_a_solid_archive_is_decoded_once_for_all_classes(place, passes, kind):
    place.put(SOLID[kind]())
    assert is_sequential(place.archive)
    assert place.unpack_all(others=CLASSES) == tree()
    assert sum(len(names) > 3 or names[0].endswith(".rar") for names in passes) == 1
    assert place.leftovers() == []


def test_classes_that_are_done_are_not_decoded_again(place, passes):
    place.put(SOLID["tar.gz"]())
    place.unpack_all(others=CLASSES)
    place.unpack("run", others=CLASSES)
    assert [len(names) for names in passes] == [9, 3]
    assert place.leftovers() == []


def test_shares_of_a_replaced_archive_are_not_used(place):
    place.put(SOLID["tar.gz"]()).unpack("walk", others=CLASSES)
    assert place.leftovers() == [".set.archive.classes"]
    place.put(pack(".tar.gz", tree(number=2)))
    assert place.unpack_all(others=CLASSES) == tree(number=2) | {
        name: data for name, data in tree().items() if name.startswith("walk/")
    }
    assert place.leftovers() == []


def test_jobs_at_the_same_time_share_one_pass(place, passes):
    place.put(SOLID["rar of rars"]())
    jobs = [
        threading.Thread(target=place.unpack, args=(cls,), kwargs={"others": CLASSES})
        for cls in CLASSES
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    there = {f"{p.parent.name}/{p.name}": p.read_bytes() for p in place.root.glob("videos/*/*")}
    assert there == tree()
    assert sum(names[0].endswith(".rar") for names in passes) == 1


def test_a_wanted_class_that_is_not_there_harms_no_other(place):
    place.put(SOLID["tar.gz"]())
    assert place.unpack("walk", others=["jump", "walk"])
    message = "A class is not in the archive"
    with pytest.raises(InputError, match=message):
        place.unpack("jump", others=CLASSES)


def test_a_killed_pass_leaves_nothing_that_is_used(place, repository):
    place.put(pack(".tar.gz", tree(number=24, size=300_000)))
    script = (
        "import sys; from pathlib import Path\n"
        "from actionrec.sources.archives import unpack_class\n"
        "root = Path(sys.argv[1])\n"
        "unpack_class(root / 'archives/set.archive', 'walk', root / 'videos/walk',\n"
        "             root / 'tables/walk.tsv', others=['run', 'clap'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, place.root],
        env={**os.environ, "PYTHONPATH": str(repository / "workflow/scripts")},
    )
    stage = place.archive.with_name(".set.archive.classes")
    while process.poll() is None and not list(stage.glob("part/.all/clap/clap_5.avi")):
        pass
    process.kill()
    assert process.wait() != 0
    assert not (place.root / "videos/walk").exists() and not any((stage / "shares").iterdir())
    assert place.unpack_all(others=CLASSES) == tree(number=24, size=300_000)
    assert place.leftovers() == []
    hidden = {path.name for path in (place.root / "videos").iterdir() if path.name.startswith(".")}
    assert hidden <= {".clap.lock", ".run.lock", ".walk.lock"}


def bytes_read() -> int:
    """Return what this process and its finished children have read."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


def test_a_class_costs_its_own_size_not_the_archives(place):
    """Nested and not solid, as large archives are: 51 jobs together read the archive once."""
    classes = {
        f"c{i}": pack(
            ".rar", {f"c{i}/{j}.avi": video("c", j, 200_000) for j in range(5)}, store=True
        )
        for i in range(30)
    }
    place.put(pack(".rar", {f"{cls}.rar": data for cls, data in classes.items()}, store=True))
    before = bytes_read()
    assert len(place.unpack("c17")) == 5
    cost = bytes_read() - before
    # The class is read, checked, read again as an archive, and checked; programs load libraries.
    assert cost < 4 * 1_000_000 + 10_000_000 < place.archive.stat().st_size * 0.6


# What must not be believed


@pytest.mark.parametrize("suffix", [".zip", *TARS])
@pytest.mark.parametrize(
    "name", ["../evil.avi", "/tmp/evil.avi", "walk/../../evil.avi", "walk\\evil.avi", "C:evil.avi"]
)
def test_names_that_lead_elsewhere(place, suffix, name):
    message = place.put(pack(suffix, {"walk/a.avi": b"x", name: b"evil"})).error()
    assert "not unpacked" in message


def test_links_in_a_tar(place):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            info = tarfile.TarInfo("walk/link.avi")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        assert "(a link)" in place.put(buffer.getvalue()).error()


def test_links_in_a_zip(place):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        info = zipfile.ZipInfo("walk/link.avi")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(info, "/etc/passwd")
    assert "(a link)" in place.put(buffer.getvalue()).error()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_in_a_zip(place):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("walk/a.avi", b"one")
        zipped.writestr("walk/a.avi", b"two")
    assert "(twice)" in place.put(buffer.getvalue()).error()


def test_an_encrypted_zip(place):
    content = bytearray(pack(".zip", {"walk/a.avi": b"x" * 50}))
    content[6] |= 1  # the flag in the member's header, then in the list at the end
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in place.put(bytes(content)).error()


@pytest.mark.parametrize("suffix", [".zip", *TARS])
def test_cut_off_anywhere(place, suffix):
    whole = pack(suffix, {"walk/a.avi": video("walk", 0, 30_000), "run/b.avi": video("run", 0)})
    end = len(whole) if suffix != ".tar" else whole.rindex(video("run", 0)) + 3000
    for length in [0, 1, 10, *np.linspace(600, end - 1, 8, dtype=int)]:
        assert "damaged" in place.put(whole[:length]).error()


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.xz"])
def test_a_flipped_bit_is_found(place, suffix):
    whole = pack(suffix, {"walk/a.avi": video("walk", 0, 30_000)})
    for position in np.linspace(1000, 20_000, 7, dtype=int):
        flipped = bytearray(whole)
        flipped[position] ^= 4
        assert "damaged" in place.put(bytes(flipped)).error()


def test_a_bomb_in_a_zip_or_tar(place):
    for suffix in (".zip", ".tar.gz"):
        place.put(pack(suffix, {"walk/a.avi": bytes(2**21)}))
        with pytest.raises(InputError, match="2097152 bytes once unpacked, more than 1000"):
            place.unpack("walk", max_bytes=1000)


def test_a_zip_that_lies_about_its_size(place):
    content = bytearray(pack(".zip", {"walk/a.avi": bytes(5000)}))
    for at in (22, content.index(b"PK\x01\x02") + 24):
        content[at : at + 4] = (40).to_bytes(4, "little")
    assert "damaged" in place.put(bytes(content)).error()


def test_too_many_members(place, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 5)
    assert "more than 5 members" in place.put(pack(".zip", tree())).error()


def test_thirteen_thousand_names_are_one_command(tmp_path):
    names = [f"UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g{i:05d}.avi" for i in range(13_320)]
    assert list(rar._in_few_commands(names)) == [names]
    long = ["x" * 250] * 13_320
    batches = list(rar._in_few_commands(long))
    assert [name for batch in batches for name in batch] == long
    assert max(map(len, batches)) * 259 <= rar.NAMES_BYTES
    archive = write_rar(tmp_path / "a.rar", [Entry(name, b"x") for name in names[:2000]])
    (tmp_path / "out").mkdir()
    rar.extract(archive, list(list_members(archive)), tmp_path / "out")
    assert sum(1 for _ in (tmp_path / "out").rglob("*.avi")) == 2000
