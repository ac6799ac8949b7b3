"""Checkpoints: files that are none, damaged ones, foreign ones, and a disk that is full."""

import io
import math
import os
import pickle
import zipfile
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path

import torch

from actionrec.experiments import checkpoints as experiments
from actionrec.native import networks
from actionrec.native.checkpoints import content_checks, lightning, pretrained
from actionrec.native.training.resume import _newest_intact
from actionrec.native.training.sgd import build_optimizer
from actionrec.spec.load import make_spec
from actionrec.utils import files
from faults import table
from faults.table import Fault, Scene

AREA = "checkpoints"
NO_CHECKPOINT = "no checkpoint of tensors and plain values"
NOT_FINITE = "The weights are not finite"
NOT_RESUMABLE = "no checkpoint that a training can resume from"
DAMAGED = "The file is damaged"
LABELS = {"fall": 0, "ride": 1}


class Harm:
    """What a pickle from an unknown source could do."""

    def __reduce__(self):
        return (os.system, ("touch /tmp/actionrec-harm",))


# Files that are no checkpoint


class GivenFile(Scene):
    """A file that a user gives for a checkpoint."""

    def prepare(self) -> None:
        self.file = self.folder / "given.pth"

    def act(self) -> str:
        assert not Path("/tmp/actionrec-harm").exists()
        return self.said(lightning.num_classes_of, self.file)


def save(content: object) -> Callable[[GivenFile], None]:
    """Return an injection: the file holds what `torch.save` makes of `content`."""
    return lambda scene: torch.save(content, scene.file)


def write(content: bytes) -> Callable[[GivenFile], None]:
    """Return an injection: the file holds these bytes."""
    return lambda scene: scene.file.write_bytes(content)


def changed(change: Callable[[bytes], bytes]) -> Callable[[GivenFile], None]:
    """Return an injection: the bytes of a good checkpoint are changed."""

    def inject(scene: GivenFile) -> None:
        lightning.save(scene.file, small_checkpoint())
        content = scene.file.read_bytes()
        scene.file.write_bytes(change(content))

    return inject


def small_checkpoint(**more: object) -> dict:
    state = {"model.fc_cls.weight": torch.ones(2, 40), "model.fc_cls.bias": torch.ones(2)}
    return {"state_dict": state, "epoch": 1, "global_step": 4, **more}


def flip(content: bytes) -> bytes:
    """Flip a bit in the middle, where the tensors are."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x40]) + content[middle + 1 :]


def a_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "no checkpoint")
    return buffer.getvalue()


def state(value: object) -> dict:
    return {"state_dict": {"fc_cls.weight": value}}


SPARSE = torch.ones(2, 3).to_sparse()
WRONG_FILES = {
    "an empty file": write(b""),
    "a text file": write(b"root:x:0:0:root:/root:/bin/bash\n" * 20),
    "an HTML page": write(b"<!DOCTYPE html><html><body>404</body></html>"),
    "random bytes": write(bytes(range(256)) * 40),
    "a ZIP archive of something else": write(a_zip()),
    "a pickle of a foreign class": write(pickle.dumps({"state_dict": Harm()})),
    "a checkpoint with a foreign class": save({"state_dict": {"a": Harm()}}),
    "a checkpoint that was cut off": changed(lambda content: content[: len(content) // 2]),
    "a checkpoint that lacks its last bytes": changed(lambda content: content[:-30]),
    "a checkpoint with one flipped bit": changed(flip),
    "a checkpoint with zeros in it": changed(lambda c: c[:600] + bytes(300) + c[900:]),
    "a list for a state_dict": save({"state_dict": [1]}),
    "nothing for a state_dict": save({"state_dict": None}),
    "numbers for names of tensors": save({"state_dict": {1: torch.zeros(2)}}),
    "a text for a tensor": save(state("x")),
    "a number for a classifier": save(state(torch.tensor(1.0))),
    "an empty classifier": save(state(torch.zeros(0, 4))),
    "a sparse tensor": save(state(SPARSE)),
    "complex numbers": save(state(torch.ones(2, 3, dtype=torch.complex64))),
    "a tensor without data": save(state(torch.ones(2, 3, device="meta"))),
}
OTHER_FILES = {
    "one tensor alone": (save(torch.ones(3)), "holds no state_dict"),
    "no classifier": (save({"state_dict": {"a": torch.ones(1)}}), "has no classifier"),
    "NaN among the weights": (save(state(torch.full((2, 3), math.nan))), NOT_FINITE),
    "infinity among the weights": (save(state(torch.full((2, 3), math.inf))), NOT_FINITE),
    "a folder": (lambda scene: scene.file.mkdir(), "does not exist"),
}


# Scoring and exporting


class Used(Scene):
    """Weights of the right network that a task loads."""

    where = "evaluate.checkpoint"

    def prepare(self) -> None:
        self.file = self.folder / "model.pth"
        self.spec = spec()
        self.network = deepcopy(network())
        self.write()

    def write(self) -> None:
        torch.save({"state_dict": self.network.state_dict(prefix="model.")}, self.file)

    def act(self) -> str:
        return self.said(lightning.load_network, self.spec, str(self.file), self.where)


class UsedForExport(Used):
    where = "export.checkpoint"


class UsedForFineTuning(Used):
    def act(self) -> str:
        self.spec.model.rgb_pretrained_model_path = str(self.file)
        return self.said(pretrained.initial_network, self.spec)


class Published(Used):
    """A checkpoint of TAO's own code, without a digest, that becomes the model."""

    def act(self) -> str:
        checkpoint = experiments.Checkpoint(self.file, 0)
        return self.said(experiments.require_sound, checkpoint)


