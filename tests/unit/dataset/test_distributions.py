"""What dataset.json says of the videos' lengths and of the sources of each part, and its charts."""

import pytest

from actionrec.dataset import figures
from actionrec.dataset.distributions import BINS, length_histograms, videos_by_source
from actionrec.dataset.split_table import Row


def test_all_classes_have_the_same_bins_and_every_video_is_counted():
    found = length_histograms({"short": [10, 11, 11], "long": [57] * 40, "none": []})
    assert found["edges"][0] == 10
    assert found["edges"][-1] == 58
    assert found["classes"]["short"][0] == 3
    assert {cls: sum(of) for cls, of in found["classes"].items()} == {
        "short": 3,
        "long": 40,
        "none": 0,
    }


def test_a_few_long_videos_do_not_press_all_others_into_one_bin():
    lengths = [*range(100, 220), 9000]
    found = length_histograms({"a": lengths})
    edges, counts = found["edges"], found["classes"]["a"]
    assert len(counts) == BINS
    assert edges[:3] == [100, 105, 110]
    assert edges[-1] == 9001
    assert counts == [5] * (BINS - 1) + [6]
    chart = figures.lengths(found)
    assert chart.bars[0].text == "100 to 104 frames: 5 videos"
    assert chart.bars[-1].text == "215 to 9000 frames: 6 videos"


@pytest.mark.parametrize("lengths", [{}, {"a": []}])
def test_without_a_usable_video_there_is_no_chart(lengths):
    found = length_histograms(lengths)
    assert found["edges"] == []
    assert figures.lengths(found) is None
    assert figures.lengths_by_class(found) == {cls: [] for cls in lengths}


def rows(part: str, *videos: str) -> list[Row]:
    return [Row(part, "a", video, 9, "png", "") for video in videos]


def test_the_sources_of_a_part_are_counted_by_their_videos():
    split = [*rows("train", "f1", "f2", "f3", "g1"), *rows("test", "h1", "i1")]
    sources = {("a", row.video): row.video[0] for row in split}
    found = videos_by_source(split, sources)
    assert found == {
        "train": {"sizes": {"1": 1, "3": 1}, "largest": {"name": "f", "videos": 3}},
        "val": {"sizes": {}, "largest": {"name": "", "videos": 0}},
        "test": {"sizes": {"1": 2}, "largest": {"name": "h", "videos": 1}},
    }
    assert videos_by_source(split, {}) == {}
    dataset = {"splits": {"1": {"videos_by_source": found, "videos_by_group": {}}, "2": {}}}
    train, test = figures.sides(dataset)
    assert (train.videos, train.sources, train.mean, train.most, train.share) == (4, 2, 2, 3, 75)
    assert [bar.text for bar in train.sizes] == [
        "1 source video with 1 video",
        "1 source video with 3 videos",
    ]
    assert test.part == "test"


def test_many_videos_of_one_source_share_a_bar():
    found = {"train": {"sizes": {"1": 2, "100": 1}, "largest": {"name": "f", "videos": 100}}}
    (side,) = figures.sides({"splits": {"1": {"videos_by_group": found}}})
    assert [bar.text for bar in side.sizes] == [
        "2 groups with 1 to 5 videos",
        "1 group with 96 to 100 videos",
    ]
    assert side.videos == 102
