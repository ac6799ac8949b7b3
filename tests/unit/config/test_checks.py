"""The configuration: what is accepted, and what the messages say."""

import copy
import re

import pytest
import yaml

from actionrec.config import queries
from actionrec.config.load import checked
from actionrec.errors import InputError
from helpers import REPOSITORY

CONFIGS = sorted((REPOSITORY / "config").glob("*.yaml"))
DEMO = REPOSITORY / "config/config.yaml"


@pytest.fixture
def demo(repository):
    return yaml.safe_load((repository / "config/config.yaml").read_text())


def complete(config) -> dict:
    """Return a configuration as the rules see it, with every default filled in."""
    return checked(config, [])[0]


def refusal(config) -> str:
    with pytest.raises(InputError) as caught:
        checked(config, [DEMO])
    return str(caught.value)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_accepted(path):
    checked(yaml.safe_load(path.read_text()), [path])


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
    assert re.search(r"in:      .*config/config\.yaml:\d+, dataset\n", message)


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


def two_streams(demo, **pretrained):
    """Return the demo with an experiment of each network; the joint one has `pretrained`."""
    networks = {"rgb": "rgb", "of": "of", "joint": "joint", "both": "joint"}
    demo["experiments"] = {
        name: {"spec": {"model": {"model_type": model_type}}}
        for name, model_type in networks.items()
    }
    demo["experiments"]["both"]["pretrained"] = pretrained or None
    return demo


def test_each_stream_of_a_joint_network_has_its_source(demo):
    config = two_streams(demo, rgb={"experiment": "rgb"}, of={"experiment": "of"})
    config = complete(config)
    assert queries.base_experiments(config, "both") == {"rgb": "rgb", "of": "of"}
    assert queries.pretrained_classes(config, "both") == {"rgb": 5, "of": 5}
    config = complete(two_streams(demo, rgb={"path": "rgb.pth"}, of=None))
    assert queries.pretrained(config, "both") == {"rgb": {"path": "rgb.pth"}}
    assert queries.pretrained_classes(config, "both") == {"rgb": None}
    config = complete(two_streams(demo, experiment="joint"))
    assert queries.base_experiments(config, "both") == {"joint": "joint"}


@pytest.mark.parametrize(
    ("pretrained", "message"),
    [
        ({"experiment": "rgb"}, r"pretrained.experiment[\s\S]*rgb: model_type rgb"),
        ({"of": {"experiment": "joint"}}, r"pretrained.of.experiment[\s\S]*model_type joint"),
        ({"rgb": {"experiment": "of"}}, r"pretrained.rgb.experiment[\s\S]*model_type of"),
        ({"torchvision": "resnet18"}, r"joint, resnet_18[\s\S]*each stream its own"),
        ({"of": {"torchvision": "resnet34"}}, r"resnet34, for resnet_18[\s\S]*resnet_34"),
        ({"of": {"torchvision": "alexnet"}}, "{torchvision: r3d_18, resnet18"),
        ({"of": {"experiment": "off"}}, "did you mean 'of'"),
        ({"rgb": {"experiment": "rgb"}, "path": "a.pth"}, "for a joint network"),
        ({"rgb": {"path": ""}}, "for a joint network"),
        ({"flow": {"path": "a.pth"}}, "for a joint network"),
    ],
)
def test_sources_that_do_not_fit_a_joint_network_are_refused(demo, pretrained, message):
    assert re.search(message, refusal(two_streams(demo, **pretrained)))


def test_weights_of_another_network_or_number_of_classes_are_refused_when_planning(demo):
    config = two_streams(demo, experiment="joint")
    config["experiments"]["joint"]["classes"] = ["walk", "run"]
    assert "joint has 2 classes, both 5" in refusal(config)
    config["experiments"]["joint"]["spec"]["model"]["backbone"] = "resnet_34"
    assert "joint: backbone resnet_34" in refusal(config)
    config = two_streams(demo)
    config["experiments"]["rgb"]["pretrained"] = {"rgb": {"experiment": "of"}}
    assert "Only a joint network" in refusal(config)
    config["experiments"]["rgb"]["pretrained"] = {"experiment": "of"}
    assert "model_type of" in refusal(config)
    config["spec"]["model"]["input_type"] = "2d"
    complete(config)


@pytest.mark.parametrize("name", ["../outside", "a/b", ".hidden", "tab\tname", "brace{x}"])
def test_class_names_cannot_leave_their_folder(demo, name):
    demo["dataset"]["classes"].append(name)
    assert "dataset.classes" in refusal(demo)


