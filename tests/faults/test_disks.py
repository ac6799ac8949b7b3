"""Disks that are full, of bytes or of files, read-only, or hold what should not be there."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from actionrec.dataset import link_tree
from actionrec.dataset.split_table import Row, write_split
from actionrec.frames.manifest import frame_fault
from actionrec.native.data import videos
from actionrec.utils import files
from faults import table
from faults.table import Fault, Scene

AREA = "disks"


class Table(Scene):
    """A table that is to be replaced; the older one and a neighbour are there."""

    def prepare(self) -> None:
        self.target = self.folder / "results" / "table.tsv"
        self.target.parent.mkdir()
        self.target.write_text("older")
        (self.target.parent / "neighbour.tsv").write_text("neighbour")

    def act(self) -> str:
        return self.said(files.write_text, self.target, "newer" * 1000)


class Disk(Table):
    """The same on a small disk of its own."""

    options = "size=64k"

    def prepare(self) -> None:
        mount = self.request.getfixturevalue("mount_disk")
        self.folder = mount(self.options)
        super().prepare()


class FewFiles(Disk):
    """The same on a disk that takes eight files."""

    options = "size=1m,nr_inodes=8"


class Frames(Scene):
    """The frames of one video, and a split of it."""

    links = "copy"

    def prepare(self) -> None:
        self.rgb = self.folder / "frames" / "walk" / "v" / "rgb"
        self.rgb.mkdir(parents=True)
        for number in (1, 2, 3):
            (self.rgb / f"{number:06d}.png").write_bytes(b"image")
        self.split = self.folder / "split.tsv"
        write_split(self.split, [Row("train", "walk", "v", 3, "png", "0")])

    def act(self) -> str:
        data = self.folder / "data"
        return self.said(link_tree.link_split, self.split, self.folder / "frames", data, self.links)


class Compared(Frames):
    """The same, compared with the table, as before each task."""

    def act(self) -> str:
        return frame_fault(self.rgb, 3, "png")


class Listed(Frames):
    """The same, listed by the engine."""

    def act(self) -> str:
        return self.said(videos._images, self.rgb.parent, "rgb", "frames")


def fail_with(number: int) -> Callable[[Table], object]:
    """Return an injection: the file system answers the rename with this error."""

    def refuse(self: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number), str(self), None, str(target))

    return lambda scene: scene.monkeypatch.setattr(Path, "replace", refuse)


def full_of_bytes(scene: Disk) -> None:
    with (scene.folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"x" * 1024)


def full_of_files(scene: Disk) -> None:
    with suppress(OSError):
        for number in range(100):
            (scene.folder / f"filler{number}").touch()


def folder_in_place(scene: Table) -> None:
    scene.target.unlink()
    (scene.target / "mine").mkdir(parents=True)


def file_in_place(scene: Table) -> None:
    scene.target = scene.target / "below" / "table.tsv"


def dead_link(scene: Table) -> None:
    (scene.folder / "link").symlink_to("/nowhere/at/all")
    scene.target = scene.folder / "link" / "table.tsv"


def in_place_of_a_frame(make: Callable[[Path], object]) -> Callable[[Frames], object]:
    """Return an injection: `make` makes what stands in place of the second frame."""

    def inject(scene: Frames) -> None:
        (scene.rgb / "000002.png").unlink()
        make(scene.rgb / "000002.png")

    return inject


def without_links(kind: str, *refused: str) -> Callable[[Frames], object]:
    """Return an injection: the split is to be linked by `kind`, and `refused` calls fail."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def inject(scene: Frames) -> None:
        scene.links = kind
        for call in refused:
            scene.monkeypatch.setattr(os, call, refuse)
            if call == "link":
                scene.monkeypatch.setitem(link_tree._PUT_IMAGE, "hardlink", refuse)
            else:
                scene.monkeypatch.setattr(Path, "symlink_to", refuse)

    return inject


def dead_symlink(path: Path) -> None:
    path.symlink_to("/nowhere/at/all")


NO_FILE = "a pipe, a folder or a broken link"
FAULTS = [
    Fault("full disk", "a small disk is filled", Disk, full_of_bytes, "The disk is full"),
    Fault(
        "no inodes", "eight files fit", FewFiles, full_of_files, ("inodes are used up", "0 inodes")
    ),
    Fault("quota", "EDQUOT by the rename", Table, fail_with(errno.EDQUOT), "quota is used up"),
    Fault("read-only disk", "EROFS by the rename", Table, fail_with(errno.EROFS), "read-only"),
    Fault("broken disk", "EIO by the rename", Table, fail_with(errno.EIO), "does not work"),
    Fault("file too large", "EFBIG by the rename", Table, fail_with(errno.EFBIG), "too large"),
    Fault("too many open files", "EMFILE", Table, fail_with(errno.EMFILE), "ulimit -n"),
    Fault("no rights", "EACCES by the rename", Table, fail_with(errno.EACCES), "may not write"),
    Fault("folder for a file", "made", Table, folder_in_place, "A folder is in place of the file"),
    Fault("file for a folder", "made", Table, file_in_place, "is in place of a folder"),
    Fault("link to nowhere", "for a folder", Table, dead_link, "a link that leads nowhere"),
    Fault("pipe, copied", "for a frame", Frames, in_place_of_a_frame(os.mkfifo), NO_FILE),
    Fault("folder, copied", "for a frame", Frames, in_place_of_a_frame(Path.mkdir), NO_FILE),
    Fault("dead link, copied", "for a frame", Frames, in_place_of_a_frame(dead_symlink), NO_FILE),
    Fault("pipe, compared", "for a frame", Compared, in_place_of_a_frame(os.mkfifo), NO_FILE),
    Fault("folder, compared", "for a frame", Compared, in_place_of_a_frame(Path.mkdir), NO_FILE),
    Fault("pipe, listed", "for a frame", Listed, in_place_of_a_frame(os.mkfifo), NO_FILE),
    Fault("folder, listed", "for a frame", Listed, in_place_of_a_frame(Path.mkdir), NO_FILE),
    Fault(
        "no symbolic links",
        "EPERM",
        Frames,
        without_links("symlink", "symlink"),
        "set splits.links: hardlink",
    ),
    Fault(
        "no links at all",
        "EPERM",
        Frames,
        without_links("symlink", "symlink", "link"),
        "set splits.links: copy",
    ),
    Fault(
        "no hard links at all",
        "EPERM",
        Frames,
        without_links("hardlink", "symlink", "link"),
        "set splits.links: copy",
    ),
]
test_fault = table.test_of(FAULTS)
