"""Toolkits: the specs and command lines of each, against the tutorial and NVIDIA's own keys."""

import csv
import json
import re
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from actionrec.config import queries
from actionrec.config.load import checked
from actionrec.errors import InputError
from actionrec.spec import dotted_keys, toolkits
from actionrec.spec.render import Run, check_overrides, render_spec
from actionrec.spec.toolkits import TASKS, keys_of_task
from helpers import DATA, REPOSITORY

CONFIGS = REPOSITORY / "config"
RUN = Path("results/rgb_3d_ptm/split1")
WEIGHTS = Path("resources/pretrained/rgb_3d_ptm.pth")
OLD = ("3.21.11", "3.22.05", "4.0.1")
NEW = ("5.0.0", "5.3.0", "5.5.0", "6.0.0", "6.25.10", "6.26.3", "7.3.0")


def render(folder: Path, toolkit: str, task: str, overrides: dict, encrypt: bool = False) -> dict:
    """Render a spec of the two-class experiment and return it as it is in the file."""
    target = folder / toolkit / f"{task}.yaml"
    pretrained = {"rgb": (WEIGHTS, 5)} if task == "train" else {}
    run = Run(RUN, ["fall_floor", "ride_bike"], "test", pretrained, toolkit, encrypt)
    render_spec(target, task, keys_of_task(overrides, task), run)
    return yaml.safe_load(target.read_text())


def keys(spec: dict) -> set[str]:
    return {key for key, _ in dotted_keys.leaves(spec)}


def test_the_toolkits_are_those_of_the_configuration():
    schema = json.loads((CONFIGS.parent / "workflow/schemas/config.schema.json").read_text())
    offered = schema["$defs"]["TaoConfig"]["properties"]["toolkit"]
    assert tuple(offered["enum"]) == toolkits.TOOLKITS == OLD + NEW
    assert offered["default"] == toolkits.TOOLKITS[-1]


# --- the tutorial, value by value ---


def tutorial(task: str) -> dict:
    """Return the spec that the tutorial's command of a task amounts to, paths by their role."""
    folder = DATA / "tutorial"
    spec = OmegaConf.load(folder / ("train.yaml" if task == "train" else "others.yaml"))
    for key, value in yaml.safe_load((folder / "overrides.yaml").read_text())[task].items():
        OmegaConf.update(spec, key, value)
    roles = yaml.safe_load((folder / "roles.yaml").read_text())
    return by_role(OmegaConf.to_container(spec), roles)


def by_role(value, roles: dict):
    if isinstance(value, dict):
        return {key: by_role(content, roles) for key, content in value.items()}
    return roles.get(value, value) if isinstance(value, str) else value


OUR_ROLES = {
    str(RUN / "train"): "results of the training",
    str(RUN / "data/train"): "training videos by class",
    str(RUN / "data/test"): "test videos by class",
    str(RUN / "data/inference"): "folder of videos to predict",
    str(WEIGHTS): "pretrained weights",
    str(RUN / "model.tlt"): "fine-tuned model",
    str(RUN / "export/model.etlt"): "exported model",
}


@pytest.mark.parametrize("task", TASKS)
def test_the_tutorials_specs_come_out_value_by_value(tmp_path, monkeypatch, task):
    monkeypatch.delenv("TAO_KEY", raising=False)
    config, _ = checked(yaml.safe_load((CONFIGS / "tutorial.yaml").read_text()), [])
    overrides = queries.overrides(config, "rgb_3d_ptm")
    rendered = OmegaConf.create(render(tmp_path, config["tao"]["toolkit"], task, overrides))
    resolved = OmegaConf.to_container(rendered, resolve=True)
    assert by_role(resolved, OUR_ROLES) == tutorial(task)


def test_the_tutorials_training_is_the_one_of_the_configuration_for_the_native_engine():
    """hmdb51_2class.yaml says of itself that it is the tutorial's experiment."""
    ours, native = (
        queries.overrides(
            checked(yaml.safe_load((CONFIGS / name).read_text()), [])[0], "rgb_3d_ptm"
        )
        for name in ("tutorial.yaml", "hmdb51_2class.yaml")
    )
    del ours["dataset"]["augmentation_config"]["val_center_crop"]  # false is TAO's default
    assert ours == native


# --- the schema of every toolkit ---


def known_keys(toolkit: str) -> set[str]:
    with (DATA / "toolkits/keys.tsv").open() as file:
        return {row["key"] for row in csv.DictReader(file, delimiter="\t") if row[toolkit] == "x"}


@pytest.mark.parametrize("toolkit", NEW)
def test_specs_name_every_key_of_their_toolkit_and_no_other(tmp_path, toolkit):
    named = set()
    for task in TASKS:
        own = keys(render(tmp_path, toolkit, task, {}))
        assert not [key for key in own if key.split(".")[0] in set(TASKS) - {task}]
        named |= own
    assert named == known_keys(toolkit)


