"""The workflow as a module of another: from a folder, from git, and as snakedeploy deploys it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from helpers import REPOSITORY, clone, snakemake

TAG = "v9.9.9"
HUB = "github.com/owner/recognition"
RUN = "results/demo/experiments/small/split1"


def git(*arguments: str, folder: Path) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """Return a git repository of the project, with a tag."""
    folder = clone(tmp_path_factory.mktemp("hub") / HUB)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        (folder / name).write_bytes((REPOSITORY / name).read_bytes())
    git("init", "--quiet", "--initial-branch=main", folder=folder)
    git("add", ".", folder=folder)
    git("commit", "--quiet", "--message", "All of it", folder=folder)
    git("tag", TAG, folder=folder)
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory, repository) -> Path:
    """Return a folder into which pip has installed the package, as the message says."""
    folder = tmp_path_factory.mktemp("site-packages")
    source = f"git+file://{repository}@{TAG}"
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--target", str(folder))
    command = [sys.executable, "-m", "pip", "install", *options, source]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def empty(tmp_path, monkeypatch, installed) -> Path:
    """Return an empty folder to work in, where the package is installed and caches are new."""
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "work/config").mkdir(parents=True)
    write_config(tmp_path / "work")
    return tmp_path / "work"


def write_config(folder: Path) -> None:
    """Configure the demo, smaller and shorter."""
    config = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    config["dataset"]["classes"] = config["dataset"]["classes"][:2]
    config["spec"]["model"] |= {"input_type": "2d", "rgb_seq_length": 2}
    config["spec"]["train"]["num_epochs"] = 1
    config["experiments"] = {"small": None}
    config["export"] = {"etlt": "never"}
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))


def use(folder: Path, snakefile: str) -> None:
    (folder / "Snakefile").write_text(
        'configfile: "config/config.yaml"\n'
        "module recognition:\n"
        f"    snakefile: {snakefile}\n"
        "    config: config\n"
        "use rule * from recognition\n"
    )


def gitfile(repository: Path) -> str:
    return f'gitfile("{repository}", path="workflow/Snakefile", tag="{TAG}")'


def check_run(folder: Path) -> None:
    """Run the demo to its end, and see that nothing is left to do."""
    assert "train_model" in snakemake(folder, "-n", "--cores", "2")
    snakemake(folder, "--cores", "2")
    run = folder / RUN
    for made in (run / "metrics.json", run / "export/model.onnx", folder / "results/demo"):
        assert made.exists()
    assert (folder / "results/demo/report.html").stat().st_size > 10_000
    assert "Nothing to be done" in snakemake(folder, "--cores", "2")


@pytest.mark.slow
def test_the_demo_runs_from_a_git_repository_on_this_machine(empty, repository):
    use(empty, gitfile(repository))
    check_run(empty)


@pytest.mark.slow
def test_the_demo_runs_as_snakedeploy_deploys_it(empty, repository, monkeypatch):
    """git is told to find GitHub on this machine; all else is as for a user."""
    pytest.importorskip("snakedeploy")
    rewrite = {"KEY_0": f"url.file://{repository.parents[2]}/.insteadOf", "VALUE_0": "https://"}
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    for name, value in rewrite.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    folder = empty.parent / "deployed"
    subprocess.run(
        [
            *(sys.executable, "-c", "from snakedeploy.client import main; main()"),
            "deploy-workflow",
            *(f"https://{HUB}", str(folder), "--tag", TAG),
        ],
        check=True,
        capture_output=True,
    )
    assert (
        f'github("owner/recognition", path="workflow/Snakefile", tag="{TAG}")'
        in (folder / "workflow/Snakefile").read_text()
    )
    write_config(folder)
    snakemake(folder, "--cores", "2", "train")
    assert (folder / RUN / "model.json").exists()
    assert "Nothing to be done" in snakemake(folder, "--cores", "2", "train")


def test_without_the_package_the_message_says_what_to_install(
    empty, repository, monkeypatch, tmp_path
):
    broken = tmp_path / "broken/actionrec"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'actionrec'\")"
    )
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    use(empty, gitfile(repository))
    said = snakemake(empty, "-n", "--cores", "1", check=False)
    assert "The rules need the Python package actionrec" in said
    assert f'-m pip install "git+file://{repository}@{TAG}"' in said
    assert "Traceback" not in said


def test_what_is_installed_holds_what_it_reads(installed):
    """The pinned packages of environments of another Python, which the package makes."""
    code = "from actionrec.utils.environments import LOCKS; print(*LOCKS.glob('*.lock'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = {Path(path).name for path in done.stdout.split()}
    assert found == {"encryption.lock", "launcher.lock"}
    assert str(installed) in done.stdout


def test_a_module_in_a_folder_has_a_name_and_rules_of_its_own(tmp_path):
    (tmp_path / "config").mkdir()
    write_config(tmp_path)
    (tmp_path / "Snakefile").write_text(
        'configfile: "config/config.yaml"\n'
        "module recognition:\n"
        f"    snakefile: {str(REPOSITORY / 'workflow/Snakefile')!r}\n"
        "    config: config\n"
        "use rule * from recognition as recognition_*\n"
        "rule mine:\n"
        "    default_target: True\n"
        "    input: rules.recognition_all.input\n"
    )
    assert "recognition_train_model" in snakemake(tmp_path, "-n", "--cores", "1")
