"""Whether a checkpoint file is still what was written: a digest next to it, or its own checksums.

PyTorch checks none of them when it loads a file. Loads no PyTorch itself.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO, cast

from actionrec.utils import checksums
from actionrec.utils.files import replacing, sha256


class HashingFile:
    """A file to write to that computes the SHA-256 of its content, and remembers why it failed.

    PyTorch's own writer turns any error into one of its internals.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of `data`."""
        try:
            self._file.write(data)
        except OSError as error:
            self.error = error
            raise
        self._hash.update(data)
        return len(data)

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._file.flush()

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written, as 64 hexadecimal digits."""
        return self._hash.hexdigest()


def write(path: Path, save: Callable[[IO[bytes]], None]) -> None:
    """Let `save` write the file `path`, whole or not at all; keep its digest next to it.

    Raises `InputError` if the disk is full.
    """
    with replacing(path) as part:
        with part.open("wb") as file:
            hashing = HashingFile(file)
            try:
                save(cast(IO[bytes], hashing))
            except RuntimeError:
                if hashing.error is None:
                    raise
                raise hashing.error from None
        # A kill between file and digest must not leave the digest of another file.
        checksums.forget(path)
    checksums.record(path, hashing.sha256)


def damage(path: Path) -> str | None:
    """Return what is wrong with the bytes of a checkpoint, or None if nothing is known to be.

    The digest next to the file decides. Without one the checksums inside decide, which every
    checkpoint of PyTorch's present format has: NVIDIA's too.
    """
    if path.stat().st_size == 0:
        return "it is empty"
    digest = checksums.recorded(path.resolve())  # of what a link leads to
    if digest is not None:
        return None if sha256(path) == digest else "its SHA-256 is not the recorded one"
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            # Another format has no checksums; a ZIP file's directory is at its end.
            return "it is cut off" if file.read(2) == b"PK" else None
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, NotImplementedError) as error:
        return str(error)
    return None if wrong is None else f"its part {wrong} has another checksum"


def remove(path: Path) -> None:
    """Remove a checkpoint and its digest, if they are there."""
    path.unlink(missing_ok=True)
    checksums.forget(path)
