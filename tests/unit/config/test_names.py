"""Names and paths of the configuration end where they seem to end; `~` is the home folder."""

import pytest

from actionrec.config.load import checked
from actionrec.errors import InputError


def config(**dataset):
    content = {"name": "mine", "source": "folder", "path": "/videos", "classes": ["a", "b"]}
    return {"dataset": {**content, **dataset}, "experiments": {"x": {}}}


HIDDEN = ("\n", "\0", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u202e", "\ud800")


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
@pytest.mark.parametrize(
    "put",
    [
        lambda name: config(name=name),
        lambda name: config(classes=["a", name]),
        lambda name: config(path=f"/{name}"),
        lambda name: config(source="table", path={"train": f"/{name}"}),
        lambda name: config(source="table", videos=f"/{name}"),
        lambda name: config(source="table", labels=f"/{name}"),
        lambda name: config() | {"experiments": {name: {}}},
        lambda name: config() | {"experiments": {"x": {"pretrained": {"path": name}}}},
        lambda name: config() | {"tao": {"container": {"mounts": [f"/{name}"]}}},
        lambda name: config() | {"flow": {"path": f"/{name}"}},
    ],
    ids=[
        "name",
        "class",
        "path",
        "part",
        "videos",
        "labels",
        "experiment",
        "weights",
        "mount",
        "flow",
    ],
)
def test_what_is_not_seen_is_refused_and_not_printed(put, hidden):
    for name in (f"b{hidden}", f"b{hidden}c"):
        with pytest.raises(InputError) as caught:
            checked(put(name), [])
        said = str(caught.value)
        assert "not accepted" in said
        assert not set(hidden) - {"\n", *"[31m"} & set(said)
        said.encode()


def test_a_path_with_a_hidden_character_is_said_to_have_one():
    with pytest.raises(InputError, match="a character that is not seen"):
        checked(config(path="/videos\n"), [])


@pytest.mark.parametrize("cls", [" b", "b ", "b\t", ".b", "a/b", "a\\b", "{b}", "<b>", ""])
def test_classes_that_no_folder_can_be_named_after(cls):
    with pytest.raises(InputError, match="not accepted"):
        checked(config(classes=["a", cls]), [])


@pytest.mark.parametrize(
    "cls", ["Übung machen", "歩く", "a$b$", "-x", "=x", "b.", "o'b", "x" * 200]
)
def test_classes_of_any_script(cls):
    assert checked(config(classes=["a", cls]), [])[0]["dataset"]["classes"][1] == cls


def test_a_class_too_long_to_name_files_after():
    with pytest.raises(InputError, match="is 202 bytes long, more than 200"):
        checked(config(classes=["a", "ü" * 101]), [])


def test_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    content = config(source="table", path={"train": "~/a.csv"}, videos="~", labels="~/l.txt")
    content["dataset"]["archives"] = {"splits": {"path": "~/s.zip", "urls": ["~/s", "http://~"]}}
    content["flow"] = {"path": "~/flow"}
    content["tao"] = {"container": {"mounts": ["~/data"]}}
    content["experiments"]["x"] = {"pretrained": {"path": "~/w.pth"}}
    complete, _ = checked(content, [])
    dataset = complete["dataset"]
    assert dataset["path"]["train"] == "/home/me/a.csv"
    assert (dataset["videos"], dataset["labels"]) == ("/home/me", "/home/me/l.txt")
    assert dataset["archives"]["splits"]["path"] == "/home/me/s.zip"
    assert dataset["archives"]["splits"]["urls"] == ["/home/me/s", "http://~"]
    assert complete["flow"]["path"] == "/home/me/flow"
    assert complete["tao"]["container"]["mounts"] == ["/home/me/data"]
    assert complete["experiments"]["x"]["pretrained"]["path"] == "/home/me/w.pth"
    assert checked(config(path="~/videos"), [])[0]["dataset"]["path"] == "/home/me/videos"