@pytest.mark.parametrize("toolkit", toolkits.TOOLKITS)
def test_what_a_user_sets_is_in_the_spec_of_every_toolkit(tmp_path, toolkit):
    chosen = {
        "model": {"backbone": "resnet_34", "num_fc": 32},
        "dataset": {"batch_size": 6},
        "train": {"num_epochs": 12, "optim": {"lr": 0.25, "patience": 3}},
    }
    spec = render(tmp_path, toolkit, "train", chosen)
    if toolkit in OLD:
        assert spec["model_config"]["backbone"] == "resnet34"
        assert spec["model_config"]["num_fc"] == 32
        assert spec["dataset_config"]["batch_size"] == 6
        assert spec["train_config"]["epochs"] == 12
        assert spec["train_config"]["optim"]["lr"] == 0.25
        assert spec["train_config"]["optim"]["patience"] == 3
    else:
        assert spec["model"]["backbone"] == "resnet_34"
        assert spec["model"]["num_fc"] == 32
        assert spec["dataset"]["batch_size"] == 6
        assert spec["train"]["num_epochs"] == 12
        assert spec["train"]["optim"]["lr"] == 0.25
        assert spec["train"]["optim"]["patience"] == 3


def test_defaults_are_the_same_in_all_toolkits(tmp_path):
    """TAO changed batch_size from 32 to 2, model_type from joint to rgb, and more."""
    for toolkit in toolkits.TOOLKITS:
        spec = render(tmp_path, toolkit, "train", {})
        model, dataset, train = (
            spec[f"{name}_config" if toolkit in OLD else name]
            for name in ("model", "dataset", "train")
        )
        assert (model["model_type"], model["input_type"]) == ("rgb", "2d")
        assert dataset["batch_size"] == 2
        assert train["checkpoint_interval"] == 1
        assert model["rgb_pretrained_num_classes"] == 5
    for toolkit in NEW:
        assert render(tmp_path, toolkit, "evaluate", {})["model"]["rgb_pretrained_num_classes"] == 0


def test_a_toolkit_with_one_gpu_is_told_its_number(tmp_path):
    chosen = {"evaluate": {"gpu_ids": [1]}}
    assert render(tmp_path, "5.3.0", "evaluate", chosen)["evaluate"]["gpu_id"] == 1
    assert render(tmp_path, "5.5.0", "evaluate", chosen)["evaluate"]["gpu_ids"] == [1]
    assert render(tmp_path, "4.0.1", "evaluate", chosen)["gpu_ids"] == [1]
    with pytest.raises(InputError, match="one GPU only"):
        render(tmp_path, "5.0.0", "evaluate", {"evaluate": {"gpu_ids": [0, 1]}})


@pytest.mark.parametrize("toolkit", OLD)
def test_old_evaluations_are_told_nothing_of_the_training(tmp_path, toolkit):
    chosen = {"dataset": {"clips_per_video": 5}, "train": {"optim": {"lr": 0.1}}}
    spec = render(tmp_path, toolkit, "evaluate", chosen)
    assert "train_config" not in spec
    assert not {"clips_per_video", "train_dataset_dir"} & spec["dataset_config"].keys()
    assert spec["dataset_config"]["augmentation_config"]["horizontal_flip_prob"] == 0.0


def test_an_old_joint_network_is_told_both_streams_weights():
    values = {
        "model": {
            "backbone": "resnet_18",
            "input_height": 2,
            "input_width": 3,
            "of_pretrained_model_path": "of.tlt",
            "of_pretrained_num_classes": 5,
            "rgb_pretrained_model_path": None,
            "rgb_pretrained_num_classes": 0,
        },
        "results_dir": "run",
    }
    model = toolkits.to_schema(values, "4.0.1", "train", ())["model_config"]
    assert model == {
        "backbone": "resnet18",
        "of_pretrained_model_path": "of.tlt",
        "of_pretrained_num_classes": 5,
    }


@pytest.mark.parametrize(
    ("toolkit", "key", "value", "instead", "toolkits"),
    [
        ("3.21.11", "train.seed", 7, "remove the key", "5.5.0, 6.0.0, 6.25.10, 6.26.3, 7.3.0"),
        ("4.0.1", "train.num_gpus", 2, "train.gpu_ids", "5.3.0, 5.5.0"),
        ("5.0.0", "train.num_gpus", 2, "train.gpu_ids", "5.3.0, 5.5.0"),
        ("5.3.0", "train.validation_interval", 2, "train.checkpoint_interval", "5.5.0, 6.0.0"),
        ("5.3.0", "wandb.enable", False, "remove the key", "5.5.0, 6.0.0"),
        ("5.3.0", "train.cudnn.benchmark", True, "remove the key", "5.5.0, 6.0.0"),
        ("6.0.0", "train.checkpoint_interval_unit", "step", "remove the key", "6.25.10, 6.26.3"),
        ("6.25.10", "wandb.group", "mine", "remove the key", "6.26.3, 7.3.0"),
        ("6.26.3", "train.checkpointer.enable_topk", True, "remove the key", "7.3.0"),
    ],
)
def test_a_key_that_a_toolkit_lacks_is_refused_with_the_alternatives(
    toolkit, key, value, instead, toolkits
):
    overrides = OmegaConf.to_container(OmegaConf.from_dotlist([f"{key}={value}"]))
    with pytest.raises(InputError) as caught:
        check_overrides(overrides, "config.yaml, spec", toolkit=toolkit)
    message = str(caught.value)
    assert f"TAO {toolkit} does not have this key." in message
    assert f"config.yaml, spec: {key}" in message
    assert f"found:   {value}" in message
    assert instead in message
    assert f"set tao.toolkit to {toolkits}" in message
    check_overrides(overrides, "config.yaml, spec", toolkit=toolkits.split(", ")[0])


