"""Each use of Snakemake's internals does what it says, or the version that changed it is named."""

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import snakemake as library
from snakemake.scheduling.job_scheduler import JobScheduler

from actionrec.utils import snakemake_internals as internals
from helpers import snakemake

VERSION = f"Snakemake {library.__version__} has changed this internal"

SNAKEFILE = """
import threading
from actionrec.utils import snakemake_internals as internals
internals.mend_rescheduling()

pathvars:
    place="<results>/here",

print("SAID command line", [path.name for path in internals.command_line_configs(workflow)])
print("SAID files", [str(path) for path in internals.config_files(workflow)])
print("SAID expanded", internals.expand(workflow, "<place>/a"))
print("SAID prints logs", internals.prints_failed_logs(workflow))

def forced(wildcards):
    if config.get("force"):
        internals.remake(workflow, "results/here/made")
    return []

asked = []

def submission(wildcards):
    asked.append(internals.submission(workflow))
    print("SAID submission", asked[-1])
    return 1

rule target:
    default_target: True
    input: "<place>/made"

rule make:
    input: forced
    output: "<place>/made"
    log: "make.log"
    resources: gpu=1, nodes=submission
    shell: "seq -s, 3 > {log}; touch {output}; exit " + str(config.get("code", 0))

onstart:
    internals.resolve_resources(workflow)
    print("SAID resolved", asked)
    planned = internals.planned_rules(workflow)
    asks = ["gpu" in planned.get(rule, ()) for rule in ("make", "target")]
    print("SAID planned", sorted(planned), *asks)
    print("SAID here", internals.runs_here(workflow))

onsuccess:
    print("SAID targets", internals.target_files(workflow))
    print("SAID timers", sum(isinstance(one, threading.Timer) for one in threading.enumerate()))

onerror:
    print("SAID failed", internals.failed_logs(workflow))
"""


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a workflow that asks all that the package asks of Snakemake."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "one.yaml").write_text("code: 0\n")
    return tmp_path


def said(folder: Path, *options: str, check: bool = True) -> dict[str, str]:
    """Return what the workflow says, by its first word."""
    lines = snakemake(folder, *options, "--cores", "1", check=check).splitlines()
    found = (line.removeprefix("SAID ") for line in lines if line.startswith("SAID "))
    words = ("command line", "files", "expanded", "prints logs", "planned", "here", "targets")
    return {
        word: line.removeprefix(word).strip()
        for line in found
        for word in (*words, "timers", "failed", "submission", "resolved")
        if line.startswith(word)
    }


def test_what_a_run_says(folder):
    found = said(folder, "--configfile", "one.yaml")
    assert found["command line"] == "['one.yaml']", VERSION
    assert "one.yaml" in found["files"], VERSION
    assert found["expanded"] == "results/here/a", VERSION
    assert found["prints logs"] == "False", VERSION
    assert found["planned"] == "['make', 'target'] True False", VERSION
    assert found["here"] == "True", VERSION
    assert found["resolved"] == "[('local', '')]", VERSION
    assert found["targets"] == "['results/here/made']", VERSION
    assert int(found["timers"]) <= 2, VERSION
    assert said(folder, "-f", "results/here/made")["targets"] == "['results/here/made']", VERSION
    assert said(folder, "-F")["command line"] == "[]", VERSION


def test_a_dry_run_knows_where_the_jobs_would_run(folder):
    assert said(folder, "-n")["submission"] == "('local', '')", VERSION
    (folder / "profiles/grid").mkdir(parents=True)
    (folder / "profiles/grid/config.yaml").write_text(
        "executor: cluster-generic\ncluster-generic-submit-cmd: qsub\njobs: 1\n"
    )
    found = said(folder, "-n", "--workflow-profile", "grid")
    assert found["submission"] == "('cluster-generic', 'qsub')", VERSION


def test_an_input_function_lets_the_plan_remake_an_output(folder):
    snakemake(folder, "--cores", "1")
    assert "Nothing to be done" in snakemake(folder, "--cores", "1")
    assert "planned" in said(folder, "--config", "force=1"), VERSION


def test_a_failed_run_names_its_logs(folder):
    found = said(folder, "--config", "code=1", check=False)
    assert found["failed"] == "['make.log']", VERSION


@pytest.mark.parametrize(
    ("options", "prints"),
    [
        (["--show-failed-logs"], "True"),
        (["--show-failed-logs", "-q", "rules"], "False"),
        (["--show-failed-logs", "-q", "progress"], "True"),
    ],
)
def test_whether_snakemake_prints_the_logs_of_failed_jobs(folder, options, prints):
    assert said(folder, *options)["prints logs"] == prints, VERSION


def test_whether_it_really_does(folder):
    """What `prints_failed_logs` concludes from settings is so."""
    options = ("--cores", "1", "--config", "code=1")
    assert "1,2,3" in snakemake(folder, *options, "--show-failed-logs", check=False)
    quiet = snakemake(folder, *options, "--show-failed-logs", "-q", "rules", check=False)
    assert "1,2,3" not in quiet, VERSION


def test_an_ancient_input_that_is_remade_hides_other_reasons(tmp_path):
    """The fault for which inputs are not always ancient; if it is mended, they may be."""
    (tmp_path / "Snakefile").write_text(
        "rule last:\n    input: 'b'\n    output: 'c'\n    shell: 'touch {output}'\n"
        "rule middle:\n    input: ancient('a')\n    output: 'b'\n    shell: 'touch {output}'\n"
        "rule first:\n    output: 'a'\n    params: config.get('changed', 0)\n"
        "    shell: 'touch {output}'\n"
    )
    snakemake(tmp_path, "--cores", "1")
    (tmp_path / "b").unlink()
    (tmp_path / "c").unlink()
    plan = snakemake(tmp_path, "-n", "--cores", "1", "--config", "changed=1")
    assert "rule first" in plan
    assert "rule middle" not in plan, f"{VERSION}: simplify `data_for` in rules/common.smk"


@pytest.mark.parametrize("delay", [1, 60, 3600])
def test_the_scheduler_wakes_up_in_time_and_seldom(monkeypatch, delay):
    """In a minute of a round every tenth of a second: after each round, at most two gaps late."""
    now, timers = 0.0, []

    def timer(seconds, wake_up):
        timers.append(SimpleNamespace(due=now + seconds, start=lambda: None))
        return timers[-1]

    monkeypatch.setattr(JobScheduler, "_schedule_reevalutation", None)  # fails if it has gone
    monkeypatch.setattr(internals.threading, "Timer", timer)
    monkeypatch.setattr(internals.time, "monotonic", lambda: now)
    internals.mend_rescheduling()
    scheduler, gap = SimpleNamespace(_open_jobs=threading.Semaphore(0)), max(1, delay / 60)
    for tenth in range(600):
        now = tenth / 10
        JobScheduler._schedule_reevalutation(scheduler, delay)
        assert any(0 <= one.due - now - delay <= 2 * gap for one in timers)
    assert len(timers) <= 60 / gap + 2
    assert all(one.daemon for one in timers), "Snakemake ends without waiting for them"
    JobScheduler._schedule_reevalutation(scheduler, 10)
    assert timers[-1].due == now + 10, "a long wait is in the way of no short one"
