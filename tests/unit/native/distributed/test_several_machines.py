"""Ranks on several machines, played by two agents of torchrun, and by launchers of Slurm."""

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from actionrec.errors import InputError
from actionrec.native.distributed import launch
from helpers import is_running, wait_for
from helpers.engine import draw_tree, environment, run, statuses, write_spec

ON_CPUS = {"ACTIONREC_BACKEND": "gloo"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--rdzv-backend=c10d"]
four_gpus = pytest.mark.skipif(torch.cuda.device_count() < 4, reason="needs four GPUs")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with train/ (four videos) and val/ (eight) of two classes."""
    root = tmp_path_factory.mktemp("few")
    draw_tree(root / "train", videos=2)
    draw_tree(root / "val", videos=4)
    return root


def spec_of(folder: Path, data: Path, nodes: int, gpus: int, epochs: int = 2) -> Path:
    """Write the spec of tasks on some machines, with a training of one step an epoch."""
    counts = {
        f"{task}.{key}": number
        for task in ("train", "evaluate", "inference")
        for key, number in (("num_nodes", nodes), ("num_gpus", gpus))
    }
    sizes = {"dataset.batch_size": 2, "dataset.clips_per_video": 2, "train.num_epochs": epochs}
    return write_spec(folder / "spec.yaml", data, folder / "results", **sizes, **counts)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def start_agents(
    stack: ExitStack, task: str, spec: Path, variables: tuple[dict, dict], ranks: int = 2
) -> list[subprocess.Popen]:
    """Start two agents of torchrun, whose output goes to agent0.log and agent1.log."""
    options = [f"--nproc-per-node={ranks}", f"--rdzv-endpoint=127.0.0.1:{free_port()}"]
    command = [*TORCHRUN, *options, "-m", "actionrec.native", task, "-e", str(spec)]
    agents = []
    for number, own in enumerate(variables):
        log = stack.enter_context((spec.parent / f"agent{number}.log").open("w"))
        agent = subprocess.Popen(command, env=environment() | own, stdout=log, stderr=log)
        agents.append(agent)
        stack.callback(agent.wait)
        stack.callback(agent.kill)
    return agents


def run_agents(
    task: str, spec: Path, variables: tuple[dict, dict] = (ON_CPUS, ON_CPUS), ranks: int = 2
) -> tuple[list[int], str]:
    """Run a task by two agents to its end; return their exit codes, and what both printed."""
    with ExitStack() as stack:
        agents = start_agents(stack, task, spec, variables, ranks)
        codes = [agent.wait(200) for agent in agents]
    return codes, printed_by_agents(spec)


def printed_by_agents(spec: Path) -> str:
    return "".join((spec.parent / f"agent{number}.log").read_text() for number in range(2))


def train_here(spec: Path, **variables: str) -> Path:
    """Train by ranks that the engine itself starts; return the spec."""
    done = run("train", spec, **variables)
    assert done.returncode == 0, done.stderr
    return spec


def weights(spec: Path) -> dict[str, torch.Tensor]:
    path = spec.parent / "results/train/ar_model_latest.pth"
    return torch.load(path, map_location="cpu", weights_only=False)["state_dict"]


@pytest.fixture(scope="module")
def two_machines(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the spec of a training by two agents, with their logs in the same folder."""
    spec = spec_of(tmp_path_factory.mktemp("two"), few, 2, 2)
    codes, printed = run_agents("train", spec)
    assert codes == [0, 0], printed
    return spec


@pytest.mark.slow
def test_two_machines_of_two_ranks_train_as_one_of_four(two_machines, few, tmp_path):
    """The same weights to the last bit: the sums depend on the ranks, not on where they are."""
    ours = weights(two_machines)
    theirs = weights(train_here(spec_of(tmp_path, few, 1, 4), **ON_CPUS))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    lines = statuses(two_machines.parent / "results/train")
    assert [line["status"] for line in lines].count("STARTED") == 2, "only rank 0 writes"
    assert lines[-1]["message"] == "Train finished successfully."
    assert printed_by_agents(two_machines).count("Train dataset samples") == 1


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("task", ["evaluate", "inference"])
def test_two_machines_score_as_one(task, two_machines):
    codes, printed = run_agents(task, two_machines)
    assert codes == [0, 0], printed
    alone = run(task, two_machines, f"{task}.num_nodes=1", f"{task}.num_gpus=1")
    assert alone.returncode == 0, alone.stderr
    assert set(alone.stdout.splitlines()) <= set(printed.splitlines())


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("killed", [0, 1])
def test_when_an_agent_is_killed_the_other_ends_and_the_next_run_resumes(killed, few, tmp_path):
    """Either may hold the store of all ranks: torchrun numbers the machines as it likes."""
    spec = spec_of(tmp_path, few, 2, 2, epochs=12)
    folder = spec.parent / "results/train"
    with ExitStack() as stack:
        agents = start_agents(stack, "train", spec, (ON_CPUS, ON_CPUS))
        wait_for(lambda: list(folder.glob("model_epoch_001_*.pth")), 150)
        children = [Path(f"/proc/{agent.pid}/task/{agent.pid}/children") for agent in agents]
        ranks = [int(pid) for path in children for pid in path.read_text().split()]
        agents[killed].send_signal(signal.SIGKILL)
        assert agents[1 - killed].wait(60) != 0
        wait_for(lambda: not any(map(is_running, ranks)), 20)
    last = statuses(folder)[-1]
    assert last["status"] == "FAILURE"
    assert "has lost the connection to another process" in last["message"]
    codes, printed = run_agents("train", spec)
    assert codes == [0, 0], printed
    assert any("Resuming training" in line["message"] for line in statuses(folder))


@pytest.mark.slow
@pytest.mark.thorough
def test_too_many_ranks_are_refused_once(few, tmp_path):
    spec = spec_of(tmp_path, few, 2, 1)
    codes, printed = run_agents("train", spec)
    assert codes == [1, 1]
    assert printed.count("There must be one process for each GPU.") == 1
    assert "torchrun --nnodes=2 --nproc-per-node=1" in printed
    assert statuses(spec.parent / "results/train")[-1]["status"] == "FAILURE"


@pytest.mark.slow
@four_gpus
def test_four_gpus_train_evaluate_and_predict(few, tmp_path):
    spec = train_here(spec_of(tmp_path, few, 1, 4))
    for task in ("evaluate", "inference"):
        together, alone = run(task, spec), run(task, spec, f"{task}.num_gpus=1")
        assert (together.returncode, alone.returncode) == (0, 0), together.stderr + alone.stderr
        assert together.stdout.splitlines() == alone.stdout.splitlines()


@pytest.mark.slow
@four_gpus
def test_four_gpus_as_two_machines_train_as_one(few, tmp_path):
    """Each agent sees two of the four GPUs, as if it were on another machine."""
    four = train_here(spec_of(tmp_path / "four", few, 1, 4))
    two = spec_of(tmp_path / "two", few, 2, 2)
    visible = {"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": "2,3"}
    codes, printed = run_agents("train", two, visible)
    assert codes == [0, 0], printed
    # NCCL may sum in another order over other links.
    ours, theirs = weights(two), weights(four)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0.05, atol=0.01)


