"""The configuration: what is accepted, and what the messages say."""

import copy
import re
from pathlib import Path

import pytest
import yaml

from actionrec import config as settings
from actionrec.errors import InputError

CONFIGS = sorted((Path(__file__).parents[1] / "config").glob("*.yaml"))
SCHEMA = Path(__file__).parents[1] / "workflow/schemas/config.schema.yaml"


@pytest.fixture
def demo(repository):
    return yaml.safe_load((repository / "config/config.yaml").read_text())


def refusal(config) -> str:
    with pytest.raises(InputError) as caught:
        settings.check(config, SCHEMA, "config/config.yaml")
    return str(caught.value)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_accepted(path):
    settings.check(yaml.safe_load(path.read_text()), SCHEMA, path.name)


def test_a_misspelt_key_is_named_with_the_right_one(demo):
    demo["experiments"]["rgb_3d_ptm"]["pretraned"] = demo["experiments"]["rgb_3d_ptm"].pop(
        "pretrained"
    )
    message = refusal(demo)
    assert "experiments.rgb_3d_ptm" in message
    assert "'pretraned'" in message
    assert "did you mean 'pretrained'?" in message


def test_a_missing_key_is_named(demo):
    del demo["dataset"]["classes"]
    message = refusal(demo)
    assert "Missing configuration key 'classes'" in message
    assert "config/config.yaml, dataset" in message


def test_a_wrong_value_is_shown_with_the_allowed_ones(demo):
    demo["frames"] = {"format": "pngg"}
    message = refusal(demo)
    assert "frames.format" in message
    assert "pngg" in message
    assert "png, jpg" in message


def test_a_class_that_the_dataset_lacks_is_refused(demo):
    demo["experiments"]["rgb_3d_ptm"]["classes"] = ["fall_flor", "ride_bike"]
    message = refusal(demo)
    assert "experiments.rgb_3d_ptm.classes" in message
    assert "did you mean 'fall_floor'?" in message


def test_weights_from_an_unknown_experiment_are_refused(demo):
    demo["experiments"]["rgb_3d_ptm"]["pretrained"] = {"experiment": "rgb_3d_bse"}
    assert "did you mean 'rgb_3d_base'?" in refusal(demo)


def test_experiments_in_a_circle_are_refused(demo):
    demo["experiments"]["rgb_3d_base"] = {"pretrained": {"experiment": "rgb_3d_ptm"}}
    assert "rgb_3d_base <- rgb_3d_ptm <- rgb_3d_base" in refusal(demo)


@pytest.mark.parametrize("name", ["../outside", "a/b", ".hidden", "tab\tname", "brace{x}"])
def test_class_names_cannot_leave_their_folder(demo, name):
    demo["dataset"]["classes"].append(name)
    assert "dataset.classes" in refusal(demo)


def test_a_folder_needs_a_path_and_no_official_splits(demo):
    demo["dataset"] |= {"name": "mine", "source": "folder"}
    assert "dataset.path" in refusal(demo)
    demo["dataset"]["path"] = "videos"
    assert "no official split files" in refusal(demo)
    demo["splits"]["method"] = "fraction"
    settings.check(demo, SCHEMA, "mine.yaml")


def test_only_the_demo_is_called_demo(demo):
    demo["dataset"]["name"] = "other"
    assert "dataset.name" in refusal(demo)


def test_an_experiment_adds_to_the_shared_spec_and_leaves_it_alone(demo):
    before = copy.deepcopy(demo)
    keys = settings.overrides(demo, "rgb_3d_ptm")
    own = demo["experiments"]["rgb_3d_ptm"]["spec"]["train"]
    assert keys["train"]["num_epochs"] == own["num_epochs"]
    assert keys["model"] == demo["spec"]["model"]
    assert demo == before


def test_class_patterns_match_whole_names_only():
    pattern = settings.alternatives(["sit", "situp", "a.b"])
    assert re.fullmatch(pattern, "situp")
    assert re.fullmatch(pattern, "a.b")
    assert not re.fullmatch(pattern, "aXb")


def test_every_key_is_documented(repository):
    schema = yaml.safe_load(SCHEMA.read_text())
    manual = (repository / "config/README.md").read_text()
    for section, content in schema["properties"].items():
        assert f"## {section}" in manual
        for key in content.get("properties", {}):
            assert re.search(rf"`{key}[`.]", manual), f"{section}.{key} is not in config/README.md"


def test_flow_is_needed_by_the_networks_that_see_it(demo):
    assert not settings.needs_flow(demo, "rgb_3d_base")
    demo["experiments"]["rgb_3d_ptm"]["spec"]["model"] = {"model_type": "joint"}
    assert settings.needs_flow(demo, "rgb_3d_ptm")
    assert not settings.needs_flow(demo, "rgb_3d_base")
    demo["spec"]["model"]["model_type"] = "of"
    assert settings.needs_flow(demo, "rgb_3d_base")
    assert not settings.needs_flow({**demo, "spec": {}, "experiments": {"x": None}}, "x")


@pytest.mark.parametrize(
    ("flow", "key", "allowed"),
    [
        ({"method": "dsi"}, "flow.method", "dis, farneback, tvl1, flo"),
        ({"preset": "slow"}, "flow.preset", "ultrafast, fast, medium"),
        ({"mapping": "minmax"}, "flow.mapping", "max_rad, fixed"),
        ({"mehtod": "dis"}, "'mehtod'", "did you mean 'method'?"),
        ({"method": "flo"}, "flow.path", "flow.method to dis"),
    ],
)
def test_flow_settings_that_cannot_work(demo, flow, key, allowed):
    demo["flow"] = flow
    message = refusal(demo)
    assert key in message
    assert allowed in message


@pytest.mark.parametrize(
    ("dataset", "others", "message"),
    [
        ({"source": "folder", "path": "x"}, {"splits": {"method": "given"}}, "Only a table"),
        ({"source": "table", "path": "x"}, {"splits": {"numbers": [1, 2]}}, "one split, number 1"),
        ({"source": "table", "path": "x"}, {"splits": {"method": "official"}}, "A table has no"),
        ({"source": "table"}, {}, "needs dataset.path"),
        ({"source": "table", "path": {"trian": "x"}}, {}, "dataset.path"),
        ({"source": "table", "path": "x", "skip": ["mising"]}, {}, "missing, other_labels"),
        ({"source": "folder", "path": {"train": "x"}}, {}, "Only a dataset with `source: table`"),
        ({"source": "shad", "path": "x"}, {}, "walk, fall, sits, squa, bend"),
        (
            {"source": "shad", "path": "x", "classes": ["walk", "bend"]},
            {"flow": {"method": "flo", "path": "x"}},
            "dis, farneback, tvl1",
        ),
    ],
)
def test_sources_that_cannot_work(demo, dataset, others, message):
    classes = dataset.get("classes", ["walk", "ride_bike"])
    demo["dataset"] = {"name": "mine", "classes": classes, **dataset}
    demo |= {"splits": {}, "experiments": {"x": None}} | others
    assert message in refusal(demo)
