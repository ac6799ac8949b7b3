"""How results were made: settings, versions and commit."""

import platform
from importlib import metadata
from pathlib import Path

from actionrec import __version__
from actionrec.utils.processes import try_command

PACKAGES = ("snakemake", "torch", "onnx", "numpy", "opencv-contrib-python-headless")


def versions() -> dict[str, str]:
    """Return the versions of the project, of Python and of the packages that results depend on."""
    found = {"actionrec": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # the environment of this page has not all of them
            continue
    return found


def commit(folder: Path) -> dict[str, str]:
    """Return the commit of the workflow's checkout that `folder` is in; empty without one."""
    found, sha = try_command("git", "-C", str(folder), "rev-parse", "HEAD")
    if not found:
        return {}
    _, changed = try_command("git", "-C", str(folder), "status", "--porcelain", "-uno")
    return {"commit": sha.strip(), "changed": "yes" if changed.strip() else "no"}
