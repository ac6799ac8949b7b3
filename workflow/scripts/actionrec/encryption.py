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
PYTHON = "3.12"
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

    Raises `InputError` without a Python 3.12 or without a package index.
    """
    if is_ready():
        return
    python = find_python()
    if python is None:
        raise InputError(
            f"NVIDIA's encryption needs Python {PYTHON}, and there is none here.",
            where="configuration, export.etlt",
            fix=f"uv python install {PYTHON}, then {PREPARE}; or set export.etlt: never",
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
            fix=f"once PyPI can be reached: {PREPARE}; or set export.etlt: never",
        )


def find_python() -> Path | None:
    """Return a Python 3.12 that starts, from PATH, uv's or pyenv's folders, or None."""
    return next((python for python in _candidates() if _starts(python)), None)


def _candidates() -> Iterator[Path]:
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME", home / ".local" / "share"))
    for root in (home / ".pyenv" / "versions", data / "uv" / "python"):
        yield from sorted(root.glob(f"*{PYTHON}*/bin/python{PYTHON}"))
    if found := shutil.which(f"python{PYTHON}"):
        yield Path(found)


def _starts(python: Path) -> bool:
    """Tell whether this is a Python and not a version manager's shim for one that is missing."""
    done = subprocess.run([python, "-c", "import ctypes"], capture_output=True, check=False)
    return done.returncode == 0


def encrypt_onnx(onnx: Path | str, etlt: Path | str) -> None:
    """Encrypt an ONNX model as `.etlt` with the key in TAO_KEY, or else TAO's public key.

    Raises `InputError` when the environment cannot be made or the encryption fails.
    """
    prepare()
    with replacing(etlt) as part:
        done = subprocess.run(
            [ENVIRONMENT / "bin" / "python", CODEC, onnx, part],
            env={"TAO_KEY": PUBLIC_KEY, **os.environ},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise InputError(
                f"The model could not be encrypted: {done.stderr.strip()[-500:]}",
                where=etlt,
                fix=f"remove {ENVIRONMENT} and run the same command again",
            )


if __name__ == "__main__":
    try:
        prepare()
    except InputError as error:
        sys.exit(f"No .etlt files will be made; everything else goes on. {error}")
