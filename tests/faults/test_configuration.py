"""Configurations and specs: what YAML hides or expands, secrets, numbers that are too large."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError

from actionrec.config import load
from actionrec.config.files import ConfigFiles
from actionrec.native.distributed import process_group
from actionrec.spec.load import load_spec
from faults import table
from faults.table import Fault, Scene

AREA = "configuration"
SECRET = "nvapi-s3cret-of-somebody"
BASE = """
dataset: {name: mine, source: folder, path: videos, classes: [walk, wave]}
experiments: {one: }
"""
READS_NOTHING = "reads nothing from outside of it"
TOO_LARGE = "The number is too large, or none"
EXPANDS = "YAML aliases (*name) make the configuration huge, or a part of itself"
NO_YAML = "The spec is not valid YAML, or too large"
NO_REFERENCE = "A reference leads to no value"
NO_KEY = "There is no such key in TAO's schema"
# What a template of YTE may hold; a code that runs ends the test.
CODE = "?exit('code of a file has run')"
TEMPLATE = f"__use_yte__: true\n__definitions__: [{CODE[1:]}]"


def bomb(kind: str) -> str:
    """Return a section whose aliases expand to 9 ** 9 values, as lists or as mappings."""
    opened, closed = ("[", "]") if kind == "list" else ("{", "}")

    def level(name: str, item: Callable[[int], str]) -> str:
        keys = (f"k{n}: " if kind == "mapping" else "" for n in range(9))
        return (
            f"    {name}: &{name} {opened}"
            + ", ".join(f"{key}{item(n)}" for n, key in enumerate(keys))
            + closed
        )

    lines = [level("a0", str)]
    lines += [level(f"a{n}", lambda _, n=n: f"*a{n - 1}") for n in range(1, 9)]
    return "  wandb:\n" + "\n".join(lines) + "\n"


class Configuration(Scene):
    """A configuration that a user wrote, or got from another person."""

    def prepare(self) -> None:
        self.monkeypatch.setenv("NGC_API_KEY", SECRET)
        self.file = self.folder / "config.yaml"

    def act(self) -> str:
        said = self.said(lambda: load.checked(load_configfile(self.file), [self.file]))
        assert SECRET not in said
        return said


class EngineSpec(Scene):
    """A spec, and overrides, that are given to the engine's command."""

    overrides: tuple[str, ...] = ()

    def prepare(self) -> None:
        self.monkeypatch.setenv("NGC_API_KEY", SECRET)
        self.monkeypatch.delenv("NO_SUCH_KEY", raising=False)
        self.file = self.folder / "spec.yaml"

    def act(self) -> str:
        said = self.said(load_spec, self.file, self.overrides)
        assert SECRET not in said
        return said


class Machine(Scene):
    """A machine without a GPU, on which a task starts."""

    gpu_ids: tuple[int, ...] = (0,)

    def act(self) -> str:
        self.monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        self.monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
        return self.said(process_group.select_device, self.gpu_ids)


def add(text: str) -> Callable[[Configuration], object]:
    """Return an injection: the configuration has this below its own keys."""
    return lambda scene: scene.file.write_text(f"{BASE}{text}\n")


def swap(old: str, new: str) -> Callable[[Configuration], object]:
    """Return an injection: the configuration has `new` in place of `old`."""
    assert old in BASE
    return lambda scene: scene.file.write_text(BASE.replace(old, new))


def write(text: str | bytes, *overrides: str) -> Callable[[EngineSpec], object]:
    """Return an injection: the spec is this, with these overrides on the command line."""

    def inject(scene: EngineSpec) -> None:
        scene.file.write_bytes(text if isinstance(text, bytes) else text.encode())
        scene.overrides = overrides

    return inject


def ask_for(*gpu_ids: int) -> Callable[[Machine], object]:
    """Return an injection: the spec asks for these GPUs."""
    return lambda scene: setattr(scene, "gpu_ids", gpu_ids)


def of_config(fault: str, inject: Callable[[Configuration], object], *seen: str) -> Fault:
    return Fault(fault, "written into the configuration", Configuration, inject, seen)


def of_spec(fault: str, inject: Callable[[EngineSpec], object], *seen: str) -> Fault:
    return Fault(fault, "written into the engine's spec", EngineSpec, inject, seen)