def in_step(monkeypatch: pytest.MonkeyPatch, node: int, nodes: int = 2) -> None:
    """Play a task of a step of Slurm."""
    values = {"SLURM_NODEID": node, "SLURM_STEP_NUM_NODES": nodes, "MASTER_PORT": 4321}
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_ADDR", "first")


def test_a_launcher_of_slurm_knows_its_machine(monkeypatch):
    section = {"num_nodes": 2, "num_gpus": 1}
    assert not launch.is_needed(section), "without Slurm nobody knows the other machines"
    in_step(monkeypatch, node=1)
    assert launch.is_needed(section)
    assert launch.machines(section, "s") == launch.Machines(2, 1, "first", 4321)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not launch.is_needed(section), "it is a rank"


def test_a_step_of_another_number_of_machines_is_refused(monkeypatch):
    in_step(monkeypatch, node=0, nodes=3)
    with pytest.raises(InputError, match=r"(?s)num_nodes.*2, and 3 machines"):
        launch.machines({"num_nodes": 2}, "spec.yaml: train")


@pytest.mark.parametrize(
    ("here", "world", "fits"), [(2, 4, True), (1, 4, False), (4, 4, False), (2, 6, False)]
)
def test_each_machine_has_a_rank_for_each_gpu(here, world, fits, monkeypatch):
    """Also where the total is right: --nnodes=4 --nproc-per-node=1 is another division."""
    for name, value in (("RANK", 0), ("WORLD_SIZE", world), ("LOCAL_WORLD_SIZE", here)):
        monkeypatch.setenv(name, str(value))
    section = {"num_nodes": 2, "num_gpus": 2}
    if fits:
        launch.check_world_size(section, "s")
        assert launch.local_world_size(2) == 2, "they share their machine's memory, not all"
    else:
        with pytest.raises(InputError, match="--nnodes=2 --nproc-per-node=2"):
            launch.check_world_size(section, "s")