def test_a_folder_needs_a_path_and_no_official_splits(demo):
    demo["dataset"] |= {"name": "mine", "source": "folder"}
    assert "dataset.path" in refusal(demo)
    demo["dataset"]["path"] = "videos"
    assert "The official splits need their split files" in refusal(demo)
    demo["dataset"]["archives"] = {"splits": {"path": "lists"}}
    assert complete({**demo, "splits": {}})["splits"]["method"] == "official"
    del demo["dataset"]["archives"]
    demo["splits"]["method"] = "fraction"
    complete(demo)


@pytest.fixture
def hmdb51(repository):
    return yaml.safe_load((repository / "config/hmdb51_2class.yaml").read_text())


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "it has no `file`"),
        ({"file": "a.rar"}, "it has no `urls`"),
        ({"file": "../a.rar", "urls": ["x"]}, "dataset.archives.videos.file"),
        ({"file": "a.7z", "urls": ["x"]}, "dataset.archives.videos.file"),
        ({"file": "a.rar", "urls": ["x"], "sha256": "abc"}, "dataset.archives.videos.sha256"),
        ({"file": "a.rar", "ulrs": ["x"]}, "did you mean 'urls'?"),
    ],
)
def test_archives_that_cannot_be_found(hmdb51, entry, message):
    hmdb51["dataset"]["archives"]["videos"] = entry
    assert message in refusal(hmdb51)


def test_archives_source_without_videos(hmdb51):
    del hmdb51["dataset"]["archives"]["videos"]
    assert "needs dataset.archives.videos" in refusal(hmdb51)


def test_archives_that_are_here_already(hmdb51, tmp_path):
    """A path takes the place of the addresses; the checksum of the story still holds."""
    sha = hmdb51["dataset"]["archives"]["videos"]["sha256"]
    hmdb51["dataset"]["archives"]["videos"]["path"] = "/data/my copy.rar"
    hmdb51["dataset"]["archives"]["splits"] = {"path": str(tmp_path)}
    assert queries.archives(complete(hmdb51)) == {
        "videos": {"file": "hmdb51_org.rar", "urls": ["/data/my copy.rar"], "sha256": sha},
        "splits": {"folder": str(tmp_path), "sha256": None},
    }
    hmdb51["dataset"]["archives"]["videos"] = {"path": "/data/set.tar.gz", "sha256": None}
    assert queries.archives(complete(hmdb51))["videos"]["file"] == "videos.gz"
    hmdb51["dataset"]["archives"]["videos"]["path"] = str(tmp_path)
    assert "set dataset.source: folder" in refusal(hmdb51)
    hmdb51["dataset"]["archives"]["videos"]["path"] = "resources/hmdb51/archives/videos.rar"
    assert "leave `path` out" in refusal(hmdb51)


@pytest.mark.parametrize(
    "pair", [("Clap", "clap"), ("STRASSE", "Straße"), ("caf\u00e9", "cafe\u0301")]
)
def test_classes_that_look_alike(hmdb51, pair):
    hmdb51["dataset"]["classes"] += pair
    message = refusal(hmdb51)
    assert "Two classes differ in capitals or in how accents are stored" in message
    assert "dataset.classes" in message


@pytest.mark.parametrize("name", ["play guitar", "Übung", "跑步", "go(left)!", "a+b [c]"])
def test_classes_of_any_script_with_spaces(hmdb51, name):
    hmdb51["dataset"]["classes"].append(name)
    complete(hmdb51)


@pytest.mark.parametrize(("story", "classes"), [("hmdb51_full", 51), ("ucf101", 101)])
def test_the_standard_protocols(repository, story, classes):
    """All training videos train and the last epoch counts, so the test side chooses nothing."""
    config = complete(yaml.safe_load((repository / f"config/{story}.yaml").read_text()))
    assert len(config["dataset"]["classes"]) == len(set(config["dataset"]["classes"])) == classes
    assert config["splits"]["numbers"] == [1, 2, 3]
    assert config["splits"]["validation"] == "test"
    assert config["tao"]["checkpoint"] == "last"
    assert config["spec"]["train"]["optim"]["lr_scheduler"] == "MultiStep"


def test_only_the_demo_is_called_demo(demo):
    demo["dataset"]["name"] = "other"
    assert "dataset.name" in refusal(demo)


def test_an_experiment_adds_to_the_shared_spec_and_leaves_it_alone(demo):
    demo = complete(demo)
    before = copy.deepcopy(demo)
    keys = queries.overrides(demo, "rgb_3d_ptm")
    own = demo["experiments"]["rgb_3d_ptm"]["spec"]["train"]
    assert keys["train"]["num_epochs"] == own["num_epochs"]
    assert keys["model"] == demo["spec"]["model"]
    assert demo == before


def test_class_patterns_match_whole_names_only():
    pattern = queries.alternatives(["sit", "situp", "a.b"])
    assert re.fullmatch(pattern, "situp")
    assert re.fullmatch(pattern, "a.b")
    assert not re.fullmatch(pattern, "aXb")


