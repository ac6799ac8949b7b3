"""Which source video a video was cut from, by its name, a pattern or its file."""

from dataclasses import replace

import pytest

from actionrec.dataset.source_videos import file_names, source_finder, unique_sources
from actionrec.errors import InputError
from actionrec.frames.manifest import FrameRecord


@pytest.mark.parametrize(
    ("video", "cls", "source"),
    [
        ("Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6", "cartwheel", "Turnk_r_Pippi_Michel"),
        ("A_climb_stairs_f_nm_np1_fr_med_3", "climb_stairs", "A"),
        ("A_climb_stairs_f_nm_np1_fr_med_3", "climb", "A_climb_stairs_f_nm_np1_fr_med_3"),
        ("run_away_run_f_cm_np10_le_bad_2", "run", "run_away"),
        ("v_SoccerJuggling_g23_c01", "juggling", "g23"),
        ("holiday_01", "walk", "holiday_01"),
    ],
)
def test_source_video_of_known_names(video, cls, source):
    assert source_finder(None)(cls, video) == source


def test_source_video_by_the_users_pattern():
    find = source_finder(r"^(.+?)-\d+$")
    assert find("walk", "holiday-01") == "holiday"
    assert find("walk", "other") == "other"


@pytest.mark.parametrize("pattern", ["(unclosed", "no group"])
def test_pattern_that_cannot_work(pattern):
    with pytest.raises(InputError, match=r"dataset\.source_video"):
        source_finder(pattern)


def test_cuts_of_one_file_are_of_one_source_in_every_class():
    record = FrameRecord("cut_1", "/x/match.mp4", 5, 64, 48, 30.0, 9, "0", "png", "png", "ok", "")
    cut, alone = replace(record, video="cut_2"), replace(record, video="own", file="own.mp4")
    names = file_names({"run": [record, alone], "walk": [cut, alone]})
    sources = unique_sources(names, source_finder(None, names), names)
    assert sources["run", "cut_1"] == sources["walk", "cut_2"] == "/x/match"
    assert sources["run", "own"] != sources["walk", "own"], "two videos that share a name"


def test_videos_named_otherwise_than_their_files_are_no_cuts():
    """Such as a.mp4 next to a.avi, and names with control characters, in a folder of each class."""
    record = FrameRecord("a_b", "a\nb.avi", 5, 64, 48, 30.0, 9, "0", "png", "png", "ok", "")
    twins = [
        record,
        replace(record, video="c", file="c.avi"),
        replace(record, video="c.mp4", file="c.mp4"),
    ]
    names = file_names({"run": twins, "walk": twins})
    sources = unique_sources(names, source_finder(None, names), names)
    assert sources["run", "a_b"] != sources["walk", "a_b"]
    assert sources["run", "c"] == sources["run", "c.mp4"] != sources["walk", "c.mp4"]
