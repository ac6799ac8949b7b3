"""Archives: damaged ones, hostile ones, and what cannot be unpacked here."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping

from actionrec.sources import archives
from faults import table
from faults.table import Fault, Scene

AREA = "archives"
DAMAGED = "damaged or of no known format"
REFUSED = ("holds what no dataset needs, and is not unpacked",)
TOO_LONG = "too long for a file system"
NO_LINKS = (*REFUSED, "(a link)")
VIDEO = bytes(range(256)) * 20


class Unpacking(Scene):
    """A class that was unpacked once, and is unpacked again from an archive."""

    def prepare(self) -> None:
        self.archive = self.folder / "archives/set.tar"
        self.archive.parent.mkdir()
        self.videos = self.folder / "videos/walk"
        self.options: dict[str, int] = {}
        self.archive.write_bytes(tar({"walk/old.avi": VIDEO}))
        self.act()

    def act(self) -> str:
        rows = self.folder / "tables/walk.tsv"
        return self.said(
            archives.unpack_class, self.archive, "walk", self.videos, rows, **self.options
        )


class UnpackingSplits(Unpacking):
    """The official split files, which were unpacked once."""

    def act(self) -> str:
        return self.said(archives.unpack_splits, self.archive, ["walk"], self.folder / "splits")

    def prepare(self) -> None:
        super().prepare()
        names = [f"walk_test_split{number}.txt" for number in (1, 2, 3)]
        self.archive.write_bytes(tar(dict.fromkeys(names, b"a.avi 1\nb.avi 2\n")))
        self.act()


def tar(members: Mapping[str, bytes], *links: tuple[str, str, bytes], mode: str = "w") -> bytes:
    """Return a TAR archive; `links` are a name, what it leads to, and the kind."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target, kind in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    return buffer.getvalue()


def zipped(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def given(content: bytes) -> Callable[[Unpacking], None]:
    """Return an injection: the archive is another one."""

    def inject(scene: Unpacking) -> None:
        scene.archive.write_bytes(content)

    return inject


def flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


GOOD = {"walk/new.avi": VIDEO, "walk/newer.avi": VIDEO[::-1]}
PACKED = zipped(GOOD)
BAD_NAMES = {
    "that leads out of the folder": "../walk/a.avi",
    "that leads out of the class": "walk/../../a.avi",
    "that is absolute": "/walk/a.avi",
    "with a backslash": "walk\\a.avi",
    "with a line break": "walk/a\nb.avi",
    "with an escape sequence": "walk/\x1b[2Ja.avi",
}
LONG_NAMES = {
    "of 300 characters": f"walk/{'x' * 300}.avi",
    "of 150 letters of two bytes": f"walk/{'ä' * 150}.avi",
    "of a hundred folders": "/".join(["d" * 50] * 100) + "/walk/a.avi",
}
DAMAGES = {
    "an empty archive": b"",
    "an HTML page instead of an archive": b"<html>404</html>" * 50,
    "an archive that was cut off": tar(GOOD)[:-2048][:3000],
    "a compressed archive that was cut off": tar(GOOD, mode="w:gz")[:-40],
    "a compressed archive with a flipped bit": flipped(tar(GOOD, mode="w:xz"), 200),
    "a ZIP archive without its directory": PACKED[: len(PACKED) // 2],
    "a ZIP archive with a flipped bit": flipped(PACKED, 60),
    "an archive of a damaged archive": tar({"walk.zip": flipped(PACKED, 60)}),
}


def fill_disk(scene: Unpacking) -> None:
    """Let the videos be on a disk that is too small."""
    disk = scene.request.getfixturevalue("mount_disk")("size=1m")
    scene.videos = disk / "videos/walk"
    scene.archive.write_bytes(zipped({"walk/large.avi": bytes(5_000_000)}))


def fill_inodes(scene: Unpacking) -> None:
    disk = scene.request.getfixturevalue("mount_disk")("size=2m,nr_inodes=12")
    scene.videos = disk / "videos/walk"
    scene.archive.write_bytes(zipped({f"walk/{n}.avi": VIDEO for n in range(20)}))


FAULTS = [
    *(
        Fault(name, "given for the videos", Unpacking, given(content), DAMAGED, "the videos")
        for name, content in DAMAGES.items()
    ),
    *(
        Fault(
            f"a name {what}", "in the archive", Unpacking, given(tar({**GOOD, name: b"x"})), REFUSED
        )
        for what, name in BAD_NAMES.items()
    ),
    *(
        Fault(
            f"a name {what}", "in the archive", Unpacking, given(tar(GOOD | {name: b"x"})), TOO_LONG
        )
        for what, name in LONG_NAMES.items()
    ),
    *(
        Fault(
            f"a {what}", "in the archive", Unpacking, given(tar(GOOD, link)), (*REFUSED, "(a link)")
        )
        for what, link in {
            "symbolic link": ("walk/link.avi", "/etc/passwd", tarfile.SYMTYPE),
            "hard link": ("walk/link.avi", "/etc/passwd", tarfile.LNKTYPE),
            "named pipe": ("walk/pipe.avi", "", tarfile.FIFOTYPE),
            "device": ("walk/device.avi", "", tarfile.BLKTYPE),
        }.items()
    ),
    Fault(
        "a class that is not in the archive",
        "another class is",
        Unpacking,
        given(tar({"run/a.avi": VIDEO})),
        ("A class is not in the archive", "allowed: run"),
    ),
    Fault(
        "an archive without videos",
        "it holds a text",
        Unpacking,
        given(tar({"readme.txt": b"x"})),
        "neither <class>.rar nor <class>/<video>",
    ),
    Fault(
        "two videos of one name in two folders",
        "in the archive",
        Unpacking,
        given(tar({"a/walk/x.avi": VIDEO, "b/walk/x.avi": VIDEO})),
        "Two videos of one class have the same name",
    ),
    Fault(
        "a bomb",
        "a megabyte of zeros in a kilobyte, and a limit of half of it",
        Unpacking,
        lambda scene: (
            scene.archive.write_bytes(zipped({"walk/a.avi": bytes(2**20)})),
            scene.options.update(max_bytes=2**19),
        ),
        (*REFUSED, "bytes once unpacked"),
    ),
    Fault(
        "an archive that is gone",
        "deleted",
        Unpacking,
        lambda scene: scene.archive.unlink(),
        "There is no such archive",
    ),
    Fault(
        "a disk that is too small for the videos",
        "a memory disk of 1 MiB",
        Unpacking,
        fill_disk,
        "not enough disk space to unpack",
    ),
    Fault(
        "a disk without inodes",
        "a memory disk with 12 of them",
        Unpacking,
        fill_inodes,
        "The disk is full",
    ),
    Fault(
        "split files that are damaged",
        "the archive is cut off",
        UnpackingSplits,
        given(tar(GOOD, mode="w:gz")[:-40]),
        DAMAGED,
        "the split files",
    ),
    Fault(
        "split files of a class that are missing",
        "not in the archive",
        UnpackingSplits,
        given(tar({"run_test_split1.txt": b"a.avi 1\n"})),
        "walk",
        "the split files",
    ),
]

test_fault = table.test_of(FAULTS)
