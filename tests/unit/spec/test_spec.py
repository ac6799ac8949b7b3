"""The spec: TAO's schema and defaults, what is refused, what the workflow writes."""

import subprocess
import sys
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from actionrec.errors import InputError
from actionrec.spec import native_keys
from actionrec.spec import schema as specs
from actionrec.spec.load import load_spec, require_key, results_dir
from actionrec.spec.native_keys import RateFactors
from actionrec.spec.render import (
    SET_BY_WORKFLOW,
    Run,
    check_overrides,
    is_edited,
    render_spec,
    to_yaml,
)
from actionrec.spec.toolkits import NEWEST, TASKS, keys_of_task
from helpers import DATA, REPOSITORY

GOLDEN = DATA / "golden" / "status"
RUN = Path("results/tiny/split1")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("task", TASKS)
def test_taos_own_specs_are_read_and_written_alike(task):
    path = GOLDEN / f"{task}.experiment.yaml"
    assert to_yaml(load_spec(path)) == path.read_text(encoding="utf-8")


def test_defaults_are_those_of_tao_7_3(tmp_path):
    spec = load_spec(write(tmp_path / "empty.yaml", ""))
    assert spec.model.rgb_pretrained_num_classes == 5
    assert spec.dataset.batch_size == 2
    assert spec.dataset.augmentation_config.rgb_input_mean == [0.485, 0.456, 0.406]
    assert spec.train.optim.lr_steps == [15, 25]
    assert spec.train.checkpoint_interval == 1
    assert spec.results_dir == ""
    assert OmegaConf.is_missing(spec.evaluate, "checkpoint")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {epochs: 3}", r"train\.epochs[\s\S]*did you mean 'num_epochs'"),
        ("modell: {}", r"modell[\s\S]*did you mean 'model'"),
        ("train: {num_epochs: four}", r"'four'[\s\S]*Integer[\s\S]*train\.num_epochs"),
        ("train: 3", r"must be a mapping[\s\S]*train\n  found:   3"),
        ("dataset: {augmentation_config: [1]}", r"mapping[\s\S]*dataset\.augmentation_config"),
        ("train: {gpu_ids: 0}", r"wrong type[\s\S]*found:   0[\s\S]*list of whole numbers"),
        ("train: {num_epochs: 2024-01-01}", r"'2024-01-01'[\s\S]*allowed: whole number"),
        ("model: {backbone: resnet18}", r"model\.backbone[\s\S]*did you mean 'resnet_18'"),
        ("model: {input_type: 4d}", r"input_type\n  found:   4d\n  allowed: 2d, 3d"),
        ("dataset: {batch_size: 0}", r"batch_size\n  found:   0\n  allowed: 1 or more"),
        ("model: {dropout_ratio: 1.5}", "allowed: 0 to 1"),
        ("dataset: {label_map: {a: 0}}", "larger than 1"),
        ("dataset: {label_map: {a: 1, b: 2}}", r"0, 1, 2[\s\S]*a: 1, b: 2"),
        ("dataset: {label_map: {a: 0, b: x}}", r"'x'[\s\S]*label_map\.b"),
        ("train: {checkpoint_interval: 11}", r"1 to 10 \(train\.num_epochs\)"),
        ("dataset: {augmentation_config: {rgb_input_std: [1, 1]}}", "rgb_input_std"),
        ("train: {optim: {lr: .inf, momentum: [}}", "not valid YAML"),
        ("- a", "mapping"),
    ],
)
def test_mistakes_are_refused_by_name(text, message, tmp_path):
    path = write(tmp_path / "spec.yaml", text)
    with pytest.raises(InputError, match=message) as error:
        load_spec(path)
    assert str(path) in str(error.value)


def test_a_spec_must_be_a_yaml_file(tmp_path):
    with pytest.raises(InputError, match=r"must end in \.yaml"):
        load_spec(write(tmp_path / "spec.yml", ""))
    with pytest.raises(InputError, match="does not exist"):
        load_spec(tmp_path / "none.yaml")