CONFIGURATIONS = [
    of_config("key twice", add("splits: {seed: 1, seed: 2}"), "stands twice"),
    of_config("list bomb", add("spec:\n" + bomb("list")), EXPANDS, "config.yaml:"),
    of_config("mapping bomb", add("spec:\n" + bomb("mapping")), EXPANDS),
    of_config("list that holds itself", add("spec: {wandb: {tags: &a [*a]}}"), EXPANDS, "itself"),
    of_config("mapping that holds itself", add("spec: &a {wandb: *a}"), EXPANDS, "itself"),
    of_config("date for a text", add("spec: {wandb: {name: 2024-01-01}}"), 'write "2024-01-01"'),
    of_config("date for a dataset", swap("mine", "2024-01-01"), 'write "2024-01-01"'),
    of_config("date for an experiment", swap("one:", "2024-01-01:"), "as a date"),
    of_config("date for a class", swap("walk", "2024-01-01"), "as a date"),
    of_config("date as a key", add("2024-01-01: 3"), "Unknown configuration key"),
    of_config("bytes for a text", add("spec: {wandb: {name: !!binary aGk=}}"), "wrong type"),
    of_config("set for a text", add("spec: {wandb: {name: !!set {a, b}}}"), "wrong type"),
    of_config("huge seed", add(f"spec: {{train: {{seed: {10**30}}}}}"), TOO_LARGE),
    of_config("huge size", add(f"spec: {{model: {{input_width: {10**13}}}}}"), TOO_LARGE),
    of_config("infinite rate", add("spec: {train: {optim: {lr: .inf}}}"), TOO_LARGE),
    of_config("rate that is no number", add("spec: {train: {optim: {lr: .nan}}}"), "lr"),
    of_config("octal", add("splits: {seed: 0123}"), "leading zero"),
    of_config("base 60", add("splits: {seed: 1:30}"), "base 60"),
    of_config("secret", add("spec: {wandb: {name: '${oc.env:NGC_API_KEY}'}}"), READS_NOTHING),
    of_config("secret in a list", add("spec: {wandb: {tags: ['${oc.env:HOME}']}}"), READS_NOTHING),
    of_config(
        "secret in an experiment",
        swap("one:", "one: {spec: {wandb: {name: 'x${oc.env:NGC_API_KEY}'}}}"),
        READS_NOTHING,
    ),
    of_config(
        "secret in a sweep",
        swap("one:", "one: {sweep: {wandb.name: ['a', '${oc.env:NGC_API_KEY}']}}"),
        READS_NOTHING,
    ),
    of_config("reference to nothing", add("spec: {wandb: {name: '${nothing}'}}"), NO_REFERENCE),
    of_config("half a reference", add("spec: {wandb: {name: '${'}}"), READS_NOTHING),
    of_config("number for a section", add("spec: {train: 5}"), "must be a mapping"),
    of_config("list for weights", swap("one:", "one: {pretrained: []}"), "pretrained", "path"),
    of_config("text for weights", swap("one:", "one: {pretrained: a.pth}"), "pretrained", "path"),
    of_config(
        "list for weights of a stream", swap("one:", "one: {pretrained: {rgb: [1]}}"), "pretrained"
    ),
    of_config("list for a section", add("splits: [1]"), "mapping of keys to values"),
]

