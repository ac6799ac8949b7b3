"""Refuse in the plan what a configuration names and is not there, rather than in a job."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from actionrec.errors import InputError
from actionrec.utils.files import sha256


def digests(paths: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of files, and of those in folders: what tells a change of them."""
    found = {}
    for path in map(Path, paths):
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        found.update({str(file): sha256(file) for file in inside if file.is_file()})
    return found


def require_archive(dataset: Mapping[str, Any], role: str, tables: Path, splits: Path) -> None:
    """Raise `InputError` if the user's archive of a role, videos or splits, is not there.

    It may be gone once it is unpacked: each class then has a table, or split files.
    """
    path = dataset["archives"][role].get("path")
    unpacked = splits / "{}_test_split1.txt" if role == "splits" else tables / "{}.tsv"
    made = (Path(str(unpacked).format(cls)) for cls in dataset["classes"])
    if path and not Path(path).expanduser().exists() and not all(file.exists() for file in made):
        raise InputError(
            "The archive that the configuration names is not there.",
            where=f"dataset.archives.{role}.path",
            found=path,
            fix="correct the path; or give `file` and `urls`, and it is downloaded",
        )


def require_weights(source: Mapping[str, str], where: str, fetched: Path) -> None:
    """Raise `InputError` if a user's weights are not there, and not yet `fetched`."""
    path = source.get("path")
    if path and not Path(path).exists() and not fetched.exists():
        raise InputError(
            "The pretrained weights that the configuration names are not there.",
            where=where,
            found=path,
            fix="correct the path",
        )