def test_overrides_replace_single_values(tmp_path):
    path = write(tmp_path / "spec.yaml", "train: {num_epochs: 3}")
    spec = load_spec(path, ["train.num_epochs=7", "train.optim.lr_steps=[1,2]", "results_dir=a=b"])
    assert spec.train.num_epochs == 7
    assert spec.train.optim.lr_steps == [1, 2]
    assert spec.results_dir == "a=b"
    with pytest.raises(InputError, match=r"command line: train\.lr"):
        load_spec(path, ["train.lr=1"])
    with pytest.raises(InputError, match="key=value"):
        load_spec(path, ["-r", "results"])


def test_results_go_to_the_tasks_own_folder_or_one_below_the_base(tmp_path):
    path = write(tmp_path / "spec.yaml", "results_dir: base\nexport: {results_dir: own}")
    spec = load_spec(path)
    assert results_dir(spec, "train", path) == Path("base/train")
    assert results_dir(spec, "export", path) == Path("own")
    with pytest.raises(InputError, match="results_dir"):
        results_dir(load_spec(write(path, "")), "train", path)


def test_a_task_names_the_key_that_it_misses(tmp_path):
    spec = load_spec(write(tmp_path / "spec.yaml", "model: {input_type: 3d}"))
    with pytest.raises(InputError, match=r"evaluate\.checkpoint"):
        require_key(spec, "evaluate.checkpoint", "spec.yaml")
    assert require_key(spec, "model.input_type", "spec.yaml") == "3d"


WEIGHTS = {"rgb": (Path("resources/base.pth"), 5)}


def render(folder: Path, overrides: dict, native: dict | None = None, **changes) -> None:
    run = replace(Run(RUN, ["ride", "fall"], "val", WEIGHTS, NEWEST, encrypt=False), **changes)
    for task in TASKS:
        own = run if task == "train" or "pretrained" in changes else replace(run, pretrained={})
        keys = keys_of_task(overrides, task)
        where = "config: experiments.tiny.spec"
        render_spec(folder / f"{task}.yaml", task, keys, own, native=native, where=where)


def test_rendered_specs_are_complete_and_name_the_workflows_paths(tmp_path):
    render(tmp_path, {"model": {"input_type": "3d"}, "train": {"optim": {"lr": 0.25}}})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "evaluate.yaml",
        "export.yaml",
        "inference.yaml",
        "train.yaml",
    ]
    schema = OmegaConf.to_container(OmegaConf.structured(specs.Spec))
    del schema["native"]  # nothing of it is set: the specs are TAO's
    for task in TASKS:
        plain = yaml.safe_load((tmp_path / f"{task}.yaml").read_text())
        assert list(plain) == [key for key in schema if key == task or key not in TASKS]
        assert list(plain[task]) == list(schema[task])
        spec = load_spec(tmp_path / f"{task}.yaml")
        assert spec.results_dir == str(RUN)
        assert list(spec.dataset.label_map.items()) == [("ride", 0), ("fall", 1)]
        assert spec.dataset.train_dataset_dir == str(RUN / "data/train")
        assert spec.dataset.val_dataset_dir == str(RUN / "data/val")
        if task != "train":
            assert spec[task].checkpoint == str(RUN / "model.pth")
        assert spec.model.input_type == "3d"
        start = (spec.model.rgb_pretrained_model_path, spec.model.rgb_pretrained_num_classes)
        assert start == (("resources/base.pth", 5) if task == "train" else (None, 0))
    assert load_spec(tmp_path / "train.yaml").train.optim.lr == 0.25
    test_dir = load_spec(tmp_path / "evaluate.yaml").evaluate.test_dataset_dir
    assert test_dir == str(RUN / "data/test")
    flat = load_spec(tmp_path / "inference.yaml").inference.inference_dataset_dir
    assert flat == str(RUN / "data/inference")
    assert load_spec(tmp_path / "export.yaml").export.onnx_file == str(RUN / "export/model.onnx")


