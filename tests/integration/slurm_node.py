"""A Slurm of two nodes on loopback, with pretend GPUs, for tests that submit real jobs."""

import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

ETC = Path("/etc/slurm")
PACKAGES = ("slurm-wlm", "munge")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "scancel", "squeue", "scontrol")
WHERE = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
NODES = ("node1", "node2")  # each is a slurmd of this machine
GPUS = 2  # of each node
FREEZER = Path("/sys/fs/cgroup/freezer")

# Memory of jobs is not confined: that takes cgroups, which not every machine has. A finished job is
# remembered for ten minutes, as there is no accounting to ask.
SLURM_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/{proctrack}
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
PropagateResourceLimits=NONE
ReturnToService=2
MinJobAge=600
KillWait=3
SchedulerParameters=sched_min_interval=200000,batch_sched_delay=0,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=DEFAULT CPUs=16 RealMemory=64000 Gres=gpu:{gpus} State=UNKNOWN
NodeName={nodes[0]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]}
NodeName={nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL Default=NO MaxTime=24:00:00 State=UP
"""
GRES_CONF = "AutoDetect=off\nNodeName={list} Name=gpu File={folder}/gpu[0-{last}]\n"


def obstacle() -> str | None:
    """Return why no Slurm can be started here, or None; install its packages where that works."""
    if os.geteuid() != 0:
        return "starting Slurm's daemons needs root"
    conf = ETC / "slurm.conf"
    if conf.exists():
        return f"this machine has a Slurm of its own: {conf}"
    if not _installed():
        _install()
    missing = [name for name in PROGRAMS if shutil.which(name, path=WHERE) is None]
    return (
        f"not installed: {', '.join(missing)} (packages {' '.join(PACKAGES)})" if missing else None
    )


def _installed() -> bool:
    return all(shutil.which(name, path=WHERE) for name in PROGRAMS)


def _install() -> None:
    if shutil.which("apt-get") is None:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES]
    for command in (install, ["apt-get", "update", "-q"], install):
        subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
        if _installed():
            return


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """Run a Slurm with the partitions cpu and gpu and its state in `folder`.

    Its configuration is linked to /etc/slurm, where jobs look for it: the Snakemake plugin takes
    every SLURM_ variable out of their environment.
    """
    _configure(folder)
    daemons: list[subprocess.Popen] = []
    try:
        daemons.append(_start(folder, *_munged(folder)))
        _wait(folder, daemons, (folder / "munge.sock").is_socket)
        daemons.append(_start(folder, "slurmctld", "-D", "-c"))
        for node in NODES:
            daemons.append(_start(folder, "slurmd", "-D", "-N", node))
        all_idle = f"idle {len(NODES)}"
        _wait(folder, daemons, lambda: _said("sinfo", "-h", "-p", "cpu", "-o", "%T %D") == all_idle)
        yield
    finally:
        if len(daemons) > 2:
            _cancel_all()
        for daemon in reversed(daemons):
            _stop(daemon)
        for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
            (ETC / name).unlink(missing_ok=True)
        for node in NODES:
            with suppress(OSError):
                (FREEZER / f"slurm_{node}").rmdir()


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _configure(folder: Path) -> None:
    (folder / "state").mkdir(parents=True)
    for node in NODES:
        (folder / "spool" / node).mkdir(parents=True)
    folder.chmod(0o755)  # the default of the munge socket's folder is checked
    host = _host()
    names = {"folder": folder, "host": host, "gpus": GPUS, "last": GPUS - 1}
    names |= {"nodes": NODES, "list": ",".join(NODES), "ports": _ports(1 + len(NODES))}
    # As most clusters do where this machine can: the end of a job is that of all its processes.
    names["proctrack"] = (
        "cgroup" if FREEZER.is_mount() and os.access(FREEZER, os.W_OK) else "linuxproc"
    )
    for index in range(GPUS):
        os.mknod(folder / f"gpu{index}", stat.S_IFCHR | 0o600, os.makedev(1, 3))  # /dev/null
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    ETC.mkdir(exist_ok=True)
    texts = {"slurm": SLURM_CONF, "gres": GRES_CONF, "cgroup": "CgroupAutomount=no\n"}
    for name, text in texts.items():
        file = folder / f"{name}.conf"
        file.write_text(text.format(**names))
        link = ETC / file.name
        link.unlink(missing_ok=True)  # one that a killed test run has left leads nowhere
        link.symlink_to(file)


def _ports(number: int) -> list[int]:
    """Return free ports of loopback."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


def _munged(folder: Path) -> list[str]:
    files = {"key-file": "key", "socket": "sock", "pid-file": "pid", "seed-file": "seed"}
    options = [f"--{option}={folder}/munge.{suffix}" for option, suffix in files.items()]
    return ["munged", "--foreground", "--force", f"--log-file={folder}/munged.log", *options]


def _start(folder: Path, program: str, *arguments: str) -> subprocess.Popen:
    """Start a daemon that dies with this process."""
    with (folder / f"{program}.out").open("ab") as output:
        return subprocess.Popen(
            [shutil.which(program, path=WHERE), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL),
            env={**os.environ, "PATH": WHERE},
        )


def _wait(folder: Path, daemons: list[subprocess.Popen], ready) -> None:
    deadline = time.monotonic() + 30
    while not ready():
        if time.monotonic() > deadline or any(d.poll() is not None for d in daemons):
            logs = [path.read_text(errors="replace")[-1500:] for path in folder.glob("*.[ol][uo]*")]
            raise RuntimeError("Slurm did not come up:\n" + "\n".join(logs))
        time.sleep(0.05)


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _cancel_all() -> None:
    """Cancel what is left, so that no step outlives the daemons."""
    deadline = time.monotonic() + 15
    while _said("squeue", "-h", "-o", "%i") and time.monotonic() < deadline:
        _said("scancel", "--user=root")
        time.sleep(0.2)


def _stop(daemon: subprocess.Popen) -> None:
    daemon.terminate()
    try:
        daemon.wait(10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
