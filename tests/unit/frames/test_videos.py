"""The videos of a class are found, and each gets a name of its own."""

from itertools import permutations

import pytest

from actionrec.frames.videos import list_videos, video_names


def test_lists_videos_and_names_what_it_ignores(tmp_path, caplog):
    for name in ("b.avi", "A.MP4", "c.WebM", ".hidden.avi", "notes.txt", "-x [1].mkv"):
        (tmp_path / name).touch()
    (tmp_path / "folder.avi").mkdir()
    assert [path.name for path in list_videos(tmp_path)] == [
        "-x [1].mkv",
        "A.MP4",
        "b.avi",
        "c.WebM",
    ]
    assert [record.message for record in caplog.records] == [
        f"Ignored in {tmp_path}, not a video: folder.avi, notes.txt"
    ]


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ("walk.avi run.MP4 -x_[1].mkv", "walk run -x_[1]"),
        ("walk.mp4", "walk"),
        ("walk.avi walk.mp4 run.avi", "walk walk.mp4 run"),
        ("walk.webm walk.mp4 walk.AVI", "walk.webm walk.mp4 walk"),
        ("walk.AVI walk.avi", "walk walk.avi"),
        ("a.avi a.mp4 a.mp4.avi", "a a.mp4.mp4 a.mp4"),
        ("a.mp4 a.mp4.avi", "a a.mp4"),
        ("a.b.avi a.avi", "a.b a"),
    ],
)
def test_a_video_is_named_by_its_file_without_the_suffix_where_that_is_enough(files, names):
    expected = dict(zip(files.split(), names.split(), strict=True))
    for order in permutations(expected):
        assert video_names(order) == expected


def test_a_file_of_another_suffix_that_comes_or_goes_renames_no_other():
    before = video_names(["a.avi", "b.mp4", "c.mkv"])
    after = video_names(["a.avi", "b.mp4", "c.mkv", "a.mp4", "b.webm"])
    assert before.items() <= after.items()
    assert len(set(after.values())) == 5


def test_thousands_of_entries_are_listed_at_once(tmp_path):
    for number in range(3000):
        (tmp_path / f"{number:04d}.avi").touch()
        (tmp_path / f"{number:04d}.txt").touch()
    found = list_videos(tmp_path)
    assert len(found) == 3000 == len(set(video_names(path.name for path in found).values()))
