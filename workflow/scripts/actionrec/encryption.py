"""Encrypt models as TAO does, in the Python that NVIDIA's package needs."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from actionrec.errors import InputError
from actionrec.files import replacing

CODEC = Path(__file__).with_name("eff_codec.py")
PYTHON = "3.12"
PUBLIC_KEY = "nvidia_tao"
INSTALL = f"install Python {PYTHON} (`uv python install {PYTHON}`), or set export.etlt: never"


def wanted(mode: str) -> bool:
    """Tell whether `.etlt` files are part of the plan: always, never, or where they can be made."""
    return mode == "always" or (mode == "auto" and find_python() is not None)


@functools.cache
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

    NVIDIA's package nvidia-eff-tao-encryption does it, in an environment of its own that uv
    keeps. Raises `InputError` without a Python 3.12, or when the encryption fails.
    """
    python = find_python()
    if python is None:
        raise InputError(
            f"NVIDIA's encryption needs Python {PYTHON}, and there is none here.",
            where="configuration, export.etlt",
            fix=INSTALL,
        )
    from uv import find_uv_bin

    command = [find_uv_bin(), "run", "--no-project", "--quiet", "--python", str(python), "--script"]
    variables = {"TAO_KEY": PUBLIC_KEY, **os.environ}
    with replacing(etlt) as part:
        done = subprocess.run(
            [*command, str(CODEC), str(onnx), str(part)],
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise InputError(
                f"The model could not be encrypted: {done.stderr.strip()[-500:]}",
                where=etlt,
                fix="make PyPI reachable for the first time this runs, or set export.etlt: never",
            )
