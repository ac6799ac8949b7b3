"""Settings that change no result: they are marked, tracked by nothing, and reach the next run."""

from pathlib import Path

import pytest
import yaml

from actionrec.spec import dotted_keys, relevance
from actionrec.spec.load import load_spec
from actionrec.spec.render import Run, check_overrides, is_edited, render_spec

MARKED = {
    "dataset.workers": (8, 2),
    "evaluate.batch_size": (1, 4),
    "inference.batch_size": (1, 4),
    "export.gpu_id": (0, 1),
    "native.cuda_graphs": (True, False),
    "native.loader_timeout": (600, 60),
    "wandb.project": ("TAO Toolkit", "mine"),
}
TASK_OF = {"evaluate": "evaluate", "inference": "inference", "export": "export"}


def render(folder: Path, task: str, overrides, toolkit="7.3.0", **options) -> Path:
    path = folder / "specs" / f"{task}.yaml"
    run = Run(Path("results/tiny/split1"), ["a", "b"], "val", {}, toolkit, encrypt=False)
    render_spec(path, task, overrides, run, **options)
    return path


def test_the_marked_keys_are_those_that_change_no_result():
    assert set(relevance.irrelevant_keys()) == {*MARKED} - {"wandb.project"} | {"wandb"}
    assert not relevance.is_relevant("wandb.tags")
    assert relevance.is_relevant("dataset.batch_size")
    assert relevance.is_relevant("dataset.workers_more")


@pytest.mark.parametrize("key", MARKED)
def test_a_marked_key_is_tracked_by_nothing(key, tmp_path):
    """It is in no param, in no fingerprint and not among an experiment's settings."""
    default, other = MARKED[key]
    section, _, _ = key.partition(".")
    task = TASK_OF.get(section, "train")
    keys = dotted_keys.nested({key: other, "train.optim.lr": 0.1})
    native = keys.pop("native", {})
    assert relevance.relevant({**keys}, "7.3.0") == {"train": {"optim": {"lr": 0.1}}}
    assert relevance.relevant(native, "7.3.0", "native.") == {}
    spec = check_overrides(keys, "test", native)
    assert relevance.settings(spec) == {"train.optim.lr": 0.1}
    with_default = render(tmp_path / "default", task, {}, current={key: default})
    with_other = render(tmp_path / "other", task, {}, current={key: other})
    assert with_default.read_text() != with_other.read_text()
    digests = {relevance.digest(path, task, "7.3.0") for path in (with_default, with_other)}
    assert len(digests) == 1
    tracked = render(tmp_path / "lr", task, {"model": {"rgb_seq_length": 5}})
    assert relevance.digest(tracked, task, "7.3.0") not in digests


@pytest.mark.parametrize("key", MARKED)
def test_its_current_value_reaches_the_task_and_leaves_the_spec_file_alone(key, tmp_path):
    default, other = MARKED[key]
    task = TASK_OF.get(key.partition(".")[0], "train")
    spec = render(tmp_path, task, {"train": {"optim": {"lr": 0.1}}})
    before = spec.read_text()
    copy = tmp_path / "now.yaml"

    current = relevance.current_values(dotted_keys.nested({key: other}))
    assert relevance.with_current_values(spec, copy, current, task, "7.3.0") == copy
    loaded = load_spec(copy)
    assert dict(dotted_keys.leaves(yaml.safe_load(copy.read_text())))[key] == other
    assert spec.read_text() == before and not is_edited(spec)
    assert task != "train" or loaded.train.optim.lr == 0.1

    current = relevance.current_values({})
    assert current[key] == default
    assert relevance.with_current_values(spec, copy, current, task, "7.3.0") == spec
    assert not copy.exists(), "nothing is left of a value that was taken back"


@pytest.mark.parametrize(
    ("toolkit", "task", "key", "name"),
    [
        ("4.0.1", "train", "dataset.workers", "dataset_config.workers"),
        ("4.0.1", "evaluate", "evaluate.batch_size", "batch_size"),
        ("5.0.0", "export", "export.gpu_id", "export.gpu_id"),
        ("7.3.0", "inference", "inference.batch_size", "inference.batch_size"),
    ],
)
def test_each_toolkit_has_its_own_name_for_a_key(tmp_path, toolkit, task, key, name):
    spec = render(tmp_path / "a", task, {}, toolkit)
    current = relevance.current_values(dotted_keys.nested({key: 3}))
    copy = tmp_path / "now.yaml"
    assert relevance.with_current_values(spec, copy, current, task, toolkit) == copy
    assert dict(dotted_keys.leaves(yaml.safe_load(copy.read_text())))[name] == 3
    assert relevance.digest(spec, task, toolkit) == relevance.digest(copy, task, toolkit)


def test_keys_that_a_toolkit_does_not_have_are_not_written(tmp_path):
    spec = render(tmp_path, "train", {}, "4.0.1")
    current = relevance.current_values({"wandb": {"project": "mine"}})
    assert relevance.with_current_values(spec, tmp_path / "x", current, "train", "4.0.1") == spec


def test_neither_order_nor_a_written_default_counts():
    one = {"train": {"seed": 3, "optim": {"lr": 0.1, "momentum": 0.9}}, "model": {"num_fc": 5}}
    other = {"model": {"num_fc": 5}, "train": {"optim": {"lr": 0.1}, "seed": 3}}
    assert list(dotted_keys.leaves(relevance.relevant(one, "7.3.0"))) == list(
        dotted_keys.leaves(relevance.relevant(other, "7.3.0"))
    )


def test_a_default_counts_where_it_is_a_choice():
    """Old toolkits have defaults of their own; inference does as evaluation unless told."""
    momentum = {"train": {"optim": {"momentum": 0.9}}}
    assert relevance.relevant(momentum, "4.0.1") == momentum
    center = {"inference": {"video_inf_mode": "center"}}
    assert relevance.relevant(center, "7.3.0") == center


def test_a_generated_spec_knows_whether_it_was_edited(tmp_path):
    spec = render(tmp_path, "train", {})
    assert not is_edited(spec)
    spec.write_text(spec.read_text().replace("seed: 1234", "seed: 1"))
    assert is_edited(spec)
