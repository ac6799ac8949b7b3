"""Videos and names: damaged files, and names that a file system, a table or TAO cannot have."""

import os
from collections.abc import Callable
from pathlib import Path

from actionrec.dataset import link_tree
from actionrec.dataset.split_table import Row, write_split
from actionrec.frames.extraction import extract_class
from actionrec.sources.folder import link_class
from faults import table
from faults.table import Fault, Scene
from helpers import PNG, write_video

AREA = "videos and names"
ALL_BUT_BAD = "the frames of the other videos"


class Listing(Scene):
    """A class of a user's own folder that is linked and listed."""

    def prepare(self) -> None:
        self.cls = "walk"
        (self.videos / "a.avi").parent.mkdir(parents=True)
        (self.videos / "a.avi").write_bytes(b"x")
        self.act()

    @property
    def videos(self) -> Path:
        return self.folder / "mine" / self.cls

    def act(self) -> str:
        link, rows = self.folder / f"videos/{self.cls}", self.folder / f"tables/{self.cls}.tsv"
        return self.said(link_class, self.videos, link, rows)


class Extraction(Scene):
    """Three videos whose frames were made once, and are made again."""

    def prepare(self) -> None:
        self.videos, self.manifest = self.folder / "videos/walk", self.folder / "frames.tsv"
        for name in "abc":
            write_video(self.videos / f"{name}.avi", 4)
        self.act()

    def act(self) -> str:
        rows = self.folder / "videos.tsv"
        said = self.said(link_class, self.videos, self.folder / "links/walk", rows)
        frames = self.folder / "frames/walk"
        return said + self.said(
            extract_class, self.videos, rows, frames, self.manifest, image_format=PNG
        )

    def kept(self):
        """Return what concerns the good videos."""
        kept = {name: value for name, value in super().kept().items() if "/c" not in name}
        kept.pop("videos.tsv", None)
        kept.pop("frames.tsv")  # which lists the bad one
        kept.pop("frames/.walk/done.tsv", None)
        return kept


class ExtractionOfNothing(Extraction):
    """The same, when no video is good any more."""

    def kept(self):
        """Return the user's files."""
        return {str(path): path.exists() for path in self.videos.iterdir()}


class Linking(Scene):
    """A split that is laid out for TAO."""

    def prepare(self) -> None:
        self.rows = [self.row("train", "a"), self.row("test", "b")]
        self.act()

    def row(self, part: str, video: str, cls: str = "walk") -> Row:
        images = self.folder / "frames" / cls / video / "rgb"
        images.mkdir(parents=True, exist_ok=True)
        (images / "000001.png").write_bytes(b"x")
        return Row(part, cls, video, 1, "png", "0")

    def act(self) -> str:
        write_split(self.folder / "split.tsv", self.rows)
        frames, data = self.folder / "frames", self.folder / "data"
        return self.said(link_tree.link_split, self.folder / "split.tsv", frames, data, "symlink")

    def kept(self):
        """Return the tree of links that was there."""
        return {str(path): path.is_symlink() for path in (self.folder / "data").rglob("*")}


def replaced(content: bytes) -> Callable[[Extraction], None]:
    return lambda scene: (scene.videos / "c.avi").write_bytes(content)


def cut(scene: Extraction) -> None:
    path = scene.videos / "c.avi"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD = ("Bad video in", "c.avi")
FAULTS = [
    Fault("an empty video", "0 bytes", Extraction, replaced(b""), BAD, ALL_BUT_BAD),
    Fault("a text for a video", "renamed", Extraction, replaced(b"text\n" * 9), BAD, ALL_BUT_BAD),
    Fault("a picture for a video", "PNG", Extraction, replaced(b"\x89PNG\r\n"), BAD, ALL_BUT_BAD),
    Fault("a video that was cut off", "half of its bytes", Extraction, cut, BAD, ALL_BUT_BAD),
    Fault(
        "all videos are bad",
        "emptied",
        ExtractionOfNothing,
        lambda scene: [path.write_bytes(b"") for path in scene.videos.iterdir()],
        ("a.avi is empty", "b.avi is empty", "c.avi is empty"),
        "the videos",
    ),
    Fault(
        "a class folder that is missing",
        "another name in dataset.classes",
        Listing,
        lambda scene: setattr(scene, "cls", "wlk"),
        ("no folder in dataset.path", "did you mean 'walk'?"),
    ),
    Fault(
        "a class without videos",
        "only a text is left",
        Listing,
        lambda scene: (scene.videos / "a.avi").rename(scene.videos / "a.txt"),
        "has no videos",
    ),
    Fault(
        "a folder with the name of a video",
        "next to the videos",
        Listing,
        lambda scene: (scene.videos / "b.avi").mkdir(),
        ("not a video", "b.avi"),
        "the videos",
    ),
    Fault(
        "a named pipe with the name of a video",
        "next to the videos",
        Listing,
        lambda scene: os.mkfifo(scene.videos / "b.avi"),
        ("not a video", "b.avi"),
        "the videos",
    ),
    Fault(
        "a link to a video that is gone",
        "next to the videos",
        Listing,
        lambda scene: (scene.videos / "b.avi").symlink_to("gone.avi"),
        ("not a video", "b.avi"),
        "the videos",
    ),
    Fault(
        "two test videos of one <class>.<video>",
        "walk.a/b and walk/a.b",
        Linking,
        lambda scene: scene.rows.extend(
            [scene.row("test", "a.b"), scene.row("test", "b", "walk.a")]
        ),
        "have the same <class>.<video>",
        "the links",
    ),
    Fault(
        "frames that are missing",
        "a video's folder is removed",
        Linking,
        lambda scene: (scene.folder / "frames/walk/b/rgb").rename(scene.folder / "gone"),
        ("The frames of 1 video of the split are missing", "walk/b"),
        "the links",
    ),
    Fault(
        "a name in a split that leads elsewhere",
        "../../etc in the table",
        Linking,
        lambda scene: scene.rows.append(Row("test", "walk", "../../etc", 1, "png", "0")),
        "leaves its folder",
        "the links",
    ),
]

test_fault = table.test_of(FAULTS)
