"""The weights that an experiment starts from: fetch them, count their classes."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from actionrec.config.models.experiments import TORCHVISION
from actionrec.errors import InputError
from actionrec.spec.toolkits import is_old
from actionrec.utils.files import replacing

PYTORCH_SITE = "https://download.pytorch.org/models/"


def fetch(source: Mapping[str, str], files: Sequence[str], target: Path | str) -> None:
    """Put the weights at `target`: a copy of the one file named, or a download.

    `files` is empty for a path of the user's that Snakemake cannot name. Of PyTorch's files the
    name tells the first eight digits of their SHA-256.

    A copy, not a link: Snakemake dates its outputs, and a link would date the original too.
    """
    if "url" in source or "torchvision" in source:
        from actionrec.sources.download import download

        url, sha256 = _address(source)
        download([url], Path(target), sha256)
        return
    with replacing(target) as part:
        shutil.copyfile(files[0] if files else source["path"], part)


def _address(source: Mapping[str, str]) -> tuple[str, str]:
    """Return the URL of weights and their SHA-256, or its first digits."""
    if "url" in source:
        return source["url"], source["sha256"]
    file = TORCHVISION[source["torchvision"]]
    return PYTORCH_SITE + file, Path(file).stem.rpartition("-")[2]


def weights_of_spec(
    files: Sequence[str],
    class_counts: Mapping[str, int | None],
    *,
    runner: str,
    toolkit: str,
    encrypt: bool,
) -> dict[str, tuple[Path, int]]:
    """Return what a spec says of the weights of each stream: the file and its number of classes.

    `class_counts` holds that number for each stream, or None where the file's last layer must say
    it; `files` has one for each of its streams, or none at all. Raises `InputError` for encrypted
    weights where the spec will hold no key to read them.
    """
    if not files:
        return {}
    # The native engine takes the key from TAO_KEY in any case.
    if runner != "native" and not (encrypt or is_old(toolkit)):
        refuse_encrypted(files)
    return {
        stream: (Path(file), number or _class_count(Path(file)))
        for file, (stream, number) in zip(files, class_counts.items(), strict=True)
    }


def refuse_encrypted(files: Sequence[str]) -> None:
    """Raise `InputError` for weights that NVIDIA's own code cannot read without a key."""
    from actionrec.native.checkpoints.encrypted import is_encrypted_file  # loads PyTorch

    for file in files:
        if is_encrypted_file(file):
            raise InputError(
                "The pretrained weights are encrypted: NVIDIA's code needs the key to read them.",
                where="configuration, tao.encrypt",
                found=f"false, and {file} is encrypted",
                fix="set tao.encrypt: true; the key is taken from TAO_KEY, or else nvidia_tao",
            )


def _class_count(weights: Path) -> int:
    from actionrec.native.checkpoints.lightning import num_classes_of

    return num_classes_of(weights)
