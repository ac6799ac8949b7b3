"""What users read who made a mistake: the file, the line, what YAML made of it, what to write."""

import re
from pathlib import Path

import pytest
import yte

from actionrec.config import messages
from actionrec.config.files import ConfigFiles
from actionrec.config.load import checked
from actionrec.config.models.section import Section
from actionrec.config.yaml_traps import dotted
from actionrec.errors import InputError
from helpers import REPOSITORY

TEXT = """\
dataset:
  name: mine
  source: folder
  path: /data/videos
  classes: [wave, clap]
splits:
  numbers: [1]
spec:
  model: {backbone: resnet_18}
  train:
    num_epochs: 4
experiments:
  first:
    classes: [wave, clap]
  second:
    pretrained: {experiment: first}
    spec:
      train: {num_epochs: 2}
"""


@pytest.fixture
def refusal(tmp_path, monkeypatch):
    """Return what is said of TEXT with a part replaced, read as Snakemake reads it."""
    monkeypatch.chdir(tmp_path)

    def refuse(part: str, replacement: str) -> str:
        assert part in TEXT
        Path("my.yaml").write_text(TEXT.replace(part, replacement, 1))
        with Path("my.yaml").open() as file:
            config = yte.process_yaml(file, require_use_yte=True)
        with pytest.raises(InputError) as caught:
            checked(config, [tmp_path / "my.yaml"])
        return str(caught.value)

    return refuse


@pytest.mark.parametrize(
    ("part", "replacement", "where", "fix"),
    [
        ("clap]", "yes]", "5, dataset.classes[1]", 'YAML reads yes as true: write "yes"'),
        ("clap]", "Off]", "5, dataset.classes[1]", 'YAML reads Off as false: write "Off"'),
        ("clap]", "7]", "5, dataset.classes[1]", 'YAML reads 7 as a number: write "7"'),
        (
            "clap]",
            "1.50]",
            "5, dataset.classes[1]",
            'YAML reads 1.50 as the number 1.5: write "1.50"',
        ),
        ("clap]", "2026-01-31]", "[1]", 'YAML reads 2026-01-31 as a date: write "2026-01-31"'),
        ("clap]", "~]", "5, dataset.classes[1]", 'YAML reads ~ as no value: write "~"'),
        ("clap]", "]", "5, dataset.classes", "snakemake -n"),
        ("name: mine", "name: 123", "2, dataset.name", 'YAML reads 123 as a number: write "123"'),
        ("name: mine", "name:", "2, dataset.name", "write a value, or remove the key"),
        ("  first:", "  on:", "13, experiments.on", 'YAML reads on as true: write "on"'),
        ("  first:", "  1:", "13, experiments.1", 'YAML reads 1 as a number: write "1"'),
        ("  first:", "  2026-01-31:", "13, experiments.2026-01-31", 'write "2026-01-31"'),
        ("  first:", "  a b:", "13, experiments.a b", "snakemake -n"),
        ("numbers: [1]", 'numbers: ["1"]', "7, splits.numbers[0]", "write 1 without quotes"),
        ("numbers: [1]", "numbers: [08]", "7, splits.numbers[0]", "YAML reads 08 as text here"),
        ("numbers: [1]", "numbers: [1.0]", "7, splits.numbers[0]", "write 1"),
        ("numbers: [1]", "numbers: 1", "7, splits.numbers", "it should be a list, such as [a, b]"),
        ("numbers: [1]", "seed: 1e3", "7, splits.seed", "write 1000 without quotes"),
        ("numbers: [1]", "seed: 010", "7, splits.seed", "a leading zero means base 8"),
        ("numbers: [1]", "seed: 1:30", "7, splits.seed", "colons mean base 60"),
        ("numbers: [1]", "seed: 1:30.5", "7, splits.seed", "as the number 90.5"),
        ("numbers: [1]", "validation: tset", "7, splits.validation", "between 0 and 1, or test"),
        ("numbers: [1]", 'test_fraction: "half"', "7, splits.test_fraction", "a number"),
        ("spec:", "tao: {encrypt: 'yes'}\nspec:", "8, tao.encrypt", "write true without quotes"),
        ("spec:", "tao: {toolkit: 5.0}\nspec:", "8, tao.toolkit", 'write "5.0.0"'),
        ("spec:", "tao: {runner: on}\nspec:", "8, tao.runner", "YAML reads on as true: choose"),
        ("spec:", "frames: 3\nspec:", "8, frames", "it should be a mapping of keys to values"),
        ("resnet_18", "resnet18", "9, spec.model.backbone", "did you mean 'resnet_18'?"),
        ("resnet_18", "on", "9, spec.model.backbone", "YAML reads on as true: choose"),
        ("num_epochs: 4", "num_epochs: 1e1", "11, spec.train.num_epochs", "write 10 without"),
        ("num_epochs: 4", "epochs: 4", "11, spec.train.epochs", "did you mean 'num_epochs'?"),
        ("num_epochs: 4", "gpu_ids: 0", "11, spec.train.gpu_ids", "list of whole numbers"),
        ("{num_epochs: 2}", "{num_epochs: two}", "18, experiments.second.spec.train", "'two'"),
        (
            "{experiment: first}",
            f"{{url: x, sha256: {64 * '1'}}}",
            "16, experiments.second.pretrained",
            f'as a number: write "{64 * "1"}"',
        ),
        ("{experiment: first}", "{experiment: frist}", "16, ", "did you mean 'first'?"),
    ],
)
def test_a_value_that_is_not_what_was_meant(refusal, part, replacement, where, fix):
    message = refusal(part, replacement)
    assert f"in:      my.yaml:{where}" in message if where[0].isdigit() else where in message
    assert fix in message


