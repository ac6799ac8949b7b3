"""The engine: folders of frames that are not as they should be, damaged frames, and bad specs."""

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from actionrec.native import __main__ as command
from actionrec.native.data.image_io import read_image
from actionrec.native.data.videos import list_labelled_videos
from faults import table
from faults.table import Fault, Scene
from helpers.engine import LABELS, draw_tree, write_spec

AREA = "engine"
STRAY = "stray"


class Listing(Scene):
    """The videos of two classes that a training lists."""

    model_type = "rgb"

    def prepare(self) -> None:
        self.root = draw_tree(self.folder / "train", videos=2, frames=3)
        self.video = sorted((self.root / "fall").iterdir())[0]
        self.frame = self.video / "rgb/000001.png"

    def act(self) -> str:
        key = "dataset.train_dataset_dir"
        return self.said(list_labelled_videos, self.root, LABELS, key, self.model_type)


class ListingFlow(Listing):
    """The same with optical flow next to the frames."""

    model_type = "joint"

    def prepare(self) -> None:
        super().prepare()
        for video in self.root.glob("*/*"):
            for part in "uv":
                (video / part).mkdir()
                for name in ("000001.png", "000002.png"):
                    grey = np.full((32, 40), 128, np.uint8)
                    Image.fromarray(grey).save(video / part / name)


class Reading(Scene):
    """A frame that a loader reads."""

    def prepare(self) -> None:
        self.frame = self.folder / "000001.png"
        cv2.imwrite(str(self.frame), np.full((32, 40, 3), 90, np.uint8))

    def act(self) -> str:
        return self.said(read_image, self.frame, (40, 32))


class Command(Scene):
    """The engine's command line with a spec."""

    def prepare(self) -> None:
        draw_tree(self.folder / "data/train", videos=1, frames=2)
        draw_tree(self.folder / "data/val", videos=1, frames=2)
        self.results = self.folder / "results"
        self.spec = self.folder / "spec.yaml"
        self.overrides: list[str] = []
        write_spec(self.spec, self.folder / "data", self.results)

    def act(self) -> str:
        output = self.request.getfixturevalue("capfd")
        code = command.main(["train", "-e", str(self.spec), *self.overrides])
        shown = output.readouterr()
        return f"{shown.out}{shown.err}exit code {code}"


class Refused(Command):
    """The same, for what is refused before the task begins: it leaves no file at all."""

    def act(self) -> str:
        said = super().act()
        assert not self.results.exists()
        return said


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[Reading], object]:
    return lambda scene: scene.frame.write_bytes(change(scene.frame.read_bytes()))


def as_folder(scene: Reading) -> None:
    scene.frame.unlink()
    scene.frame.mkdir()


def giant(content: bytes) -> bytes:
    """Let the header of a PNG claim 100,000 x 100,000 pixels."""
    side = (100_000).to_bytes(4, "big")
    return content[:16] + side + side + content[24:]


def grey(scene: Listing | Reading) -> None:
    Image.fromarray(np.zeros((32, 40), np.uint8)).save(scene.frame)


def move(scene: Listing, name: str) -> None:
    (scene.video / name).rename(scene.folder / name)


def fill_results_disk(scene: Command) -> None:
    scene.results = scene.request.getfixturevalue("mount_disk")("size=64k")
    (scene.results / "filler").write_bytes(bytes(48 * 1024))
    write_spec(scene.spec, scene.folder / "data", scene.results)
    with (scene.results / "filler").open("ab", buffering=0) as file:
        try:
            while file.write(bytes(1024)):
                pass
        except OSError:
            pass


CANNOT_READ = "A frame cannot be read"
FAULTS = [
    Fault(
        "a class without a folder",
        "moved away",
        Listing,
        lambda scene: (scene.root / "ride").rename(scene.folder / "gone"),
        "ride",
    ),
    Fault(
        "a file among the folders of videos",
        "a text",
        Listing,
        lambda scene: (scene.root / "fall/notes.txt").touch(),
        (STRAY, "notes.txt"),
    ),
    Fault(
        "a broken link among the folders of videos",
        "to nothing",
        Listing,
        lambda scene: (scene.root / "fall/link").symlink_to("nowhere"),
        (STRAY, "broken link"),
    ),
    Fault(
        "a file among the frames",
        "a text",
        Listing,
        lambda scene: (scene.video / "rgb/Thumbs.db").touch(),
        ("stray file among the frames", "Thumbs.db"),
    ),
    Fault(
        "a video's folder without frames",
        "rgb moved away",
        Listing,
        lambda scene: move(scene, "rgb"),
        "has no rgb folder inside",
    ),
    Fault(
        "a folder of frames that is empty",
        "all removed",
        Listing,
        lambda scene: [frame.unlink() for frame in (scene.video / "rgb").iterdir()],
        "A video has no frames",
    ),
    Fault(
        "a first frame that is a text",
        "overwritten",
        Listing,
        lambda scene: scene.frame.write_text("no picture"),
        "A frame is not an image",
    ),
    Fault("a first frame that is grey", "overwritten", Listing, grey, "not an RGB image"),
    Fault(
        "a video without flow",
        "u moved away",
        ListingFlow,
        lambda scene: move(scene, "u"),
        "no u folder inside",
    ),
    Fault(
        "flow that is not in pairs",
        "an image of v removed",
        ListingFlow,
        lambda scene: (scene.video / "v/000002.png").unlink(),
        "not in pairs",
    ),
    Fault(
        "flow of other names in u and v",
        "an image of v renamed",
        ListingFlow,
        lambda scene: (scene.video / "v/000002.png").rename(scene.video / "v/000007.png"),
        "must have one name",
    ),
    Fault("an empty frame", "0 bytes", Reading, rewritten(lambda _: b""), CANNOT_READ),
    Fault("a frame that was cut off", "half", Reading, rewritten(lambda c: c[:60]), CANNOT_READ),
    Fault("a text for a frame", "renamed", Reading, rewritten(lambda _: b"x" * 90), CANNOT_READ),
    Fault("a frame that claims a giant size", "its header", Reading, rewritten(giant), CANNOT_READ),
    Fault("a folder in place of a frame", "mkdir", Reading, as_folder, CANNOT_READ),
    Fault(
        "a frame that is gone",
        "removed while a training runs",
        Reading,
        lambda scene: scene.frame.unlink(),
        CANNOT_READ,
    ),
    Fault("a grey frame", "removed colours", Reading, grey, "not an RGB image"),
    Fault(
        "a spec that is not there",
        "deleted",
        Refused,
        lambda scene: scene.spec.unlink(),
        ("spec.yaml", "exit code 1"),
    ),
    Fault(
        "a spec that is no YAML",
        "overwritten",
        Refused,
        lambda scene: scene.spec.write_text("a: [1\nb: }"),
        ("spec.yaml", "exit code 1"),
    ),
    Fault(
        "a misspelt key in a spec",
        "bakbone",
        Refused,
        lambda scene: scene.overrides.append("model.bakbone=resnet_18"),
        ("bakbone", "exit code 1"),
    ),
    Fault(
        "a value of another type in a spec",
        "a text for a number",
        Refused,
        lambda scene: scene.overrides.append("train.num_epochs=many"),
        ("num_epochs", "exit code 1"),
    ),
    Fault(
        "a results folder on a full disk",
        "a memory disk of 64 KiB",
        Command,
        fill_results_disk,
        ("The disk is full", "exit code 1"),
    ),
]

test_fault = table.test_of(FAULTS)
