"""A real Apptainer: the machine's, or Debian's package, unpacked into a folder.

Only Debian sid has it. It needs a newer C library than older releases have, so trixie's is unpacked
next to it, with the program that packs images, and the programs are told to use that. Neither apt's
lists nor dpkg's status change.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
PROGRAMS = ("usr/bin/apptainer", "usr/bin/mksquashfs", f"{LIBRARIES}/apptainer/bin/starter")
PACKAGES = ("apptainer", "squashfs-tools/trixie")
PACKAGES_OF_LIBRARIES = ("libc6/trixie", "liblzo2-2/trixie")
APT = """
Dir::Etc::sourcelist "{0}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "{0}/lists";
Dir::Cache "{0}/cache";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
"""


def require_apptainer(folder: Path) -> Path:
    """Return the folder of a program `apptainer` that works, or skip the test with the reason."""
    if installed := shutil.which("apptainer"):
        return Path(installed).parent
    for program in ("apt-get", "dpkg", "patchelf"):
        if shutil.which(program) is None:
            pytest.skip(
                f"no apptainer here, and no {program} to get it with: apt install {program}"
            )
    if os.uname().machine != "x86_64" or os.geteuid() != 0:
        pytest.skip("getting an apptainer for the test needs x86-64 and root")
    try:
        _unpack(folder)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"Debian's apptainer cannot be had: {error.stderr[-300:]}")
    return folder / "usr/bin"


def _run(*command: str | Path, **more) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, **more)
    return done.stdout


def _unpack(folder: Path) -> None:
    apt = folder / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    mirrors = _run("apt-get", "indextargets", "--format", "$(REPO_URI)").split()
    mirror = next(
        (uri for uri in mirrors if uri.endswith("/debian/")), "http://deb.debian.org/debian/"
    )
    lines = [f"deb [signed-by={KEYS}] {mirror} {suite} main\n" for suite in ("sid", "trixie")]
    (apt / "sources.list").write_text("".join(lines))
    (apt / "apt.conf").write_text(APT.format(apt))
    variables = os.environ | {"APT_CONFIG": str(apt / "apt.conf")}
    _run("apt-get", "update", "--quiet", "--error-on=any", env=variables)
    for packages, place in ((PACKAGES, folder), (PACKAGES_OF_LIBRARIES, folder / "glibc")):
        _run("apt-get", "download", *packages, cwd=apt, env=variables)
        for package in apt.glob("*.deb"):
            _run("dpkg", "-x", package, place)
            package.unlink()
    libraries = folder / "glibc" / LIBRARIES
    for program in PROGRAMS:
        loader = ["--set-interpreter", libraries / "ld-linux-x86-64.so.2"]
        _run("patchelf", *loader, "--force-rpath", "--set-rpath", libraries, folder / program)
    (folder / "usr/lib/var/lib/apptainer/mnt/session").mkdir(parents=True)
    shutil.copytree(folder / "etc/apptainer", folder / "usr/etc/apptainer")
    settings = folder / "usr/etc/apptainer/apptainer.conf"
    text = settings.read_text().replace(
        "root default capabilities = full", "root default capabilities = no"
    )
    settings.write_text(text)  # where root may not do everything, a container may not either