def test_a_spec_changes_with_its_own_task_only(tmp_path):
    render(tmp_path / "a", {})
    render(tmp_path / "b", {"evaluate": {"batch_size": 4}, "train": {"num_epochs": 3}})
    changed = [
        task
        for task in TASKS
        if (tmp_path / f"a/{task}.yaml").read_bytes() != (tmp_path / f"b/{task}.yaml").read_bytes()
    ]
    assert changed == ["train", "evaluate"]


def test_inference_sees_the_clips_that_evaluation_scores(tmp_path):
    render(tmp_path / "a", {"evaluate": {"video_eval_mode": "conv", "video_num_segments": 4}})
    inference = load_spec(tmp_path / "a/inference.yaml").inference
    assert (inference.video_inf_mode, inference.video_num_segments) == ("conv", 4)
    own = {"evaluate": {"video_eval_mode": "conv"}, "inference": {"video_inf_mode": "all"}}
    render(tmp_path / "b", own)
    assert load_spec(tmp_path / "b/inference.yaml").inference.video_inf_mode == "all"


def test_a_spec_says_that_it_is_generated_and_whether_it_was_edited(tmp_path):
    render(tmp_path, {"train": {"optim": {"lr": 0.25}}})
    path = tmp_path / "train.yaml"
    text = path.read_text()
    first = text.splitlines()[0]
    assert first.startswith("# Generated by the workflow from its configuration")
    assert "Do not edit" in first
    assert not is_edited(path)
    for edited in (
        text.replace("lr: 0.25", "lr: 0.5"),
        text + "\n",
        text.partition("\n")[2],
        text.replace("# Generated", "# generated"),
        "",
    ):
        path.write_text(edited)
        assert is_edited(path)
    path.write_bytes(b"\xff\xfe")
    assert is_edited(path)
    path.write_text(text)
    assert not is_edited(path)


