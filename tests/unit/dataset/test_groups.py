"""Groups, such as persons and places, stay whole in a draw, over all classes and draws."""

import logging
from collections import Counter, defaultdict

import pytest

from actionrec.dataset.group_draw import draw_groups
from actionrec.dataset.split_table import read_split
from actionrec.dataset.splits import ClassFiles, SplitSettings, make_split
from actionrec.errors import InputError
from actionrec.frames.manifest import FrameRecord, write_manifest
from actionrec.sources.table import Given, write_parts

SETTINGS = {"method": "fraction", "test_fraction": 0.3, "validation": 0.2, "seed": 1234}


def record(video):
    return FrameRecord(
        video, f"/x/{video}.avi", 3, 64, 48, 30.0, 99, video, "png", "png", "ok", "", video
    )


class Listed:
    """A list of videos of 3 classes: 12 persons with two videos each in each class."""

    def __init__(self, root):
        self.root = root
        self.given = {
            cls: {
                f"{cls}_p{person}_{take}": Given("", f"P{person}")
                for person in range(12)
                for take in range(2)
            }
            for cls in ("walk", "run", "jump")
        }

    def split(self, classes=("walk", "run", "jump"), number=1, **changes):
        for cls, given in self.given.items():
            write_manifest(self.root / f"frames/{cls}.tsv", map(record, given))
            write_parts(self.root / f"parts/{cls}.tsv", given)
        settings = SplitSettings(**{**SETTINGS, **changes})
        files = ClassFiles.of_classes(
            list(classes),
            [str(self.root / f"frames/{cls}.tsv") for cls in classes],
            given=[str(self.root / f"parts/{cls}.tsv") for cls in classes]
            if settings.method == "given"
            else [],
            groups=[str(self.root / f"parts/{cls}.tsv") for cls in self.given],
        )
        make_split(self.root / "split.tsv", files, settings, number)
        return read_split(self.root / "split.tsv")

    def groups(self, rows):
        found = defaultdict(set)
        for row in rows:
            found[row.part].add(self.given[row.cls][row.video].group)
        return found


@pytest.fixture
def listed(tmp_path):
    return Listed(tmp_path)


def test_a_person_is_in_one_part_in_all_classes_and_the_log_says_how_many(listed, caplog):
    with caplog.at_level(logging.INFO):
        rows = listed.split()
    groups = listed.groups(rows)
    assert {part: len(of) for part, of in groups.items()} == {"train": 6, "val": 2, "test": 4}
    assert len(set().union(*groups.values())) == 12, "each in one part"
    assert "Groups: 6 in train, 2 in val, 4 in test" in caplog.text
    counts = Counter((row.cls, row.part) for row in rows)
    assert all(counts[cls, "test"] == 8 for cls in listed.given)


def test_several_draws_differ_and_experiments_with_some_classes_agree(listed):
    draws = [listed.groups(listed.split(number=number))["test"] for number in (1, 2, 3)]
    assert len(set(map(frozenset, draws))) == 3
    all_three = [row for row in listed.split() if row.cls != "jump"]
    assert set(listed.split(classes=("run", "walk"))) == set(all_three)


def test_the_source_video_may_decide_in_place_of_the_group(listed):
    groups = listed.groups(listed.split(by="source_video"))
    assert groups["train"] & groups["test"]


def test_videos_without_a_group_are_drawn_next_to_those_with_one(listed):
    listed.given["walk"] |= {f"film{n}_walk_f_x{n}": Given("", "") for n in range(20)}
    rows = listed.split()
    own = Counter(row.part for row in rows if row.video.startswith("film"))
    assert own == {"train": 11, "val": 3, "test": 6}


def test_no_group_to_divide_by(listed):
    listed.given = {cls: dict.fromkeys(given, Given("", "")) for cls, given in listed.given.items()}
    assert listed.split()
    with pytest.raises(InputError, match=r"(?s)gives none a group.*splits\.by"):
        listed.split(by="group")


def test_a_given_split_holds_out_groups_and_names_shared_ones(listed, caplog):
    for given in listed.given.values():
        for video, of in given.items():
            part = "test" if of.group in ("P0", "P1") else "train"
            given[video] = Given(part, of.group)
    listed.given["run"]["run_p0_1"] = Given("train", "P0")
    groups = listed.groups(listed.split(method="given"))
    assert len(groups["val"]) == 2
    assert not groups["val"] & groups["train"]
    assert (
        "1 of 12 groups in training and in test, so the test score is too high: P0" in caplog.text
    )


def test_groups_in_any_two_parts_of_a_given_split_are_named_the_first_of_many(listed, caplog):
    for cls, given in listed.given.items():
        for index, video in enumerate(sorted(given)):
            given[video] = Given(("train", "val", "test")[index % 3], f"{cls}{index // 3}")
    listed.split(method="given")
    shared = sorted({of.group for given in listed.given.values() for of in given.values()})
    for parts in ("training and in validation", "validation and in test", "training and in test"):
        (line,) = (line for line in caplog.text.splitlines() if f"in {parts}, so" in line)
        assert ", ".join(shared[:10]) in line
    assert len(shared) > 10 and f"and {len(shared) - 10} more" in caplog.text


def members(*groups):
    """Return ((class, video), group) of groups, each a mapping of classes to numbers of videos."""
    return [
        ((cls, f"{index}_{take}"), f"G{index}")
        for index, group in enumerate(groups)
        for cls, number in group.items()
        for take in range(number)
    ]


def test_groups_of_unequal_size_give_each_class_about_its_share():
    sizes = [{"a": n % 5 + 1, "b": (n * 7) % 4 + 1, "c": n % 3} for n in range(40)]
    pairs = members(*sizes)
    for salt in map(str, range(5)):
        drawn = draw_groups(pairs, 0.3, salt)
        for cls in "abc":
            total = sum(size[cls] for size in sizes)
            taken = sum(size[cls] for n, size in enumerate(sizes) if f"G{n}" in drawn)
            assert abs(taken / total - 0.3) < 0.05


def test_every_class_has_something_on_both_sides_where_groups_allow_it():
    pairs = members({"a": 9}, {"a": 1, "b": 5}, {"b": 1, "c": 3}, {"c": 3, "a": 1}, {"b": 2})
    for salt in map(str, range(20)):
        drawn = draw_groups(pairs, 0.2, salt)
        for cls in "abc":
            sides = {group in drawn for (of, _), group in pairs if of == cls}
            assert sides == {True, False}, (salt, cls)


def test_one_group_is_not_divided():
    assert draw_groups(members({"a": 3}), 0.3, "1") == frozenset()
    assert draw_groups([], 0.3, "1") == frozenset()
