"""Runs of Snakemake that submit their jobs to the tests' Slurm."""

import re
import subprocess
import sys
from pathlib import Path

THREADS = [f"{rule}=2" for rule in ("extract_frames", "train_model", "predict_videos")]
OPTIONS = {
    "slurm": ["--slurm-init-seconds-before-status-checks", "1"],
    "cluster-generic": [],
}


def uncomment(profile: Path, line: str) -> None:
    """Make a line of a profile count, as its comment invites its users to."""
    text = profile.read_text()
    assert text.count(f"# {line}") == 1
    profile.write_text(text.replace(f"# {line}", line))


def start(folder: Path, profile: str, *options: str) -> subprocess.Popen:
    """Start Snakemake with a profile, in a process group of its own, its words in said.txt."""
    command = ["--workflow-profile", f"profiles/{profile}", *OPTIONS[profile]]
    command += ["--seconds-between-status-checks", "1", "--latency-wait", "10"]
    with (folder / "said.txt").open("w") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--set-threads", *THREADS, *command, *options],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def run(folder: Path, profile: str, *options: str) -> tuple[int, str]:
    """Run Snakemake with a profile to its end; return its exit code and all it said."""
    code = start(folder, profile, *options).wait(timeout=600)
    return code, (folder / "said.txt").read_text()


def jobs_of(folder: Path) -> list[dict[str, str]]:
    """Return what Slurm remembers of the jobs that were submitted from a folder."""
    shown = subprocess.run(
        ["scontrol", "--oneliner", "show", "job"], capture_output=True, text=True, check=False
    )
    jobs = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in shown.stdout.splitlines()]
    return [job for job in jobs if job.get("WorkDir") == str(folder)]


def queued(folder: Path) -> list[str]:
    return [j["JobId"] for j in jobs_of(folder) if j["JobState"] in ("PENDING", "RUNNING")]
