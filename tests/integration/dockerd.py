"""A Docker engine of the tests' own, and an image in it that stands for NVIDIA's.

The engine never touches one that is already there: its data, sockets and containers are in a folder
of its own. The image is a few kilobytes: the workflow's native engine and empty folders, on which
the host's /usr and Python are mounted, since an image with PyTorch in it would be gigabytes.
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from helpers import REPOSITORY, is_running, wait_for

IMAGE = "nvcr.io/nvidia/tao/tao-toolkit:6.26.3-pyt"
STANDIN = Path(__file__).with_name("standin")
PUBLIC_SOCKET = Path("/var/run/docker.sock")
SEARCH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
# What the stand-in runs on: the same folders in every kind of container.
MOUNTS = sorted({"/usr", sys.prefix, sys.base_prefix} - {"/usr/local"})
ENVIRONMENT = (
    f"PATH=/opt/tao/bin:{Path(sys.executable).parent}:/usr/bin:/usr/sbin",
    "PYTHONPATH=/opt/tao/lib",
    "PYTHONDONTWRITEBYTECODE=1",
)
FOLDERS = ("dev", "etc", "home", "opt/tao/lib", "proc", "root", "sbin", "sys", "tmp", "usr", "var")


def require_engine() -> None:
    """Skip the test, with the reason, where no engine can be started."""
    if os.geteuid() != 0:
        pytest.skip("starting a Docker engine needs root")
    for program in ("dockerd", "docker", "runc"):
        if shutil.which(program, path=SEARCH) is None:
            pytest.skip(f"{program} is not installed: apt install docker.io")


@contextmanager
def running_engine() -> Iterator[Path]:
    """Start a Docker engine with a stand-in for the GPU runtime; yield its socket."""
    with ExitStack() as cleanup:
        folder = Path(tempfile.mkdtemp(prefix="dockerd-", dir="/tmp"))  # sockets: 108 characters
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        cleanup.callback(_unmount, folder)
        socket, log = folder / "docker.sock", folder / "log"
        sockets = [f"--host=unix://{socket}"]
        if not PUBLIC_SOCKET.exists():  # the only one that NVIDIA's launcher knows
            sockets.append(f"--host=unix://{PUBLIC_SOCKET}")
            cleanup.callback(PUBLIC_SOCKET.unlink, missing_ok=True)
        with log.open("w") as output:
            process = subprocess.Popen(
                ["dockerd", *_options(folder), *sockets],
                env=os.environ | {"PATH": f"{STANDIN / 'runtime'}:{SEARCH}"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        cleanup.callback(_stop, process)
        try:
            wait_for(lambda: process.poll() is not None or answers(socket), 60)
        except AssertionError:
            pytest.skip(f"the Docker engine does not answer: {log.read_text()[-500:]}")
        if process.returncode is not None:
            pytest.skip(f"the Docker engine does not start here: {log.read_text()[-500:]}")
        yield socket


def _options(folder: Path) -> list[str]:
    return [
        f"--data-root={folder / 'data'}",
        f"--exec-root={folder / 'exec'}",
        f"--pidfile={folder / 'pid'}",
        f"--add-runtime=clamped={STANDIN / 'runtime/clamped-runc'}",
        "--default-runtime=clamped",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
    ]


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    wait_for(lambda: not is_running(process.pid))


def _unmount(folder: Path) -> None:
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in sorted((path for path in mounted if path.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False)


def answers(socket: Path) -> bool:
    """Tell whether an engine answers at a socket."""
    command = ["docker", f"--host=unix://{socket}", "info"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def is_public(socket: Path) -> bool:
    """Tell whether the engine at a socket is the one at Docker's default socket, too."""
    if not answers(PUBLIC_SOCKET):
        return False
    ids = [
        docker(f"--host=unix://{path}", "info", "--format={{.ID}}")
        for path in (socket, PUBLIC_SOCKET)
    ]
    return ids[0] == ids[1]


def docker(*arguments: str) -> str:
    """Run Docker's command on the engine that the environment names; return what it prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def containers(folder: Path) -> list[str]:
    """Return the ids of the containers, running or not, that work on a test's own folder."""
    return docker("ps", "--all", "--quiet", f"--filter=volume={folder}").split()


def exist(ids: list[str]) -> list[str]:
    """Return those of the containers that exist."""
    there = docker("ps", "--all", "--quiet", "--no-trunc").split()
    return [container for container in ids if container in there]


def kill_watchdogs(wanted: str) -> None:
    """Kill what would remove the containers that a filter finds, as schedulers do with a job."""
    for process in psutil.process_iter(["cmdline"]):
        if wanted in (process.info["cmdline"] or []):
            process.kill()


def root_archive() -> bytes:
    """Return the image's files as a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in FOLDERS:
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(member)
        for name in ("bin", "lib", "lib64"):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, f"usr/{name}"
            archive.addfile(member)
        users = b"root:x:0:0:root:/root:/bin/sh\n"
        member = tarfile.TarInfo("etc/passwd")
        member.size = len(users)
        archive.addfile(member, io.BytesIO(users))
        archive.add(STANDIN / "bin", "opt/tao/bin")
        archive.add(REPOSITORY / "workflow/scripts/actionrec", "opt/tao/lib/actionrec")
    return buffer.getvalue()


def import_image(tag: str = IMAGE) -> None:
    """Put the stand-in's image into the engine that the environment names."""
    changes = [
        'ENTRYPOINT ["/opt/tao/bin/nvidia_entrypoint.sh"]',
        'CMD ["/bin/bash"]',
        f"ENV {' '.join(ENVIRONMENT)}",
    ]
    command = ["docker", "import", *(f"--change={change}" for change in changes), "-", tag]
    subprocess.run(command, input=root_archive(), check=True, stdout=subprocess.DEVNULL)
