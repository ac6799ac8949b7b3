"""Environments of another Python, for packages that cannot live in the workflow's own.

`python -m actionrec.utils.environments NAME` makes one, inside the one that it runs in.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actionrec.errors import InputError
from actionrec.utils.files import replacing

LOCKS = Path(__file__).with_name("locks")
COMMAND = "python -m actionrec.utils.environments"


@dataclass(frozen=True)
class Environment:
    """An environment inside the workflow's own, named as its lock in locks/.

    `pythons` are the versions that it runs on, the best first; `purpose` is what it is for,
    and `otherwise` how to do without it.
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
    with replacing(environment.folder) as part:
        make = ["venv", "--quiet", "--relocatable", "--python", str(python), str(part)]
        _run_uv(environment, *make)
        install = ["pip", "install", "--quiet", "--system-certs", "--no-deps"]
        lock = str(LOCKS / f"{environment.name}.lock")
        _run_uv(environment, *install, "--python", str(part), "--requirements", lock)


def _run_uv(environment: Environment, *arguments: str) -> None:
    done = subprocess.run([_uv(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InputError(
            f"The environment for {environment.purpose} could not be made: {done.stderr.strip()}",
            where=environment.folder,
            fix=f"once PyPI can be reached: {environment.command}; or {environment.otherwise}",
        )


def _uv() -> str:
    from uv import find_uv_bin

    return find_uv_bin()


def find_python(versions: Sequence[str]) -> Path | None:
    """Return a Python that works, the first version that is found, or None.

    uv looks among its own and on PATH; pyenv's are put there. Nothing is downloaded.
    """
    # pyenv's shims on PATH fail for versions that are not active: the versions themselves first.
    pyenv = sorted(map(str, (Path.home() / ".pyenv" / "versions").glob("*/bin")))
    path = os.pathsep.join([*pyenv, os.environ.get("PATH", os.defpath)])
    for version in versions:
        # Of the system: whatever project or environment is active here is of another Python.
        options = ("--system", "--no-project", "--no-config", "--no-python-downloads")
        done = subprocess.run(
            [_uv(), "python", "find", *options, version],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return Path(done.stdout.strip())
    return None


def main(arguments: Sequence[str]) -> None:
    """Make the named environments; at the first that cannot be made, end with the reason."""
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