def keys_with_metadata(schema, prefix=""):
    for item in fields(schema):
        if is_dataclass(item.type):
            yield from keys_with_metadata(item.type, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, item.metadata


@pytest.mark.parametrize(("key", "metadata"), list(keys_with_metadata(specs.Spec)))
def test_every_key_is_explained(key, metadata):
    assert len(metadata["help"]) > 5
    assert metadata["help"].rstrip().endswith((".", ")"))


def test_defaults_are_known_by_name():
    assert specs.default_of("model.backbone") == "resnet_18"
    assert specs.default_of("dataset.augmentation_config.train_crop_type") == "random_crop"
    assert specs.default_of("native.early_stopping.patience") is None
    with pytest.raises(AttributeError):
        specs.default_of("model.bakbone")


def test_rendering_is_deterministic_and_knows_training_from_scratch(tmp_path):
    render(tmp_path / "a", {}, pretrained={}, validation=None)
    render(tmp_path / "b", {}, pretrained={}, validation=None)
    texts = [(tmp_path / name / "train.yaml").read_text() for name in "ab"]
    assert texts[0] == texts[1]
    spec = load_spec(tmp_path / "a" / "train.yaml")
    assert spec.dataset.val_dataset_dir is None
    assert (spec.model.rgb_pretrained_model_path, spec.model.rgb_pretrained_num_classes) == (
        None,
        0,
    )


def test_every_stream_has_its_own_weights(tmp_path):
    weights = {"rgb": (Path("rgb.pth"), 5), "of": (Path("of.pth"), 2)}
    render(tmp_path / "a", {"model": {"model_type": "joint"}}, pretrained=weights)
    model = load_spec(tmp_path / "a" / "train.yaml").model
    assert (model.rgb_pretrained_model_path, model.rgb_pretrained_num_classes) == ("rgb.pth", 5)
    assert (model.of_pretrained_model_path, model.of_pretrained_num_classes) == ("of.pth", 2)
    assert model.joint_pretrained_model_path is None
    render(tmp_path / "b", {}, pretrained={"joint": (Path("joint.pth"), 2)})
    model = load_spec(tmp_path / "b" / "train.yaml").model
    assert model.joint_pretrained_model_path == "joint.pth"
    assert (model.rgb_pretrained_model_path, model.rgb_pretrained_num_classes) == (None, 0)


def test_encryption_names_the_key_without_holding_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TAO_KEY", "a-secret")
    render(tmp_path, {}, encrypt=True)
    for task in TASKS:
        text = (tmp_path / f"{task}.yaml").read_text()
        assert "encryption_key: ${oc.env:TAO_KEY,nvidia_tao}\n" in text and "a-secret" not in text
        assert load_spec(tmp_path / f"{task}.yaml").encryption_key == "a-secret"
    render(tmp_path, {})
    assert load_spec(tmp_path / "train.yaml").encryption_key is None


@pytest.mark.parametrize("key", SET_BY_WORKFLOW)
def test_keys_that_the_workflow_owns_are_refused(key):
    overrides: dict = {}
    inner = overrides
    *parents, name = key.split(".")
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[name] = "mine"
    with pytest.raises(InputError, match=f"experiments.tiny.spec: {key}"):
        check_overrides(overrides, "experiments.tiny.spec")


def test_a_wrong_override_names_the_configs_key(tmp_path):
    with pytest.raises(InputError, match=r"experiments\.tiny\.spec: train\.optim\.rate"):
        render(tmp_path, {"train": {"optim": {"rate": 1}}})


def test_the_native_engines_own_settings_reach_only_the_tasks_that_depend_on_them(tmp_path):
    native = {"ema_decay": 0.99, "test_segments": 3}
    defaults = {"precision": "tao", "lr_schedule": "tao", "cuda_graphs": True}
    defaults["loader_timeout"] = 600
    defaults["early_stopping"] = {"patience": None, "monitor": "val_loss"}
    defaults["lr_factors"] = asdict(RateFactors())
    for task in TASKS:
        own = native_keys.keys_of_task(native, task)
        render(tmp_path / task, {}, native=own)
        plain = yaml.safe_load((tmp_path / task / f"{task}.yaml").read_text())
        assert {key: value for key, value in plain.get("native", {}).items() if value} == {
            "train": defaults | {"ema_decay": 0.99},
            "evaluate": defaults | {"test_segments": 3},
            "export": {},
        }.get(task.replace("inference", "evaluate"))


@pytest.mark.parametrize(
    ("native", "message"),
    [
        (
            {"ema_decya": 0.9},
            r"native engine has no such[\s\S]*native\.ema_decya[\s\S]*did you mean 'ema_decay'",
        ),
        ({"precision": "bf61"}, r"native\.precision[\s\S]*allowed: tao, fp32, tf32, bf16, fp16"),
        ({"ema_decay": 1}, r"native\.ema_decay[\s\S]*0 to 0\.999999"),
        ({"early_stopping": {"patience": 0}}, r"early_stopping\.patience[\s\S]*1 or more"),
        ({"early_stopping": {"monitor": "loss"}}, r"early_stopping\.monitor[\s\S]*val_loss"),
        ({"warmup_epochs": 2}, r"native\.warmup_epochs[\s\S]*lr_schedule: cosine"),
        ({"lr_schedule": "cosine", "warmup_epochs": 10}, "leave epochs after the warm-up"),
        ({"lr_schedule": "cosine"}, "cosine with train.optim.lr_scheduler: AutoReduce"),
        ({"stop_after": 0}, r"native\.stop_after[\s\S]*1 or more"),
        ({"stop_after": 2}, r"checkpoint_interval[\s\S]*1 to 2 \(native\.stop_after\)"),
        ({"test_segments": 3}, "3 with evaluate.video_eval_mode: conv"),
    ],
)
def test_settings_of_the_native_engine_that_cannot_work(native, message):
    overrides = {}
    if "AutoReduce" in message:
        overrides["train"] = {"optim": {"lr_scheduler": "AutoReduce"}}
    if "checkpoint_interval" in message:
        overrides["train"] = {"checkpoint_interval": 3}
    if "conv" in message:
        overrides["evaluate"] = {"video_eval_mode": "conv"}
    with pytest.raises(InputError, match=message):
        check_overrides(overrides, "config", native)


def test_reading_specs_needs_no_pytorch():
    code = "import sys, actionrec.spec; sys.exit('torch' in sys.modules)"
    scripts = REPOSITORY / "workflow" / "scripts"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(scripts)})
