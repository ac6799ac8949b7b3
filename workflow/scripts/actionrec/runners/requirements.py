"""What a runner needs of the machine, as rows of a table."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20


@dataclass(frozen=True)
class Need:
    """One thing that is needed: what, in which state it is and, unless it is fine, what to type."""

    what: str
    state: str
    fix: str | None = None

    @property
    def fine(self) -> bool:
        """Tell whether nothing is to be done."""
        return self.fix is None


def ask(*command: str) -> tuple[bool, str]:
    """Run a short command; return whether it went well, and what it said."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return False, f"{command[0]} is not installed"
    except subprocess.TimeoutExpired:
        return False, f"no answer within {SECONDS} s"
    return done.returncode == 0, (done.stdout if done.returncode == 0 else done.stderr).strip()


def program(name: str, fix: str) -> Need:
    """Return whether a program is on PATH."""
    found = shutil.which(name)
    return Need(name, found or "not on PATH", None if found else fix)


def registry(image: str) -> str:
    """Return the registry that an image comes from."""
    first, _, rest = image.partition("/")
    return first if rest and (set(first) & set(".:") or first == "localhost") else "docker.io"


def login(image: str) -> Need:
    """Return whether the container engine's configuration has credentials for an image."""
    host = registry(image)
    what = f"login to {host}"
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = {}
    if any(host in content.get(key, {}) for key in ("auths", "credHelpers")):
        return Need(what, "done")
    user = " (user name: $oauthtoken; password: your NGC API key)" if host == "nvcr.io" else ""
    return Need(what, "not done", f"docker login {host}{user}")


def gpu_driver(ids: Sequence[str] | None) -> Need:
    """Return whether NVIDIA's driver answers."""
    if ids:
        return Need("GPU", ", ".join(ids))
    _, said = ask("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    return Need("GPU", said.splitlines()[-1] if said else "none", "install NVIDIA's driver")
