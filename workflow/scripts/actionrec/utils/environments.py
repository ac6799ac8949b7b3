"""Environments of another Python, for packages that cannot live in the workflow's own.

`python -m actionrec.utils.environments NAME` makes one, inside the one that it runs in.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actionrec.errors import InputError
from actionrec.utils.files import replacing

LOCKS = Path(__file__).resolve().parents[4] / "envs"
COMMAND = "python -m actionrec.utils.environments"


@dataclass(frozen=True)
class Environment:
    """An environment inside the workflow's own, named as its lock in envs/.

    `pythons` are the versions that will do, the best first; `purpose` is what it is for,
    and `otherwise` how to do without.
    """

    name: str
    pythons: Sequence[str]
    purpose: str
    otherwise: str

    @property
    def command(self) -> str:
        """Return the command that makes it."""
        return f"{COMMAND} {self.name}"

    @property
    def folder(self) -> Path:
        """Return where the environment is, or will be."""
        return Path(sys.prefix) / self.name

    def program(self, name: str) -> Path:
        """Return the path of one of its programs."""
        return self.folder / "bin" / name


ENCRYPTION = Environment(
    name="encryption",
    pythons=("3.12", "3.10"),
    purpose="NVIDIA's encryption",
    otherwise="do without it, by export.etlt: never and tao.encrypt: false",
)
LAUNCHER = Environment(
    name="launcher",
    pythons=("3.11", "3.10", "3.9", "3.8"),
    purpose="NVIDIA's TAO launcher",
    otherwise="set tao.runner: docker",
)


def is_ready(environment: Environment) -> bool:
    """Tell whether an environment has been made."""
    return environment.program("python").exists()


def prepare(environment: Environment) -> None:
    """Make an environment, whole or not at all, unless it is there.

    Raises `InputError` without a Python that will do or without a package index.
    """
    if is_ready(environment):
        return
    python = find_python(environment.pythons)
    if python is None:
        raise InputError(
            f"{environment.purpose} needs Python {' or '.join(environment.pythons)}, "
            "and there is none here.",
            fix=f"uv python install {environment.pythons[0]}, then {environment.command}; "
            f"or {environment.otherwise}",
        )
    from uv import find_uv_bin

    with replacing(environment.folder) as part:
        _run(
            environment, find_uv_bin(), "venv", "--quiet", "--relocatable", "--python", python, part
        )
        install = ["pip", "install", "--quiet", "--system-certs", "--no-deps", "--python", part]
        lock = LOCKS / f"{environment.name}.lock"
        _run(environment, find_uv_bin(), *install, "--requirements", lock)


def _run(environment: Environment, *command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InputError(
            f"The environment for {environment.purpose} could not be made: {done.stderr.strip()}",
            where=environment.folder,
            fix=f"once PyPI can be reached: {environment.command}; or {environment.otherwise}",
        )


def find_python(versions: Sequence[str]) -> Path | None:
    """Return a Python that starts, from PATH, uv's or pyenv's folders, or None."""
    candidates = (python for version in versions for python in _candidates(version))
    return next((python for python in candidates if _starts(python)), None)


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


def main(arguments: Sequence[str]) -> None:
    """Make the environments that are named; say which cannot be made, and go on without it."""
    known = {environment.name: environment for environment in (ENCRYPTION, LAUNCHER)}
    if not arguments or not set(arguments) <= set(known):
        sys.exit(f"usage: {COMMAND} {{{','.join(known)}}}...")
    for name in arguments:
        try:
            prepare(known[name])
        except InputError as error:
            sys.exit(f"{known[name].purpose} is not available; everything else works. {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
