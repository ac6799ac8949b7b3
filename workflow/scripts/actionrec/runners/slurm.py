"""A command on several machines: Slurm starts it once on each machine of this process's job."""

import os
import re
import shutil
import socket
from collections.abc import Sequence

from actionrec.errors import InputError
from actionrec.utils.text import count

# Words in the names of Snakemake's executors, and in commands that submit, which are certainly not
# for Slurm. Of others, such as a script of the site's, only the job itself can tell.
OTHER_EXECUTORS = {"local", "lsf", "kubernetes", "htcondor", "batch", "googlebatch", "tes", "flux"}
OTHER_COMMANDS = {"qsub", "bsub", "lsf", "kubernetes", "kubectl", "condor_submit"}
_COMMANDS = {"sbatch", "srun", "salloc"}


def command_on_each(command: Sequence[str], machines: int, threads: int) -> list[str]:
    """Return the command line that runs `command` on each machine of the job, to a common end."""
    return [
        "srun",
        f"--nodes={machines}",
        f"--ntasks={machines}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={threads}",
        "--overlap",  # also within a step that holds the first machine, as some profiles start jobs
        "--kill-on-bad-exit=1",  # when one ends with an error, or is killed, so do the others
        "--unbuffered",
        *command,
    ]


def rendezvous() -> dict[str, str]:
    """Return the variables that tell all machines where rank 0 listens: on this, the first one."""
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    return {"MASTER_ADDR": socket.gethostname(), "MASTER_PORT": str(port)}


def is_job() -> bool:
    """Tell whether this process is in a job of Slurm."""
    return "SLURM_JOB_ID" in os.environ


def is_out_of_reach(executor: str, submit_command: str) -> bool:
    """Tell, by executor and command of Snakemake's, if jobs certainly do not go to Slurm."""
    words = set(re.findall(r"\w+", submit_command))
    others = OTHER_EXECUTORS.intersection(executor.split("-")) or OTHER_COMMANDS & words
    return bool(others) and not _COMMANDS & words


def require_srun() -> None:
    """Raise `InputError` if Slurm's command is not to be found in this job."""
    if not shutil.which("srun"):
        raise InputError(
            "The command srun, which starts a task on several machines, is not on PATH.",
            where="environment: PATH",
            found=os.environ.get("PATH", ""),
            fix="load what your site has for Slurm, for example `module load slurm`, in the shell "
            "that runs snakemake",
        )


def no_job(machines: int, where: str) -> InputError:
    """Return the error of a task for several machines that is, or will be, no job of Slurm."""
    return InputError(
        "Only Slurm starts a task on several machines, and this run does not use it.",
        where=where,
        found=count(machines, "machine"),
        fix="snakemake --workflow-profile profiles/slurm ...; or set num_nodes: 1; or start it "
        "yourself by torchrun (docs/multi-gpu.md)",
    )
