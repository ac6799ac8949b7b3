"""What a configuration names and is not there is refused, unless nothing needs it any more."""

from pathlib import Path

import pytest

from actionrec.errors import InputError
from actionrec.sources import folder, shad, table, user_files


def test_an_archive_must_be_there_until_it_is_unpacked(tmp_path):
    archives = {"videos": {"path": str(tmp_path / "v.rar")}, "splits": {"urls": ["https://a"]}}
    dataset, folders = {"classes": ["a"], "archives": archives}, (tmp_path, tmp_path / "splits")
    with pytest.raises(InputError, match=r"dataset\.archives\.videos\.path"):
        user_files.require_archive(dataset, "videos", *folders)
    user_files.require_archive(dataset, "splits", *folders)
    table = tmp_path / "a.tsv"
    table.touch()
    user_files.require_archive(dataset, "videos", *folders)
    table.unlink()
    (tmp_path / "v.rar").touch()
    user_files.require_archive(dataset, "videos", *folders)


def test_weights_must_be_there_until_they_are_fetched(tmp_path):
    source, fetched = {"path": str(tmp_path / "w.pth")}, tmp_path / "fetched.pth"
    with pytest.raises(InputError, match=r"experiments\.x\.pretrained"):
        user_files.require_weights(source, "experiments.x.pretrained", fetched)
    user_files.require_weights({"experiment": "base"}, "x", fetched)
    fetched.touch()
    user_files.require_weights(source, "x", fetched)


def test_a_list_and_the_folder_of_its_videos_must_be_there(tmp_path):
    with pytest.raises(InputError, match=r"(?s)cannot be read.*No such file"):
        table.require_inputs([tmp_path / "clips.csv"], None)
    (tmp_path / "clips.csv").touch()
    table.require_inputs([tmp_path / "clips.csv"], tmp_path)
    with pytest.raises(InputError, match=r"dataset\.videos is not a folder"):
        table.require_inputs([tmp_path / "clips.csv"], tmp_path / "videos")


def test_a_class_must_have_a_folder(tmp_path):
    (tmp_path / "wave").mkdir()
    assert folder.require_class(tmp_path / "wave") == tmp_path / "wave"
    with pytest.raises(InputError, match="did you mean 'wave'"):
        folder.require_class(tmp_path / "wavee")
    with pytest.raises(InputError, match="fix: "):
        folder.require_class(Path(tmp_path, "none", "wave"))


def test_shad_must_be_unpacked(tmp_path):
    with pytest.raises(InputError, match="no SHAD dataset"):
        shad.annotation_files(tmp_path)
    annotations = tmp_path / "Walk-train/Annotations/SJTU-1"
    annotations.mkdir(parents=True)
    (annotations / "SJTU-1-multi.txt").touch()
    (tmp_path / "Walk-train/video").mkdir()
    assert shad.annotation_files(tmp_path) == [
        str(annotations),
        str(annotations / "SJTU-1-multi.txt"),
    ]
