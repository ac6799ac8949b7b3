"""The keys of the configuration: defaults are filled in, once and for all, and are written once."""

import pytest
import yaml

from actionrec.config import queries
from actionrec.config.load import checked
from helpers import REPOSITORY

CONFIGS = sorted((REPOSITORY / "config").glob("*.yaml"))
SMALLEST = {
    "dataset": {"name": "mine", "source": "folder", "path": "videos", "classes": ["a", "b"]},
    "experiments": {"x": None},
}


def complete(**sections) -> dict:
    return checked({**SMALLEST, **sections}, [])[0]


def test_every_key_has_a_value():
    config = complete()
    assert config["frames"] == {
        "store": "images",
        "check": "full",
        "format": "png",
        "size": "source",
        "encoder": "fpng",
        "quality": 95,
        "interlaced": "deinterlace",
        "tolerate": 0,
        "chunk": 1000,
    }
    assert config["flow"] == {
        "method": "dis",
        "preset": "medium",
        "mapping": "max_rad",
        "path": None,
    }
    assert config["splits"] == {
        "method": "fraction",
        "numbers": [1],
        "test_fraction": 0.3,
        "validation": 0.2,
        "seed": 1234,
        "by": None,
        "links": "symlink",
    }
    assert config["tao"] == {
        "runner": "native",
        "toolkit": "7.3.0",
        "image": None,
        "docker": "docker",
        "container": {
            "shm_size": "16g",
            "ulimits": {"memlock": -1, "stack": 67108864},
            "mounts": [],
            "options": [],
        },
        "checkpoint": "best",
        "encrypt": False,
    }
    assert config["export"] == {
        "etlt": "auto",
        "softmax": False,
        "precision": "fp32",
        "keep": 0.95,
        "verify": True,
        "margin": 0.001,
        "deepstream": None,
        "triton": None,
        "tensorrt": None,
    }
    assert config["predict"] == {
        "videos": None,
        "experiments": None,
        "annotate": False,
        "chunk": 100,
    }
    assert config["experiments"] == {
        "x": {"classes": ["a", "b"], "pretrained": None, "spec": {}, "native": {}}
    }


@pytest.mark.parametrize(
    ("dataset", "method"),
    [
        ({"source": "folder"}, "fraction"),
        ({"source": "folder", "archives": {"splits": {"path": "lists"}}}, "official"),
        ({"source": "table"}, "given"),
        ({"source": "shad"}, "fraction"),
        ({"source": "demo", "name": "demo"}, "official"),
        (
            {
                "source": "archives",
                "archives": {"videos": {"path": "a.rar"}, "splits": {"path": "b.rar"}},
            },
            "official",
        ),
    ],
)
def test_the_source_decides_how_videos_are_divided_by_default(dataset, method):
    config = complete(dataset={**SMALLEST["dataset"], **dataset})
    assert config["splits"]["method"] == method


@pytest.mark.parametrize(("toolkit", "encrypt"), [("4.0.1", True), ("5.0.0", False)])
def test_the_toolkit_decides_whether_checkpoints_are_encrypted_by_default(toolkit, encrypt):
    tao = {"runner": "direct", "toolkit": toolkit}
    assert complete(tao=tao)["tao"]["encrypt"] is encrypt


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_complete_configuration_is_complete(path):
    config, specs = checked(yaml.safe_load(path.read_text()), [path])
    again, same_specs = checked(config, [])
    assert again == config
    assert same_specs == specs
    assert list(specs) == list(config["experiments"])


def test_what_the_user_wrote_stays_as_it_is(tmp_path):
    written = {**SMALLEST, "frames": {"quality": 80}}
    config, _ = checked(written, [])
    assert written == {**SMALLEST, "frames": {"quality": 80}}
    config["frames"]["quality"] = 1
    config["tao"]["container"]["mounts"].append("/data")
    assert complete()["tao"]["container"]["mounts"] == []


def test_spec_values_and_gpus_are_the_users_or_taos():
    config = complete(
        spec={"train": {"gpu_ids": [0, 1]}, "evaluate": {"num_gpus": 3}},
        experiments={"x": {"spec": {"model": {"backbone": "resnet_34"}}}, "y": None},
    )
    assert queries.spec_value(config, "x", "model.backbone") == "resnet_34"
    assert queries.spec_value(config, "y", "model.backbone") == "resnet_18"
    assert queries.gpus(config, "x", "train") == 2
    assert queries.gpus(config, "x", "evaluate") == 3
    assert queries.gpus(config, "x", "inference") == 1


def test_a_job_asks_for_gpus_or_for_machines_with_gpus():
    config = complete(
        spec={"train": {"num_gpus": 2, "num_nodes": 3}, "evaluate": {"num_gpus": 2}},
        experiments={"x": None},
    )

    def asked(task):
        names = ("gpu", "nodes", "gres", "mpi", "tasks", "tasks_per_gpu")
        values = {name: queries.job_resource(config, "x", task, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    assert asked("evaluate") == {"gpu": 2, "nodes": 1}
    several = {"nodes": 3, "gres": "gpu:2", "mpi": "srun", "tasks": 3, "tasks_per_gpu": 0}
    assert asked("train") == several
    assert queries.gpus(config, "x", "train") == 6


def test_a_folder_of_all_datasets_is_no_name_of_one():
    with pytest.raises(Exception, match="folder that all datasets share"):
        complete(dataset={**SMALLEST["dataset"], "name": "pretrained"})