def test_a_container_needs_an_image(demo):
    demo["tao"] = {"runner": "docker", "toolkit": "7.3.0"}
    with pytest.raises(InputError, match=r"not known to have an image[\s\S]*tao\.image"):
        complete(demo)
    demo["tao"]["image"] = "nvcr.io/nvidia/tao/tao-toolkit@sha256:" + 64 * "0"
    complete(demo)


def test_the_launcher_takes_no_options(demo):
    demo["tao"] = {"runner": "launcher", "image": "a:b", "container": {"options": ["--rm"]}}
    with pytest.raises(InputError, match=r"tao\.runner: docker"):
        complete(demo)


def test_flow_is_needed_by_the_networks_that_see_it(demo):
    config = complete(demo)
    assert not queries.needs_flow(config, "rgb_3d_base")
    demo["experiments"] = {"one": None, "both": {"spec": {"model": {"model_type": "joint"}}}}
    config = complete(demo)
    assert queries.needs_flow(config, "both")
    assert not queries.needs_flow(config, "one")
    demo["spec"]["model"]["model_type"] = "of"
    assert queries.needs_flow(complete(demo), "one")
    assert not queries.needs_flow(complete({**demo, "spec": {}}), "one")


def test_several_machines_are_for_the_native_engine(demo):
    demo["spec"]["evaluate"] = {"num_nodes": 2}
    complete(demo)
    demo["tao"] = {"runner": "direct"}
    with pytest.raises(InputError, match=r"evaluate\.num_nodes: 2 with tao\.runner: direct"):
        complete(demo)


def test_settings_of_the_native_engine_are_shared_and_overlaid_and_refused_elsewhere(demo):
    demo["native"] = {"ema_decay": 0.99, "early_stopping": {"patience": 3}}
    demo["experiments"]["rgb_3d_ptm"]["native"] = {"early_stopping": {"monitor": "val_acc_1"}}
    config = complete(demo)
    assert queries.native(config, "rgb_3d_base") == demo["native"]
    assert queries.native(config, "rgb_3d_ptm") == {
        "ema_decay": 0.99,
        "early_stopping": {"patience": 3, "monitor": "val_acc_1"},
    }
    demo["tao"]["runner"] = "direct"
    message = refusal(demo)
    assert "ema_decay, early_stopping with tao.runner: direct" in message
    assert "set tao.runner: native" in message
    del demo["native"], demo["experiments"]["rgb_3d_ptm"]["native"]
    complete(demo)


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


def test_flow_starts_from_frames_where_the_engine_fits_the_weights(demo):
    config = two_streams(demo, of={"experiment": "rgb"})
    assert queries.base_experiments(complete(config), "both") == {"of": "rgb"}
    config["tao"] = {"runner": "direct"}
    assert "model_type rgb" in refusal(config)


def test_weights_of_pytorch_are_refused_for_a_network_that_they_do_not_fit(demo):
    experiment = demo["experiments"]["rgb_3d_ptm"]
    experiment["pretrained"] = {"torchvision": "r3d_18"}
    source = queries.pretrained(complete(demo), "rgb_3d_ptm")
    assert source == {"rgb": {"torchvision": "r3d_18"}}
    experiment["spec"] = {"model": {"input_type": "2d"}}
    assert re.search(r"r3d_18, for resnet_18 in 2d[\s\S]*input_type 3d", refusal(demo))
    experiment["pretrained"] = {"torchvision": "resnet18"}
    complete(demo)
    demo["tao"] = {"runner": "direct"}
    assert "Only the native engine fits PyTorch's weights" in refusal(demo)


def test_imagenet_weights_without_a_file_are_refused_in_the_plan(demo):
    base = {"spec": {"model": {"imagenet_pretrained": True}}}
    demo["experiments"]["rgb_3d_base"] = base
    message = refusal(demo)
    assert "of rgb_3d_base" in message
    assert "pretrained: {torchvision: resnet18}" in message
    base["pretrained"] = {"torchvision": "resnet18"}
    complete(demo)


@pytest.mark.parametrize(
    "source",
    [
        {"ngc": "nvidia/tao/../../net:v1", "file": "a.tlt"},
        {"ngc": "nvidia/tao/net", "file": "a.tlt"},
        {"ngc": "nvidia/tao/net:v1", "file": "../a.tlt"},
        {"ngc": "nvidia/tao/net:v1", "file": "a.onnx"},
        {"ngc": "nvidia/tao/net:v1"},
    ],
)
def test_sources_on_ngc_name_a_model_a_version_and_weights(demo, source):
    demo["experiments"]["rgb_3d_ptm"]["pretrained"] = source
    assert "{ngc: ORG/TEAM/MODEL:VERSION" in refusal(demo)
    source.update(ngc="nvidia/tao/net:v1", file="a.tlt")
    assert queries.ngc_checksums(complete(demo)) == {("nvidia/tao/net:v1", "a.tlt"): None}


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


