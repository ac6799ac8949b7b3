"""Encrypt and decrypt as TAO does, with NVIDIA's package in an environment of its own.

The package needs Python 3.12 or 3.10: `eff_codec.py` runs there, and this module talks to it.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from actionrec.errors import InputError
from actionrec.utils import environments
from actionrec.utils.files import replacing

CODEC = Path(__file__).with_name("eff_codec.py")
PUBLIC_KEY = "nvidia_tao"
ENVIRONMENT = environments.ENCRYPTION


def wanted(mode: str) -> bool:
    """Tell whether the plan makes `.etlt` files; `mode` is always, never, or auto: where it can."""
    return mode == "always" or (mode == "auto" and is_ready())


def is_ready() -> bool:
    """Tell whether the environment for the encryption has been made."""
    return environments.is_ready(ENVIRONMENT)


def prepare() -> None:
    """Make the environment for the encryption; raise `InputError` where that cannot be done."""
    environments.prepare(ENVIRONMENT)


def find_python() -> Path | None:
    """Return a Python that NVIDIA's package runs on, or None."""
    return environments.find_python(ENVIRONMENT.pythons)


def key() -> str:
    """Return the key in TAO_KEY, or TAO's public one.

    Raises `InputError` if the variable is set and empty: TAO then encrypts nothing.
    """
    value = os.environ.get("TAO_KEY", PUBLIC_KEY)
    if not value:
        raise InputError(
            "The key for the encryption is empty.",
            where="environment variable TAO_KEY",
            fix=f"export TAO_KEY=...; or unset TAO_KEY, which stands for {PUBLIC_KEY}",
        )
    return value


def encrypt_onnx(onnx: Path | str, etlt: Path | str) -> None:
    """Encrypt an ONNX model as `.etlt` with the key in TAO_KEY, or else TAO's public key.

    Raises `InputError` when the environment cannot be made or the encryption fails.
    """
    with replacing(etlt) as part:
        _codec(["etlt", onnx, part], where=etlt)


def encrypt(plain: bytes) -> tuple[str, bytes]:
    """Return the kind of encryption that NVIDIA's code drew, and the bytes encrypted by it.

    Raises `InputError` as `encrypt_onnx` does.
    """
    kind, _, secret = _codec(["encrypt"], plain).partition(b"\n")
    return kind.decode(), secret


def decrypt(secret: bytes, kind: str) -> bytes:
    """Return the bytes decrypted; with a wrong key they are noise, and no error tells."""
    return _codec(["decrypt", kind], secret)


def _codec(
    arguments: Sequence[str | Path], given: bytes = b"", where: Path | str | None = None
) -> bytes:
    """Return what NVIDIA's code prints; checkpoints pass through pipes, never over a disk.

    `given` is its input, and `where` the file that an error is about.
    """
    prepare()
    done = subprocess.run(
        # -I, isolated: a PYTHONPATH set here is for another Python
        [ENVIRONMENT.program("python"), "-I", CODEC, *arguments],
        env={**os.environ, "TAO_KEY": key()},
        input=given,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise InputError(
            f"NVIDIA's encryption failed: {done.stderr.decode(errors='replace').strip()[-500:]}",
            where=where,
            fix=f"remove {ENVIRONMENT.folder} and run the same command again",
        )
    return done.stdout
