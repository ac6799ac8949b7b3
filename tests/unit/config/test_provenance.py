"""The record of what an experiment's results depend on says which keys have changed."""

import copy

import pytest
import yaml

from actionrec.config import provenance

CONFIG = {
    "dataset": {"name": "d", "source": "folder", "path": "/v", "classes": ["a", "b", "c"]},
    "frames": {"format": "png", "tolerate": 0, "encoder": "fpng"},
    "flow": {"method": "dis"},
    "splits": {"method": "fraction", "seed": 1, "links": "symlink", "numbers": [1]},
    "tao": {"runner": "native", "container": {"shm_size": "16g"}},
    "spec": {},
    "native": {},
    "experiments": {"x": {"classes": ["a", "b"], "pretrained": None, "spec": {}}},
}
X = CONFIG["experiments"]["x"]
SPEC = {"train.optim.lr": 0.1, "native.precision": "bf16"}


def record(folder, config=CONFIG, spec=SPEC):
    file = folder / "settings.yaml"
    file.write_text(yaml.safe_dump(provenance.settings(config, "x", spec)))
    return file


def changed(**sections):
    config = copy.deepcopy(CONFIG)
    for section, values in sections.items():
        config[section].update(values)
    return config


@pytest.mark.parametrize(
    ("config", "spec", "said"),
    [
        (CONFIG, {**SPEC, "train.optim.lr": 0.2}, ["spec.train.optim.lr: 0.1 -> 0.2"]),
        (CONFIG, {"train.optim.lr": 0.1}, ["native.precision: bf16 -> (default)"]),
        (changed(splits={"seed": 2}), SPEC, ["splits.seed: 1 -> 2"]),
        (changed(tao={"runner": "docker"}), SPEC, ["tao.runner: native -> docker"]),
        (
            changed(experiments={"x": {**X, "classes": ["b", "a"]}}),
            SPEC,
            ["classes: [a, b] -> [b, a]"],
        ),
        (
            changed(experiments={"x": {**X, "pretrained": {"path": "w"}}}),
            SPEC,
            ["pretrained: (default) -> {rgb: {path: w}}"],
        ),
        (changed(dataset={"path": "/w"}), SPEC, ["dataset.path: /v -> /w"]),
    ],
)
def test_each_change_is_told_with_key_and_values(tmp_path, config, spec, said):
    now = provenance.settings(config, "x", spec)
    assert provenance.changes(record(tmp_path), now) == said


@pytest.mark.parametrize(
    "sections",
    [
        {"dataset": {"classes": ["a", "b", "c", "d"], "keep_archives": False}},
        {"frames": {"tolerate": 3, "encoder": "cv2"}},
        {"splits": {"links": "copy", "numbers": [1, 2]}},
        {"tao": {"container": {"shm_size": "1g"}, "docker": "podman"}},
        {"flow": {"method": "tvl1"}},
    ],
)
def test_what_changes_no_result_of_the_experiment_is_not_told(tmp_path, sections):
    now = provenance.settings(changed(**sections), "x", SPEC)
    assert provenance.changes(record(tmp_path), now) == []


def test_flow_counts_where_the_network_sees_it(tmp_path):
    sees = {**CONFIG, "spec": {"model": {"model_type": "of"}}}
    other = {**sees, "flow": {"method": "tvl1"}}
    now = provenance.settings(other, "x", SPEC)
    assert provenance.changes(record(tmp_path, sees), now) == ["flow.method: dis -> tvl1"]


@pytest.mark.parametrize("content", [None, "", "[1]", "a: [", "\0"])
def test_without_a_record_that_can_be_read_nothing_is_said(tmp_path, content):
    file = tmp_path / "settings.yaml"
    if content is not None:
        file.write_text(content)
    assert provenance.changes(file, provenance.settings(CONFIG, "x", SPEC)) == []