class PublishedByEngine(Published):
    """The same of the native engine, which keeps a digest."""

    def write(self) -> None:
        lightning.save(self.file, {"state_dict": self.network.state_dict(prefix="model.")})


@cache
def network() -> torch.nn.Module:
    """Return the network of `spec`, made once."""
    return networks.build(spec().model, len(LABELS))


def spec():
    model = {"input_type": "2d", "rgb_seq_length": 1, "input_height": 32, "input_width": 32}
    model["rgb_pretrained_num_classes"] = 0
    return make_spec({"model": model, "dataset": {"label_map": LABELS}}, "test")


def poison(value: float) -> Callable[[Used], None]:
    def inject(scene: Used) -> None:
        with torch.no_grad():
            scene.network.fc_cls.weight[0, 0] = value
        torch.save({"state_dict": scene.network.state_dict(prefix="model.")}, scene.file)

    return inject


def damage_file(scene: Used) -> None:
    scene.file.write_bytes(flip(scene.file.read_bytes()))


# Saving


class Saving(Scene):
    """A training that saves a checkpoint where an older one is."""

    def prepare(self) -> None:
        self.place = self.folder
        self.checkpoint = small_checkpoint()

    def act(self) -> str:
        return self.said(
            lightning.save, self.place / "model_epoch_001_step_00004.pth", self.checkpoint
        )


def fill_disk(scene: Saving) -> None:
    scene.place = scene.request.getfixturevalue("mount_disk")("size=1m")
    lightning.save(scene.place / "model_epoch_000_step_00002.pth", small_checkpoint())
    scene.checkpoint["state_dict"]["model.large"] = torch.zeros(2_000_000)


def fail_with(number: int) -> Callable[[Saving], None]:
    """Return an injection: the file system refuses to put a file on the disk."""

    def inject(scene: Saving) -> None:
        def refuse(descriptor: int) -> None:
            raise OSError(number, os.strerror(number))

        scene.monkeypatch.setattr(files.os, "fsync", refuse)

    return inject


# Resuming


class Folder(Scene):
    """A training's folder with checkpoints of three epochs."""

    def prepare(self) -> None:
        for epoch in range(3):
            path = self.path(epoch)
            lightning.save(path, small_checkpoint(epoch=epoch))
            lightning.link_latest(path)

    def path(self, epoch: int) -> Path:
        return self.folder / lightning.checkpoint_name(epoch, 4 * epoch + 4)

    def act(self) -> str:
        found: list[object] = []
        said = self.said(lambda: found.append(_newest_intact(self.folder)))
        restored = found and found[0] and f"restored epoch {found[0][1]['epoch']}"
        return f"{said}\n{restored or 'from the beginning'}"


class FolderOfTao(Folder):
    """The same, of TAO's own code: without digests, and read before its container starts."""

    def prepare(self) -> None:
        super().prepare()
        for digest in self.folder.glob("*.sha256"):
            digest.unlink()

    def act(self) -> str:
        said = self.said(experiments.drop_damaged, self.folder)
        latest = self.folder / lightning.LATEST
        epoch = lightning.read(latest, "test")["epoch"] if latest.exists() else None
        return f"{said}\n" + ("from the beginning" if epoch is None else f"restored epoch {epoch}")

    def kept(self):
        """Damaged files are kept under another name."""
        contents = super().kept().values()
        return dict.fromkeys(contents, True)


def rewrite(*epochs: int, change: Callable[[bytes], bytes]) -> Callable[[Folder], None]:
    def inject(scene: Folder) -> None:
        for epoch in epochs:
            path = scene.path(epoch)
            path.write_bytes(change(path.read_bytes()))

    return inject


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


LATEST_DAMAGED = {
    "the latest checkpoint is empty": (rewrite(2, change=lambda _: b""), "restored epoch 1"),
    "the latest checkpoint is cut off": (rewrite(2, change=half), "restored epoch 1"),
    "a bit of the latest checkpoint is flipped": (rewrite(2, change=flip), "restored epoch 1"),
    "the two latest checkpoints are damaged": (rewrite(1, 2, change=flip), "restored epoch 0"),
    "the latest checkpoint was deleted": (lambda s: s.path(2).unlink(), "restored epoch 1"),
    "all checkpoints are damaged": (rewrite(0, 1, 2, change=half), "from the beginning"),
}


