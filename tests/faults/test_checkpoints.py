"""Checkpoints: files that are none, damaged ones, and a disk that is full while one is written."""

import pickle

import torch

from actionrec.native.checkpoints import lightning
from faults import table
from faults.table import Fault, Scene


class GivenFile(Scene):
    """A file that a user gives for a checkpoint."""

    def prepare(self) -> None:
        self.file = self.folder / "given.pth"

    def act(self) -> str:
        return self.said(lightning.num_classes_of, self.file)


def holding(content: object):
    """Return an injection: the file holds what `torch.save` makes of `content`."""
    return lambda scene: torch.save(content, scene.file)


def no_checkpoint(what: str, inject) -> Fault:
    return Fault(
        f"a checkpoint that is {what}",
        "given as pretrained weights",
        GivenFile,
        inject,
        seen="no checkpoint of tensors and plain values",
        kept="the file itself",
    )


FAULTS = [
    no_checkpoint("an empty file", lambda scene: scene.file.touch()),
    no_checkpoint("a text file", lambda scene: scene.file.write_text("root:x:0:0\n")),
    no_checkpoint(
        "a plain pickle", lambda scene: scene.file.write_bytes(pickle.dumps({"a": object()}))
    ),
]

test_fault = table.test_of(FAULTS)
