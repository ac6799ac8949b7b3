"""Cluster profiles: every rule with a GPU is named, and commands understand schedulers."""

import os
import re
import subprocess

import pytest
import yaml

from helpers import REPOSITORY

COMMANDS = REPOSITORY / "profiles/cluster-generic"
SLURM = "JobId=7 JobName=x Reason={} JobState={} ExitCode=0:0"
SGE_LIST = "job-ID prior name user state\\n----\\n  7 0.5 x me {} 11/23/2026\\n"
SGE_RECORD = "qname all.q\\nfailed       {}\\nexit_status  {}\\n"


def rules_with_gpus() -> set[str]:
    """Return the rules whose resources name GPUs; the trials' training inherits its own."""
    found = {"train_trial"}
    for path in REPOSITORY.glob("workflow/rules/**/*.smk"):
        rules = re.split(r"^ *rule ", path.read_text(), flags=re.MULTILINE)[1:]
        found |= {rule.partition(":")[0] for rule in rules if re.search(r"^ *gpu=", rule, re.M)}
    return found


@pytest.mark.parametrize("profile", ["slurm", "cluster-generic", "kubernetes"])
def test_each_rule_with_a_gpu_goes_where_the_profile_sends_gpu_jobs(profile):
    """One that a profile forgets asks for a GPU among the nodes without one, and waits for ever."""
    content = yaml.safe_load((REPOSITORY / f"profiles/{profile}/profile.yaml").read_text())
    assert set(content["set-resources"]) == rules_with_gpus()


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Return a function that runs a command among stand-ins: name -> (output, exit code)."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def run(command, stand_ins, *arguments):
        for name, (text, code) in stand_ins.items():
            (tmp_path / name).write_text(f"#!/bin/sh\nprintf '{text}'\nexit {code}\n")
            (tmp_path / name).chmod(0o755)
        return subprocess.run(
            [COMMANDS / command, *arguments], capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.parametrize(
    ("stand_ins", "word", "why"),
    [
        ({"scontrol": (SLURM.format("None", "RUNNING"), 0)}, "running", ""),
        ({"scontrol": (SLURM.format("Priority", "PENDING"), 0)}, "running", ""),
        ({"scontrol": (SLURM.format("None", "COMPLETED"), 0)}, "success", ""),
        ({"scontrol": (SLURM.format("OutOfMemory", "OUT_OF_MEMORY"), 0)}, "failed", "OUT_OF_MEM"),
        ({"scontrol": ("slurm_load_jobs error: Unable to contact controller", 1)}, "running", ""),
        (
            {"scontrol": ("error: Invalid job id specified", 1), "sacct": ("COMPLETED\\n", 0)},
            "success",
            "",
        ),
        (
            {"scontrol": ("error: Invalid job id specified", 1), "sacct": ("CANCELLED by 0\\n", 0)},
            "failed",
            "CANCELLED",
        ),
        (
            {"scontrol": ("error: Invalid job id specified", 1), "sacct": ("", 1)},
            "failed",
            "unknown to Slurm",
        ),
    ],
)
def test_slurm(ask, stand_ins, word, why):
    said = ask("slurm-status", stand_ins, "7")
    assert said.stdout == f"{word}\n"
    assert why in said.stderr


@pytest.mark.parametrize(
    ("stand_ins", "word"),
    [
        ({"qstat": (SGE_LIST.format("r"), 0)}, "running"),
        ({"qstat": (SGE_LIST.format("Eqw"), 0)}, "failed"),
        ({"qstat": ("", 1), "qacct": ("error: job id 7 not found", 1)}, "running"),
        ({"qstat": ("", 1), "qacct": (SGE_RECORD.format(0, 0), 0)}, "success"),
        ({"qstat": ("", 1), "qacct": (SGE_RECORD.format(0, 137), 0)}, "failed"),
        ({"qstat": ("", 1), "qacct": (SGE_RECORD.format(100, 0), 0)}, "failed"),
    ],
)
def test_grid_engine(ask, stand_ins, word):
    assert ask("sge-status", stand_ins, "7").stdout == f"{word}\n"


@pytest.mark.parametrize(
    ("state", "word"), [("PEND", "running"), ("RUN", "running"), ("DONE", "success")]
)
def test_lsf(ask, state, word):
    assert ask("lsf-status", {"bjobs": (state, 0)}, "7").stdout == f"{word}\n"


def test_a_failed_job_of_lsf_is_explained(ask):
    said = ask("lsf-status", {"bjobs": ("EXIT", 0)}, "7")
    assert (said.stdout, said.stderr) == ("failed\n", "LSF job 7 ended as EXIT: bjobs -l 7\n")


def test_lsf_submission_prints_the_number_alone_or_fails(ask):
    bsub = ("Job <123> is submitted to default queue <normal>.\\n", 0)
    assert ask("lsf-submit", {"bsub": bsub}, "-n", "2", "job.sh").stdout == "123\n"
    assert ask("lsf-submit", {"bsub": ("No such queue", 255)}, "job.sh").returncode == 255