@pytest.mark.parametrize(
    ("part", "replacement", "lines", "key"),
    [
        ("spec:", "dataset: {}\nspec:", "lines 1 and 8", "dataset"),
        ("  second:", "  first:", "lines 13 and 15", "experiments.first"),
        ("{num_epochs: 2}", "{seed: 1, seed: 2}", "lines 18 and 18", "experiments.second.spec"),
        ("clap]\nsplits", "{a: 1, a: 2}]\nsplits", "lines 5 and 5", "dataset.classes[1].a"),
    ],
)
def test_a_key_that_stands_twice(refusal, part, replacement, lines, key):
    message = refusal(part, replacement)
    assert "YAML would silently take the last" in message
    assert f"found:   {lines}" in message
    assert re.search(rf"in:      my\.yaml:\d+, {re.escape(key)}", message)


@pytest.mark.parametrize(
    ("part", "replacement"),
    [
        ("numbers: [1]", "validation: 2e-1"),
        ("num_epochs: 4", "optim: {lr: 1e-3}"),
        ("splits:\n  numbers: [1]\n", "splits:\n"),
        ("splits:\n", "frames:\nsplits:\n"),
        ("numbers: [1]", "test_fraction: 1"),
        ("clap]", '"yes"]'),
    ],
)
def test_what_is_meant_well_is_accepted(tmp_path, part, replacement):
    path = tmp_path / "my.yaml"
    text = TEXT.replace(part, replacement)
    path.write_text(text if '"yes"' not in text else text.replace("clap", "yes"))
    with path.open() as file:
        config = yte.process_yaml(file, require_use_yte=True)
    if replacement == "test_fraction: 1":
        with pytest.raises(InputError, match="should be less than 1"):
            checked(config, [path])
    else:
        checked(config, [path])


def test_the_file_that_a_value_came_from_is_named(tmp_path, monkeypatch):
    """Files are merged from left to right; the value tells which of them has the last word."""
    monkeypatch.chdir(tmp_path)
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("frames: {format: gif}\nflow: {}\n")
    second.write_text("# mine\nframes: {format: bmp, qualitty: 3}\n")
    files = ConfigFiles.read([first, second])
    assert str(files) == "first.yaml, second.yaml"
    assert files.where("frames", "format", value="bmp") == "second.yaml:2, frames.format"
    assert files.where("frames", "format", value="gif") == "first.yaml:1, frames.format"
    assert files.where("frames", "format") == "second.yaml:2, frames.format"
    assert files.where("flow", "method") == "first.yaml:2, flow.method"
    assert files.where("tao") == "first.yaml, second.yaml, tao"


def test_a_value_of_the_command_line_is_known_as_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my.yaml"
    path.write_text(TEXT)
    config = yte.process_yaml(TEXT, require_use_yte=True) | {"frames": {"quality": "90"}}
    with pytest.raises(InputError) as caught:
        checked(config, [path])
    assert "in:      outside of my.yaml, frames.quality" in str(caught.value)
    assert "a value of --config is text: write 90 into a file" in str(caught.value)


def test_anchors_and_merged_mappings_are_followed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my.yaml"
    path.write_text("base: &base\n  lr: 1\nspec:\n  <<: *base\n  seed: 2\n  <<: *base\n")
    files = ConfigFiles.read([path])
    assert files.where("spec", "lr") == "my.yaml:2, spec.lr"
    assert files.where("spec", "seed") == "my.yaml:5, spec.seed"


def test_files_that_only_snakemake_can_read_are_left_to_it(tmp_path):
    texts = {
        "none.yaml": None,
        "bad.yaml": "a: [",
        "template.yaml": "__use_yte__: true\n?if True:\n  a: 1\n?if True:\n  a: 1\n",
        "empty.yaml": "",
        "list.json": '{"frames": {"quality": 3}}',
    }
    for name, text in texts.items():
        if text is not None:
            (tmp_path / name).write_text(text)
    files = ConfigFiles.read([tmp_path / name for name in texts])
    assert files.where("frames", "quality").endswith("list.json:1, frames.quality")
    assert files.find(["a"]) is None


def test_a_configuration_without_files_is_named_as_such():
    with pytest.raises(InputError, match="in:      configuration, dataset"):
        checked({"dataset": {}, "experiments": {"x": None}}, [])


def test_an_old_name_of_a_key_is_refused_with_the_new_one():
    class Renamed(Section):
        renamed = {"qualitty": "quality"}  # noqa: RUF012
        quality: int = 1

    with pytest.raises(ValueError) as caught:
        Renamed.model_validate({"qualitty": 3})
    message = str(messages.explained(caught.value, ConfigFiles.read([])))
    assert "'qualitty' has a new name" in message
    assert "fix:     rename it to quality" in message


def test_keys_are_written_as_in_a_program():
    assert dotted(("dataset", "classes", 0)) == "dataset.classes[0]"
    assert dotted(("experiments", True)) == "experiments.True"
    assert dotted(()) == ""


def test_shipped_files_have_nothing_that_yaml_misreads():
    ConfigFiles.read(sorted((REPOSITORY / "config").glob("*.yaml")))
