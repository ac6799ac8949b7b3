"""Encrypt models as TAO does, in an environment of the Python that NVIDIA's package needs.

`python -m actionrec.encryption` makes that environment, inside the one that it runs in.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from actionrec.errors import InputError
from actionrec.files import replacing

CODEC = Path(__file__).with_name("eff_codec.py")
LOCK = Path(__file__).resolve().parents[3] / "envs" / "encryption.lock"
ENVIRONMENT = Path(sys.prefix) / "encryption"
PYTHONS = ("3.12", "3.10")
PUBLIC_KEY = "nvidia_tao"
PREPARE = "python -m actionrec.encryption"


def wanted(mode: str) -> bool:
    """Tell whether `.etlt` files are part of the plan: always, never, or where all is ready."""
    return mode == "always" or (mode == "auto" and is_ready())


def is_ready() -> bool:
    """Tell whether the environment for the encryption has been made."""
    return (ENVIRONMENT / "bin" / "python").exists()


def prepare() -> None:
    """Make the environment for the encryption, whole or not at all.

    Raises `InputError` without one of the Pythons or without a package index.
    """
    if is_ready():
        return
    python = find_python()
    if python is None:
        raise InputError(
            f"NVIDIA's encryption needs Python {' or '.join(PYTHONS)}, and there is none here.",
            where="configuration, export.etlt and tao.encrypt",
            fix=f"uv python install {PYTHONS[0]}, then {PREPARE}; or do without the encryption",
        )
    from uv import find_uv_bin

    with replacing(ENVIRONMENT) as part:
        _run([find_uv_bin(), "venv", "--quiet", "--relocatable", "--python", python, part])
        install = ["pip", "install", "--quiet", "--system-certs", "--no-deps", "--python", part]
        _run([find_uv_bin(), *install, "--requirements", LOCK])


def _run(command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InputError(
            f"The environment for NVIDIA's encryption could not be made: {done.stderr.strip()}",
            where=ENVIRONMENT,
            fix=f"once PyPI can be reached: {PREPARE}; or do without the encryption",
        )


def find_python() -> Path | None:
    """Return a Python 3.12 or 3.10 that starts, from PATH, uv's or pyenv's folders, or None."""
    found = (python for version in PYTHONS for python in _candidates(version))
    return next((python for python in found if _starts(python)), None)


def _candidates(version: str) -> Iterator[Path]:
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME", home / ".local" / "share"))
    for root in (home / ".pyenv" / "versions", data / "uv" / "python"):
        yield from sorted(root.glob(f"*{version}*/bin/python{version}"))
    if found := shutil.which(f"python{version}"):
        yield Path(found)


def _starts(python: Path) -> bool:
    """Tell whether this is a Python and not a version manager's shim for one that is missing."""
    done = subprocess.run([python, "-c", "import ctypes"], capture_output=True, check=False)
    return done.returncode == 0


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
    """Return the bytes decrypted; with a wrong key they are noise, and nothing says so."""
    return _codec(["decrypt", kind], secret)


def _codec(
    arguments: Sequence[str | Path], given: bytes = b"", where: Path | str | None = None
) -> bytes:
    """Run NVIDIA's code; what passes through the pipes touches no disk."""
    prepare()
    done = subprocess.run(
        # isolated (-I): a PYTHONPATH here is meant for another Python
        [ENVIRONMENT / "bin" / "python", "-I", CODEC, *arguments],
        env={**os.environ, "TAO_KEY": key()},
        input=given,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise InputError(
            f"NVIDIA's encryption failed: {done.stderr.decode(errors='replace').strip()[-500:]}",
            where=where,
            fix=f"remove {ENVIRONMENT} and run the same command again",
        )
    return done.stdout


if __name__ == "__main__":
    try:
        prepare()
    except InputError as error:
        sys.exit(f"No .etlt files will be made; everything else goes on. {error}")