def test_frames_in_the_networks_size_need_one_size_and_no_crop(demo):
    demo["frames"] = {"size": "model"}
    assert queries.frame_size(complete(demo)) == (48, 48)
    demo["experiments"]["rgb_3d_ptm"]["spec"]["model"] = {"input_width": 96}
    message = refusal(demo)
    assert "rgb_3d_base: 48 x 48, rgb_3d_ptm: 96 x 48" in message
    demo["experiments"]["rgb_3d_ptm"]["spec"] = {
        "dataset": {"augmentation_config": {"train_crop_type": "random_crop"}}
    }
    message = refusal(demo)
    assert "model, with rgb_3d_ptm" in message
    assert "train_crop_type: no_crop" in message


@pytest.mark.parametrize("runner", ["docker", "apptainer", "launcher", "direct"])
def test_only_the_native_engine_reads_frames_from_videos(demo, runner):
    demo["frames"] = {"store": "video"}
    assert queries.frame_format(complete(copy.deepcopy(demo))) == "video"
    demo["tao"] = {"runner": runner, "toolkit": "6.0.0"}
    message = refusal(demo)
    assert "frames.store" in message
    assert f"found:   video, with tao.runner: {runner}" in message
    assert "set frames.store: images, or tao.runner: native" in message


def test_images_cannot_be_made_of_packets(demo):
    demo["frames"] = {"check": "quick"}
    assert "frames.check: quick needs frames.store: video" in refusal(demo)
    demo["frames"] = {"check": "quick", "store": "video"}
    assert complete(copy.deepcopy(demo))["frames"]["check"] == "quick"


def test_frames_that_stay_in_videos_have_no_lossy_format(demo):
    demo["frames"] = {"store": "video", "format": "jpg"}
    assert "found:   jpg, with frames.store: video" in refusal(demo)


def in_a_store(**changes) -> dict:
    """Return a configuration of a list of videos in a bucket, with other keys of its dataset."""
    dataset = {
        "name": "mine",
        "source": "table",
        "path": "s3://bucket/list.csv",
        "videos": "s3://bucket/videos",
        "classes": ["walk", "run"],
    }
    splits = {"method": "fraction"}
    return {"dataset": dataset | changes, "splits": splits, "experiments": {"rgb_2d": None}}


def test_addresses_of_object_stores_and_web_servers_are_taken():
    config = complete(in_a_store(labels="https://host/labels.txt"))
    assert queries.fetched_lists(config) == {
        "list.csv": "s3://bucket/list.csv",
        "labels.txt": "https://host/labels.txt",
    }
    assert queries.local_lists(config, "lists") == {"": "lists/list.csv"}
    assert queries.local_videos(config, "videos") == "videos"
    complete(in_a_store(source="folder", path="s3://bucket"))
    archive = {"path": "s3://bucket/all.zip"}
    complete(in_a_store(source="archives", path=None, archives={"videos": archive}))


@pytest.mark.parametrize(
    ("dataset", "key", "problem"),
    [
        ({"videos": None}, "dataset.videos", "has no videos next to it"),
        ({"videos": "https://host/videos"}, "dataset.videos", "cannot stand here"),
        ({"path": {"train": "s3://bucket"}}, "dataset.path.train", "no file in it"),
        (
            {"path": "s3://me:s3cret-w0rd@bucket/a.csv"},
            "dataset.path",
            "a user's name or a password",
        ),
        (
            {"path": "s3://me:a/s3cret-w0rd@bucket/a.csv"},
            "dataset.path",
            "a user's name or a password",
        ),
        (
            {"path": "https://me:a/s3cret-w0rd@host/a"},
            "dataset.path",
            "a user's name or a password",
        ),
        ({"path": "https://[::1/list.csv"}, "dataset.path", "has no host"),
        ({"source": "folder", "path": "https://host/all"}, "dataset.path", "cannot stand here"),
        ({"source": "shad", "path": "s3://bucket/shad"}, "dataset.path", "cannot stand here"),
        (
            {
                "source": "archives",
                "path": None,
                "archives": {"videos": {"file": "a.zip", "urls": ["s3://bucket/a.zip"]}},
            },
            "dataset.archives.videos.urls",
            "cannot stand here",
        ),
    ],
)
def test_addresses_that_cannot_be_read_are_refused(dataset, key, problem):
    message = refusal(in_a_store(**dataset))
    assert key in message and problem in message and "s3cret-w0rd@" not in message
