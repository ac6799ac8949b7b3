"""A user's folder of videos is used where it is, by a link."""

import unicodedata
from pathlib import Path

import pytest

from actionrec.errors import InputError
from actionrec.frames.videos import read_files_table
from actionrec.sources.folder import link_class
from helpers import write_video


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_link_to_a_class_folder(project):
    write_video(project / "mine/walk/b.avi")
    write_video(project / "mine/walk/a.mp4", fourcc="mp4v")
    link, table = Path("resources/mine/videos/walk"), Path("results/mine/videos/walk.tsv")
    link_class(Path("mine/walk"), link, table)
    assert str(link.readlink()) == "../../../mine/walk"
    sizes = {name: (link / name).stat().st_size for name in ("a.mp4", "b.avi")}
    assert read_files_table(table) == sizes
    assert table.read_text() == f"file\tbytes\na.mp4\t{sizes['a.mp4']}\nb.avi\t{sizes['b.avi']}\n"


def test_link_out_of_the_project_is_absolute_and_can_be_moved(project, tmp_path):
    first, second = tmp_path / "disk1/walk", tmp_path / "disk2/walk"
    write_video(first / "a.avi")
    write_video(second / "b.avi")
    link, table = Path("videos/walk"), Path("walk.tsv")
    link_class(first, link, table)
    assert str(link.readlink()) == str(first)
    link_class(second, link, table)
    assert str(link.readlink()) == str(second)
    assert list(read_files_table(table)) == ["b.avi"]
    assert (first / "a.avi").exists()


def test_class_folder_in_the_other_unicode_form(project):
    apart = unicodedata.normalize("NFD", "Übung")
    write_video(project / f"mine/{apart}/a.avi")
    link_class(Path("mine/Übung"), Path("videos/Übung"), Path("übung.tsv"))
    assert list(read_files_table(Path("übung.tsv"))) == ["a.avi"]
    assert Path("videos/Übung/a.avi").exists()


def test_misspelt_class_names_the_folders_that_are_there(project):
    (project / "mine/walk").mkdir(parents=True)
    (project / "mine/run").mkdir()
    with pytest.raises(InputError) as error:
        link_class(Path("mine/wlak"), Path("videos/wlak"), Path("wlak.tsv"))
    assert "allowed: run, walk" in str(error.value)
    assert "did you mean 'walk'?" in str(error.value)
    assert not Path("videos").exists()


def test_wrong_path_is_said_to_be_the_path(project):
    with pytest.raises(InputError, match=r"dataset\.path is not a folder"):
        link_class(Path("nowhere/walk"), Path("videos/walk"), Path("walk.tsv"))


def test_class_without_videos(project):
    (project / "mine/walk").mkdir(parents=True)
    (project / "mine/walk/readme.txt").touch()
    with pytest.raises(InputError, match="'walk' has no videos"):
        link_class(Path("mine/walk"), Path("videos/walk"), Path("walk.tsv"))
    assert not Path("walk.tsv").exists()


def test_link_never_replaces_real_videos(project):
    write_video(project / "mine/walk/a.avi")
    unpacked = write_video(project / "videos/walk/precious.avi")
    with pytest.raises(InputError, match=r"dataset\.name"):
        link_class(Path("mine/walk"), Path("videos/walk"), Path("walk.tsv"))
    assert unpacked.exists()


def test_two_files_that_differ_by_suffix_alone_are_both_listed(project):
    write_video(project / "mine/walk/a.avi")
    write_video(project / "mine/walk/a.mp4", fourcc="mp4v")
    link_class(Path("mine/walk"), Path("videos/walk"), Path("walk.tsv"))
    assert list(read_files_table(Path("walk.tsv"))) == ["a.avi", "a.mp4"]