class Foreign(Scene):
    """A checkpoint that is whole, for a training of five epochs to resume from."""

    def prepare(self) -> None:
        parameter = torch.nn.Parameter(torch.ones(2, 3))
        self.optimizer = build_optimizer([parameter], spec().train.optim)
        self.checkpoint = small_checkpoint(optimizer_states=[self.optimizer.state_dict()])

    def act(self) -> str:
        return self.said(self._check)

    def _check(self) -> None:
        content_checks.check_progress(self.checkpoint, 5, "a.pth")
        states = self.checkpoint["optimizer_states"]
        content_checks.check_optimizer_state(self.optimizer, states, "a.pth")


def put(name: str, value: object) -> Callable[[Foreign], None]:
    return lambda scene: scene.checkpoint.update({name: value})


def put_in_group(name: str, value: object) -> Callable[[Foreign], None]:
    def inject(scene: Foreign) -> None:
        scene.checkpoint["optimizer_states"][0]["param_groups"][0][name] = value

    return inject


def put_momentum(value: object) -> Callable[[Foreign], None]:
    def inject(scene: Foreign) -> None:
        scene.checkpoint["optimizer_states"][0]["state"][0] = {"momentum_buffer": value}

    return inject


ADAM = {
    "state": {0: {"step": 1, "exp_avg": torch.ones(2, 3), "exp_avg_sq": torch.ones(2, 3)}},
    "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "weight_decay": 0, "params": [0]}],
}
FOREIGN = {
    "a negative epoch": put("epoch", -1),
    "an epoch that is a text": put("epoch", "latest"),
    "an epoch that is true": put("epoch", True),
    "an epoch that is no whole number": put("epoch", 1.5),
    "an absurd number of steps": put("global_step", 2**70),
    "no optimizer": put("optimizer_states", []),
    "two optimizers": put("optimizer_states", [{}, {}]),
    "an optimizer without parameters": put("optimizer_states", [{"state": {}, "param_groups": []}]),
    "Adam's state": put("optimizer_states", [ADAM]),
    "a learning rate that is a text": put_in_group("lr", "fast"),
    "a learning rate of NaN": put_in_group("lr", math.nan),
    "momentum of another shape": put_momentum(torch.ones(5)),
    "momentum of NaN": put_momentum(torch.full((2, 3), math.nan)),
}

GIVEN = "given as pretrained weights, or to a task"
FAULTS = [
    *(
        Fault(f"{name} for a checkpoint", GIVEN, GivenFile, inject, NO_CHECKPOINT, "the file")
        for name, inject in WRONG_FILES.items()
    ),
    *(
        Fault(f"{name} for a checkpoint", GIVEN, GivenFile, inject, seen, "the file")
        for name, (inject, seen) in OTHER_FILES.items()
    ),
    *(
        Fault(f"{what} in the weights", f"{used} reads the file", scene, poison(value), seen)
        for what, value, used, scene, seen in (
            ("NaN", math.nan, "an evaluation", Used, NOT_FINITE),
            ("infinity", -math.inf, "an export", UsedForExport, NOT_FINITE),
            ("minus infinity", -math.inf, "a fine-tuning", UsedForFineTuning, NOT_FINITE),
            ("NaN of TAO", math.nan, "it would be published", Published, "cannot be used"),
        )
    ),
    Fault(
        "a flipped bit in a model to publish",
        "a byte of the file is changed; its digest finds it",
        PublishedByEngine,
        damage_file,
        ("cannot be used", "SHA-256"),
    ),
    Fault(
        "a flipped bit in a model of TAO's to publish",
        "a byte of the file is changed; the checksums inside find it",
        Published,
        damage_file,
        "cannot be used",
    ),
    Fault(
        "a disk that is full while a checkpoint is written",
        "a memory disk of 1 MiB",
        Saving,
        fill_disk,
        ("The disk is full", "MiB free", "finished work is kept"),
        "the checkpoint before",
    ),
    Fault(
        "a disk that reports at the very end that it is full",
        "fsync fails with ENOSPC",
        Saving,
        fail_with(28),
        "The disk is full",
        "the checkpoint before",
    ),
    Fault(
        "a training that has diverged saves a checkpoint",
        "NaN in a weight",
        Saving,
        lambda scene: scene.checkpoint["state_dict"].update(x=torch.tensor([math.nan])),
        NOT_FINITE,
        "the checkpoint before",
    ),
    *(
        Fault(name, how, scene, inject, ("Lost", seen), "the checkpoints before, and damaged ones")
        for name, (inject, seen) in LATEST_DAMAGED.items()
        for scene, how in ((Folder, "the training resumes"),)
    ),
    *(
        Fault(f"{name}, of TAO's", "the rule resumes it", FolderOfTao, inject, ("Lost", seen))
        for name, (inject, seen) in LATEST_DAMAGED.items()
    ),
    *(
        Fault(f"{name} in a checkpoint to resume", "saved", Foreign, inject, NOT_RESUMABLE)
        for name, inject in FOREIGN.items()
    ),
    Fault(
        "an epoch beyond the end in a checkpoint to resume",
        "saved",
        Foreign,
        put("epoch", 99999),
        "beyond the end of the training",
    ),
]

test_fault = table.test_of(FAULTS)