SPECS = [
    of_spec(
        "secret of the environment", write("wandb: {name: '${oc.env:NGC_API_KEY}'}"), READS_NOTHING
    ),
    of_spec(
        "secret by the key",
        write("encryption_key: x\nwandb: {name: '${encryption_key}'}"),
        READS_NOTHING,
    ),
    of_spec(
        "secret by a selection",
        write("wandb: {name: '${oc.select:encryption_key}'}"),
        READS_NOTHING,
    ),
    of_spec(
        "secret by a relative name", write("wandb: {name: '${..encryption_key}'}"), READS_NOTHING
    ),
    of_spec("secret by a nested name", write("wandb: {name: '${${results_dir}}'}"), READS_NOTHING),
    of_spec(
        "secret by an override", write("{}", "wandb.name=${oc.env:NGC_API_KEY}"), READS_NOTHING
    ),
    of_spec(
        "secret as a default",
        write("wandb: {name: '${oc.env:NONE,${oc.env:NGC_API_KEY}}'}"),
        READS_NOTHING,
    ),
    of_spec("key that is not set", write("encryption_key: '${oc.env:NO_SUCH_KEY}'"), "is not set"),
    of_spec(
        "reference to itself", write("train: {num_epochs: '${train.num_epochs}'}"), NO_REFERENCE
    ),
    of_spec(
        "reference to another type",
        write("results_dir: a\ntrain: {num_epochs: '${results_dir}'}"),
        NO_REFERENCE,
    ),
    of_spec("bomb", write(bomb("list").replace("\n    ", "\n      ")), NO_YAML, "expansion"),
    of_spec(
        "list in a spec that holds itself", write("wandb: {tags: &a [*a]}"), NO_YAML, "recursive"
    ),
    of_spec("deep nesting", write("wandb: " + "[" * 3000 + "]" * 3000), NO_YAML),
    of_spec("number of 6,000 digits", write("train: {seed: " + "9" * 6000 + "}"), NO_YAML),
    of_spec("quoted huge number", write(f"train: {{seed: '{10**30}'}}"), TOO_LARGE),
    of_spec("list as a key", write("[1]: 2"), NO_YAML),
    of_spec("nothing as a key", write("~: 2"), NO_YAML),
    of_spec("Python object", write("wandb: !!python/object/apply:os.system [touch x]"), NO_YAML),
    of_spec("code of a template", write(f"{TEMPLATE}\nresults_dir: /r"), NO_KEY, "__use_yte__"),
    of_spec("code of a template for a number", write(f"train: {{num_epochs: '{CODE}'}}"), "found"),
    of_spec("bytes that are no UTF-8", write(b"\xff\xfe\x00"), NO_YAML),
    of_spec("control character", write("wandb: {name: \x07}"), NO_YAML),
    of_spec("override that is no YAML", write("{}", "wandb.name=[}"), "not valid YAML"),
]

GPUS = [
    Fault("GPU that is not there", "gpu_ids: [7]", Machine, ask_for(7), "there is no GPU here"),
    Fault("GPU below zero", "gpu_ids: [-1]", Machine, ask_for(-1), "there is no GPU here"),
]

FAULTS = [*CONFIGURATIONS, *SPECS, *GPUS]
test_fault = table.test_of(FAULTS)


def test_more_labels_than_any_dataset_has(tmp_path):
    labels = ", ".join(f"class{number}: {number}" for number in range(6000))
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"dataset: {{label_map: {{{labels}}}}}")
    assert len(load_spec(spec).dataset.label_map) == 6000


@pytest.mark.parametrize("key", ["${oc.env:TAO_KEY}", "${oc.env:TAO_KEY,nvidia_tao}", "plain"])
def test_only_the_key_for_the_encryption_may_come_from_the_environment(tmp_path, monkeypatch, key):
    monkeypatch.setenv("TAO_KEY", "of-the-environment")
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"encryption_key: '{key}'\nresults_dir: /r\nwandb: {{name: '${{results_dir}}/1'}}"
    )
    loaded = load_spec(spec)
    assert loaded.encryption_key == ("plain" if key == "plain" else "of-the-environment")
    assert loaded.wandb.name == "/r/1"


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        (f"{TEMPLATE}", True),
        (f"__use_yte__: true\na: {CODE}", True),
        (f'"\\x5f_use_yte__": 1\n"{CODE}": 1', True),  # no search for the word finds it
        (f"{TEMPLATE}".replace("true", "false"), False),
        (f"a: {CODE}\n?if {CODE[1:]}: 1", False),
        ("a: !!python/object/apply:os._exit [1]", False),
    ],
)
def test_snakemake_runs_the_code_of_a_configuration_only_if_it_is_a_template(tmp_path, text, runs):
    """State what SECURITY.md warns of: it is so before any rule or check of the workflow."""
    file = tmp_path / "config.yaml"
    file.write_text(text)
    # YTE explains what an expression raises, but for exceptions that are no `Exception`.
    with pytest.raises(SystemExit) if runs else suppress(WorkflowError):
        load_configfile(file)


@pytest.mark.parametrize("text", [TEMPLATE, f"a: {CODE}", f"{BASE}\n{TEMPLATE}"])
def test_the_workflow_itself_runs_no_code_of_a_configuration(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert ConfigFiles.read([file]).names == [str(file)]


def test_nothing_in_the_package_registers_a_resolver():
    package = Path(load.__file__).parents[1]
    sources = [path.read_text() for path in package.rglob("*.py")]
    assert not any(re.search(r"register_(new_)?resolver", source) for source in sources)
