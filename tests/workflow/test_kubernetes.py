"""profiles/kubernetes: real Snakemake, with a stand-in for kubectl and the schema of Kubernetes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from helpers import REPOSITORY, edit, small_project, snakemake

PROFILE = REPOSITORY / "profiles/kubernetes"
VERSIONS = ("1.29", "1.37")
RUN = "results/small/experiments/rgb_2d/split1"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Return the folder of what a stand-in for kubectl, first on PATH, was asked for."""
    state, binaries = tmp_path / "state", tmp_path / "bin"
    state.mkdir()
    binaries.mkdir()
    program = binaries / "kubectl"
    stand_in = REPOSITORY / "tests/helpers/kubectl.py"
    program.write_text(f"#!{sys.executable}\n{stand_in.read_text()}")
    program.chmod(0o755)
    monkeypatch.setenv("KUBECTL_STATE", str(state))
    monkeypatch.setenv("PATH", os.pathsep.join([str(binaries), os.environ["PATH"]]))
    return state


def jobs_of(cluster: Path) -> dict[str, dict]:
    jobs = map(json.loads, (file.read_text() for file in cluster.glob("*.json")))
    return {job["metadata"]["name"].rpartition("-")[0]: job for job in jobs}


@pytest.mark.slow
def test_jobs_run_in_pods_that_kubernetes_understands(tmp_path, cluster):
    """One job runs to its end; the stand-in has no GPU, so that the training is only submitted."""
    project = small_project(tmp_path / "project")
    for name in ("split.tsv", "specs/train.yaml", "data/one"):
        (project / RUN / name).parent.mkdir(parents=True, exist_ok=True)
        (project / RUN / name).write_text("of another run\n")
    edit(
        project / "profiles/kubernetes/profile.yaml",
        lambda p: p.update({"retries": 0, "latency-wait": 5, "seconds-between-status-checks": 1}),
    )
    rules = ("link_class", "extract_frames", "train_model")
    frames = "results/small/tables/frames/wave.tsv"
    said = snakemake(
        project,
        *("--workflow-profile", "profiles/kubernetes", "--keep-going"),
        *("--allowed-rules", *rules, "--", frames, f"{RUN}/model.pth"),
        check=False,
    )
    assert (project / frames).exists(), said
    assert "ended as BackoffLimitExceeded" in said and "kubectl logs job/actionrec-train" in said
    jobs = jobs_of(cluster)
    assert set(jobs) == {"actionrec-extract-frames", "actionrec-train-model"}
    for job in jobs.values():
        for version in VERSIONS:
            kubernetes_validate.validate(job, version, strict=True)
    assert resources(jobs["actionrec-extract-frames"]) == {
        "requests": {"cpu": "4", "memory": "2000M"},
        "limits": {"memory": "2000M"},
    }
    # An extended resource must have a limit, and a request that is equal to it.
    training = resources(jobs["actionrec-train-model"])
    assert training["limits"] == {"memory": "16000M", "nvidia.com/gpu": "1"}
    assert training["requests"] == {"cpu": "8", **training["limits"]}
    assert jobs["actionrec-train-model"]["spec"]["activeDeadlineSeconds"] == 720 * 60


def resources(job: dict) -> dict:
    return job["spec"]["template"]["spec"]["containers"][0]["resources"]


def test_the_template_mounts_the_project_and_takes_keys_from_a_secret():
    pod = yaml.safe_load((PROFILE / "job.yaml").read_text())["spec"]["template"]["spec"]
    mounted = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert {volume["name"] for volume in pod["volumes"]} == set(mounted)
    assert mounted["shared-memory"] == "/dev/shm"
    assert pod["containers"][0]["envFrom"] == [
        {"secretRef": {"name": "actionrec", "optional": True}}
    ]


def ask(command, *arguments, **files):
    return subprocess.run(
        [PROFILE / command, *arguments], capture_output=True, text=True, check=False
    )


def test_a_job_that_is_gone_has_failed(cluster):
    said = ask("kubernetes-status", "actionrec-train-model-0")
    assert said.stdout == "failed\n" and "ended as deleted" in said.stderr


def test_a_server_that_does_not_answer_is_asked_again(cluster):
    (cluster.parent / "bin/kubectl").write_text("#!/bin/sh\necho 'i/o timeout' >&2; exit 1\n")
    assert ask("kubernetes-status", "any").stdout == "running\n"


def test_a_job_that_is_refused_is_not_taken_for_submitted(cluster, tmp_path):
    (cluster.parent / "bin/kubectl").write_text("#!/bin/sh\necho Forbidden >&2; exit 1\n")
    script = tmp_path / "job.sh"
    properties = {"rule": "x", "threads": 1, "resources": {"runtime": 1, "mem_mb": 1}}
    script.write_text(f"#!/bin/sh\n# properties = {json.dumps(properties)}\n")
    said = ask("kubernetes-submit", str(script))
    assert (said.returncode, said.stdout) == (1, "") and "Forbidden" in said.stderr