# --- command lines and keys ---

NEW_COMMAND = ["action_recognition", "evaluate", "-e", "/run/specs/evaluate.yaml"]
OLD_COMMAND = [
    "sh",
    "-c",
    'exec action_recognition "$@" -k "${TAO_KEY:-nvidia_tao}"',
    *NEW_COMMAND,
]


@pytest.mark.parametrize("toolkit", toolkits.TOOLKITS)
def test_the_command_line_is_the_toolkits(toolkit):
    def command(task):
        spec, folder = Path(f"/run/specs/{task}.yaml"), Path(f"/run/{task}")
        arguments = toolkits.arguments(toolkit, task, spec, folder)
        return [*toolkits.program(toolkit), *arguments]

    assert command("evaluate") == (OLD_COMMAND if toolkit in OLD else NEW_COMMAND)
    results = ["-r", "/run/train"] if toolkit in OLD else []
    assert command("train")[-len(results) - 3 :] == [
        "train",
        "-e",
        "/run/specs/train.yaml",
        *results,
    ]


def test_a_spec_is_named_by_its_absolute_path(tmp_path, monkeypatch):
    """TAO looks a name without a folder up in its package."""
    monkeypatch.chdir(tmp_path)
    assert toolkits.arguments("7.3.0", "export", Path("export.yaml"), Path("export"))[2] == str(
        tmp_path / "export.yaml"
    )


@pytest.mark.parametrize("toolkit", toolkits.TOOLKITS)
def test_the_key_is_in_no_spec_and_on_no_command_line(tmp_path, monkeypatch, toolkit):
    monkeypatch.setenv("TAO_KEY", "hush")
    for task in ("train", "export"):
        spec = render(tmp_path, toolkit, task, {}, encrypt=True)
        text = (tmp_path / toolkit / f"{task}.yaml").read_text()
        words = toolkits.arguments(toolkit, task, tmp_path / "s.yaml", tmp_path)
        assert "hush" not in text + " ".join([*toolkits.program(toolkit), *words])
        if toolkit in NEW:
            assert OmegaConf.create(spec).encryption_key == "hush"
            assert render(tmp_path, toolkit, task, {})["encryption_key"] is None


@pytest.mark.parametrize("toolkit", toolkits.TOOLKITS)
def test_models_are_named_as_by_the_toolkit(toolkit):
    assert toolkits.model_file(toolkit) == (
        "model.tlt" if toolkit in (*OLD, "5.0.0", "5.3.0") else "model.pth"
    )
    assert toolkits.exported_file(toolkit) == ("model.etlt" if toolkit in OLD else "model.onnx")


@pytest.mark.parametrize(
    ("train", "last"),
    [
        ("train: {num_epochs: 20, checkpoint_interval: 1}", 19),
        ("train: {num_epochs: 10, checkpoint_interval: 3}", 8),
        ("train_config: {epochs: 20, checkpoint_interval: 5}", 19),
        ("train: {num_epochs: 2, checkpoint_interval_unit: step}", None),
        ("{train: {num_epochs: 9}, native: {early_stopping: {patience: 2}}}", None),
        ("{train: {num_epochs: 9}, native: {stop_after: 4}}", 3),
        ("train: {num_epochs: 2, checkpointer: {replace_periodic: true}}", None),
    ],
)
def test_the_last_checkpoint_to_expect_is_known_from_the_spec(train, last):
    assert toolkits.last_epoch(yaml.safe_load(train)) == last


@pytest.mark.parametrize(
    ("tao", "message"),
    [
        ({"toolkit": "5.3.0"}, r"native engine takes the place of TAO 5\.5 and newer"),
        ({"runner": "direct", "toolkit": "3.21.11", "encrypt": False}, "encrypts all"),
        ({"runner": "direct", "toolkit": "3.21.12"}, r"allowed: 3\.21\.11"),
    ],
)
def test_toolkits_that_cannot_be_had_are_refused(repository, tao, message):
    config = yaml.safe_load((repository / "config/config.yaml").read_text()) | {"tao": tao}
    with pytest.raises(InputError, match=re.compile(message)):
        checked(config, [])
