"""The paths that rules ask each other for, and what is said of a run's targets."""

from pathlib import PurePath

import pytest

from actionrec.config import paths

CLASSES = ["walk", "run", "wave"]


def config(source="archives", method="official", **experiments):
    own = experiments or {"one": {"classes": ["wave", "walk"]}, "two": {}}
    nothing = {"classes": CLASSES, "pretrained": None, "spec": {}}
    archive = {"file": None, "urls": None, "path": None, "sha256": None}
    return {
        "dataset": {
            "name": "d",
            "source": source,
            "classes": CLASSES,
            "archives": {
                "videos": {**archive, "file": "v.rar", "urls": ["https://a/v.rar"]},
                "splits": {**archive, "path": "/lists/splits.zip"},
            },
        },
        "splits": {"method": method, "numbers": [1, 3]},
        "tao": {"toolkit": "7.3.0"},
        "spec": {"model": {"model_type": "joint"}},
        "experiments": {name: {**nothing, **experiment} for name, experiment in own.items()},
    }


def test_every_run_has_a_folder_of_its_own():
    assert paths.of_every_run(config(), "model.pth") == [
        f"<experiments>/{name}/split{number}/model.pth"
        for name in ("one", "two")
        for number in (1, 3)
    ]
    assert paths.models(config(), "two") == paths.of_every_run(config(), "model.pth")[2:]
    assert paths.settings_records(config())[1] == "<experiments>/two/settings.yaml"


def test_tables_are_those_of_an_experiments_classes_in_the_order_of_its_labels():
    assert paths.frame_tables(config(), "one") == [
        "<tables>/frames/wave.tsv",
        "<tables>/frames/walk.tsv",
    ]
    assert len(paths.flow_tables(config(), "two")) == 3
    assert paths.flow_tables(config(one={"spec": {"model": {"model_type": "rgb"}}}), "one") == []


@pytest.mark.parametrize(
    ("method", "official", "given"), [("official", 2, 0), ("given", 0, 2), ("fraction", 0, 0)]
)
def test_what_decides_a_split_is_asked_for(method, official, given):
    settings = config("table" if method == "given" else "archives", method)
    assert len(paths.split_files(settings, "one", 3)) == official
    assert len(paths.part_tables(settings, "one")) == given
    assert len(paths.all_split_files(settings)) == official * 3
    assert len(paths.all_part_tables(settings)) == (3 if given else 0)


def test_archives_lie_in_the_datasets_folder():
    assert paths.archive(config(), "videos") == "<resources>/<dataset>/archives/v.rar"
    assert paths.archive(config(), "splits") == "<resources>/<dataset>/archives/splits.zip"
    demo = paths.archive({"dataset": {"name": "demo", "source": "demo"}}, "splits")
    assert demo == "<resources>/<dataset>/archives/demo_splits.rar"


def test_a_folder_of_split_files_is_used_where_it_is(tmp_path):
    settings = config()
    settings["dataset"]["archives"]["splits"]["path"] = str(tmp_path)
    assert paths.archive(settings, "splits") == str(tmp_path)


def test_only_crops_need_tables_of_crops():
    assert paths.crops_table(config(), "walk") == []
    assert paths.crops_table(config("shad"), "walk") == ["<tables>/crops/walk.tsv"]
    assert paths.cropped_table(config("shad"), "walk") == ["<tables>/videos/walk.tsv"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ({"experiment": "base"}, ["<experiments>/base/split1/model.pth"]),
        ({"path": "/w.tlt"}, ["/w.tlt"]),
        ({"ngc": "org/m:v1", "file": "f.tlt"}, ["<resources>/pretrained/ngc/org/m/v1/f.tlt"]),
        ({"url": "https://a/w.pth", "sha256": "0"}, []),
    ],
)
def test_weights_come_from_where_the_configuration_says(source, found):
    settings = config(base={}, tuned={"pretrained": {"of": source}})
    assert paths.weights(settings, "tuned", 1) == ["<pretrained>/tuned.split1.of.pth"]
    assert paths.weights_source(settings, "tuned", 1, "of") == found


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (["r/d.json", "r/a.html", "r/b.html"], "Open r/a.html or r/b.html in a browser; all "),
        (["r/a.tsv"], "Made r/a.tsv"),
        (["r/a"] * 9, "Made 9 files in r"),
        ([], ""),
    ],
)
def test_a_run_ends_with_what_to_open(targets, said):
    assert paths.outcome(targets, PurePath("r")).startswith(said)
    assert bool(said) == bool(paths.outcome(targets, PurePath("r")))
