"""Sweeps become plain experiments with readable names, before any rule sees them."""

import copy

import pytest
import yaml

from actionrec.config import sweeps
from actionrec.config.load import checked
from actionrec.errors import InputError

SWEEP = {"train.optim.lr": [0.001, 0.01], "model.backbone": ["resnet_18", "resnet_34"]}


@pytest.fixture
def demo(repository):
    return yaml.safe_load((repository / "config/config.yaml").read_text())


def check(config):
    checked(config, [])


def test_each_combination_is_an_experiment_in_the_order_of_the_values():
    own = {"classes": ["a", "b"], "spec": {"train": {"num_epochs": 3, "optim": {"momentum": 0.8}}}}
    given = {"plain": None, "rgb": {**own, "sweep": SWEEP}}
    before = copy.deepcopy(given)
    plain = sweeps.expand(given)
    assert list(plain) == [
        "plain",
        "rgb-lr_0.001-backbone_resnet_18",
        "rgb-lr_0.001-backbone_resnet_34",
        "rgb-lr_0.01-backbone_resnet_18",
        "rgb-lr_0.01-backbone_resnet_34",
    ]
    assert plain["rgb-lr_0.01-backbone_resnet_34"] == {
        "classes": ["a", "b"],
        "spec": {
            "train": {"num_epochs": 3, "optim": {"momentum": 0.8, "lr": 0.01}},
            "model": {"backbone": "resnet_34"},
        },
    }
    assert given == before
    assert sweeps.expand(plain) == plain


def test_names_tell_keys_of_one_ending_apart_and_hold_no_odd_letters():
    sweep = {
        "dataset.batch_size": [8],
        "evaluate.batch_size": [1],
        "train.optim.lr_steps": [[5, 10]],
        "train.cudnn.benchmark": [True],
        "model.joint_pretrained_model_path": ["../a b/c"],
    }
    (name,) = sweeps.expand({"x": {"sweep": sweep}})
    assert name == (
        "x-dataset.batch_size_8-evaluate.batch_size_1-lr_steps_5_10-benchmark_true"
        "-joint_pretrained_model_path_.._a_b_c"
    )


@pytest.mark.parametrize("experiments", [{"x": {"sweep": {"train.seed": [1, 2, 1]}}}, None])
def test_two_experiments_of_one_name_are_refused(experiments):
    experiments = experiments or {"x-seed_1": None, "x": {"sweep": {"train.seed": [1, 2]}}}
    with pytest.raises(InputError, match=r"(?s)the same name.*experiments\.x.*x-seed_1"):
        sweeps.expand(experiments)


def test_weights_come_from_one_experiment_of_a_sweep_not_from_all(demo):
    demo["experiments"]["rgb_3d_base"] = {"sweep": SWEEP}
    with pytest.raises(InputError) as error:
        check(demo)
    assert "a sweep's experiments have names of their own" in str(error.value)
    assert "allowed: rgb_3d_base-lr_0.001-backbone_resnet_18, rgb_3d_base-lr" in str(error.value)
    demo["experiments"]["rgb_3d_ptm"]["pretrained"]["experiment"] = (
        "rgb_3d_base-lr_0.01-backbone_resnet_18"
    )
    check(demo)


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ({"train.optim.lr": 0.1}, "experiments.x.sweep.train.optim.lr"),
        ({"train.optim.lr": []}, "experiments.x.sweep.train.optim.lr"),
        ({"lr": [0.1]}, "experiments.x.sweep"),
        ({}, "experiments.x.sweep"),
    ],
)
def test_what_is_no_sweep_is_refused_with_its_place(demo, sweep, said):
    demo["experiments"]["x"] = {"sweep": sweep}
    with pytest.raises(InputError) as error:
        check(demo)
    assert said in str(error.value)
