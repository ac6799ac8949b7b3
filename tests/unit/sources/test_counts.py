"""The plan counts the videos of each class in lists and folders, and finds no fault with them."""

import pytest

from actionrec.sources.counts import (
    rows_of_labels,
    threads_of_classes,
    videos_in_folder,
    videos_of_classes,
)

LISTS = {
    "table": "\ufeffpath;Label\na.mp4;walk\nb.mp4;run\n\nc.mp4; walk\n",
    "kinetics": "label,youtube_id,time_start,time_end\nwalk,x,1,2\nrun,y,1,2\nwalk,z,1,2\n",
    "quoted": 'path\tlabel\n"a\nb.mp4"\twalk\nc.mp4\trun\n"d\te"\twalk\nshort\n',
}


@pytest.mark.parametrize("form", LISTS)
def test_rows_are_counted_by_label(tmp_path, form):
    (tmp_path / "list").write_text(LISTS[form])
    assert rows_of_labels([tmp_path / "list"], None) == {"walk": 2, "run": 1}


def test_lines_are_counted_by_index(tmp_path):
    (tmp_path / "list").write_text("a b.mp4 0\nc.mp4 1\n\nd.mp4 0\ne.mp4 7\nf.mp4 x\n")
    (tmp_path / "labels").write_text("walk\n\nrun\n")
    assert rows_of_labels([tmp_path / "list"], tmp_path / "labels") == {"walk": 2, "run": 1}


def test_the_lists_of_all_parts_count_and_others_do_no_harm(tmp_path):
    (tmp_path / "train").write_text("path,label\na.mp4,cafe\u0301\n")
    (tmp_path / "test").write_text("path,label\nb.mp4,café\n")
    (tmp_path / "no label").write_text("path,klass\nb.mp4,café\n")
    (tmp_path / "empty").touch()
    lists = [tmp_path / name for name in ("train", "test", "no label", "empty", "missing")]
    assert rows_of_labels(lists, None) == {"café": 2}


def test_a_folder_is_counted_and_an_archive_is_not(tmp_path):
    for name in ("a.avi", "b.MP4", "notes.txt", ".hidden.avi"):
        (tmp_path / "walk").mkdir(exist_ok=True)
        (tmp_path / "walk" / name).touch()
    dataset = {"source": "folder", "classes": ["walk", "run"], "path": str(tmp_path)}
    assert videos_of_classes({"dataset": dataset}) == {"walk": 2, "run": 0}
    assert videos_of_classes({"dataset": dataset | {"source": "archives"}})["walk"] == 0
    assert videos_in_folder(tmp_path / "missing") == 0


@pytest.mark.parametrize(
    ("classes", "videos", "threads"),
    [(500, 4, 1), (500, 17, 4), (500, 0, 4), (51, 4, 4)],
    ids=["many small", "many large", "of an archive", "few"],
)
def test_a_small_class_of_many_has_one_thread(classes, videos, threads):
    counted = {str(cls): videos for cls in range(classes)}
    assert set(threads_of_classes(counted).values()) == {threads}
