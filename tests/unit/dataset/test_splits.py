"""Splits follow the official files or a draw, keep source videos whole, and become TAO's tree."""

import hashlib
import shutil
from collections import Counter

import pytest

from actionrec.dataset.link_tree import inference_names, link_split, verify_split
from actionrec.dataset.source_videos import source_finder
from actionrec.dataset.split_table import read_split
from actionrec.dataset.splits import ClassFiles, SplitSettings, draw, make_split
from actionrec.errors import InputError
from actionrec.frames.flow_manifest import FlowRecord, write_flow_manifest
from actionrec.frames.manifest import FrameRecord, write_manifest
from actionrec.sources.split_files import read_class_file
from helpers import REPOSITORY

OFFICIAL = REPOSITORY / "tests/data/splits"


def record(video, *, status="ok", content=None, frames=3):
    digest = hashlib.sha256((content or video).encode()).hexdigest()
    return FrameRecord(
        video, f"{video}.avi", frames, 64, 48, 30.0, 99, digest, "png", "png", status, ""
    )


class Dataset:
    """Manifests and split files of some classes."""

    def __init__(self, root):
        self.root = root
        self.manifests = {}
        self.official = {}

    def add(self, cls, records, labels=None):
        records = [record(video) if isinstance(video, str) else video for video in records]
        self.manifests[cls] = self.root / f"frames/{cls}.tsv"
        write_manifest(self.manifests[cls], records)
        if labels:
            self.official[cls] = self.root / f"splits/{cls}_test_split1.txt"
            self.official[cls].parent.mkdir(exist_ok=True)
            lines = [f"{name}.avi {label} \n" for name, label in labels.items()]
            self.official[cls].write_text("".join(lines))
        return self

    def split(self, classes=None, number=1, flows=None, **changes):
        table = self.root / "split.tsv"
        table.unlink(missing_ok=True)
        manifests = {cls: self.manifests[cls] for cls in classes or self.manifests}
        files = ClassFiles(manifests, flows or {}, self.official)
        settings = {"method": "official", "test_fraction": 0.3, "validation": 0.2, "seed": 1234}
        make_split(table, files, SplitSettings(**{**settings, **changes}), number)
        return read_split(table)


@pytest.fixture
def dataset(tmp_path):
    return Dataset(tmp_path)


@pytest.fixture
def hmdb51(dataset):
    """Return three real classes with their real names and split 1."""
    for cls in ("climb_stairs", "climb", "hug"):
        path = OFFICIAL / f"{cls}_test_split1.txt"
        dataset.add(cls, list(read_class_file(path)))
        dataset.official[cls] = path
    return dataset


def count(rows):
    return Counter((row.cls, row.part) for row in rows)


@pytest.mark.parametrize("path", sorted(OFFICIAL.glob("*_test_split?.txt")), ids=lambda p: p.stem)
def test_official_files_hold_70_and_30(path):
    labels = Counter(read_class_file(path).values())
    assert (labels["train"], labels["test"]) == (70, 30)


def test_split_files_of_a_class_name_the_same_videos():
    first, *others = (read_class_file(OFFICIAL / f"hug_test_split{k}.txt") for k in "123")
    assert all(first.keys() == other.keys() and first != other for other in others)
    assert "-_FREE_HUGS_-_Abrazos_Gratis_www_abrazosgratis_org_hug_u_cm_np2_ba_goo_10" in first


@pytest.mark.parametrize(
    "text",
    [
        "a b.avi 1 \nc.avi 2\nd.avi 0",
        "\ufeffa b.avi\t1\r\n\r\n  c.avi   2  \r\nd.avi 0\r\n",
        "a b 1\nc.mp4 2\nd.MKV 0\n",
    ],
)
def test_split_files_may_differ_in_white_space_and_suffix(tmp_path, text):
    path = tmp_path / "walk_test_split1.txt"
    path.write_bytes(text.encode())
    assert read_class_file(path) == {"a b": "train", "c": "test", "d": None}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("b.avi 3", "line 2: 'b.avi 3'"),
        ("b.avi", "line 2: 'b.avi'"),
        ("1", "line 2: '1'"),
        ("b.avi one", "line 2"),
        ("a.avi 2", "line 2"),
        ("<html>404 not found</html>", "line 2"),
    ],
)
def test_split_files_are_strict_in_content(tmp_path, line, found):
    path = tmp_path / "walk_test_split1.txt"
    path.write_text(f"a.avi 1\n{line}\n")
    with pytest.raises(InputError) as error:
        read_class_file(path)
    assert found in str(error.value)
    assert str(path) in str(error.value)


def test_empty_split_file(tmp_path):
    (tmp_path / "walk_test_split1.txt").touch()
    with pytest.raises(InputError, match="no line"):
        read_class_file(tmp_path / "walk_test_split1.txt")


def test_tutorial_split_has_no_validation_part(hmdb51):
    rows = hmdb51.split(validation="test")
    assert count(rows) == {
        (cls, part): number
        for cls in ("climb", "climb_stairs", "hug")
        for part, number in (("train", 70), ("test", 30))
    }


def test_table_is_ordered_by_part_then_label_then_name(hmdb51):
    rows = hmdb51.split()
    keys = [
        (("train", "val", "test").index(row.part), list(hmdb51.manifests).index(row.cls), row.video)
        for row in rows
    ]
    assert keys == sorted(keys)
    header = (hmdb51.root / "split.tsv").read_text().splitlines()[0]
    assert header == "part\tclass\tvideo\tframes\tformat\tsha256\tflow"


def test_validation_is_held_out_of_training_by_source_video(hmdb51):
    tutorial = {(row.cls, row.video): row.part for row in hmdb51.split(validation="test")}
    rows = hmdb51.split(validation=0.2)
    find = source_finder(None)
    for cls in hmdb51.manifests:
        parts = {row.video: row.part for row in rows if row.cls == cls}
        sources = {
            part: {find(cls, video) for video, of in parts.items() if of == part}
            for part in ("train", "val")
        }
        assert not sources["train"] & sources["val"]
        assert 8 <= count(rows)[cls, "val"] <= 14
        assert {v for v, part in parts.items() if part == "test"} == {
            video for (of, video), part in tutorial.items() if of == cls and part == "test"
        }


def test_draw_depends_on_the_seed_alone(hmdb51):
    rows = hmdb51.split(seed=1)
    assert hmdb51.split(seed=1) == rows
    assert hmdb51.split(seed=2) != rows


def test_experiments_agree_on_validation(hmdb51):
    all_three = [row for row in hmdb51.split() if row.cls != "climb"]
    two = hmdb51.split(classes=["hug", "climb_stairs"])
    assert set(all_three) == set(two)


def test_a_new_video_moves_few_others():
    videos = [f"record{number}" for number in range(100)]
    find = source_finder(None)
    before = set(draw(videos, "walk", find, 0.2, "1 val"))
    after = set(draw([*videos, "new"], "walk", find, 0.2, "1 val"))
    assert len(before) == len(after) == 20
    assert len(before - after) <= 1


def test_drawn_fraction_keeps_source_videos_whole():
    videos = [f"film{number // 7}_run_f_x{number}" for number in range(70)]
    for seed in range(20):
        drawn = draw(videos, "run", source_finder(None), 0.3, str(seed))
        films = Counter(video.partition("_")[0] for video in drawn)
        assert set(films.values()) == {7}
        assert len(films) == 3


def test_sources_larger_than_the_fraction_still_give_the_smallest():
    videos = [f"big_run_f_{number}" for number in range(9)]
    videos += [f"small_run_f_{number}" for number in range(4)]
    drawn = draw(videos, "run", source_finder(None), 0.1, "1")
    assert sorted(drawn) == [f"small_run_f_{number}" for number in range(4)]


def test_fraction_draws_test_videos_anew_for_each_number(dataset):
    dataset.add("walk", [f"w{n}" for n in range(50)]).add("run", [f"r{n}" for n in range(20)])
    options = {"method": "fraction", "test_fraction": 0.3}
    tests = {}
    for number in (1, 2, 3):
        rows = dataset.split(number=number, **options)
        assert count(rows) == {
            ("walk", "train"): 28,
            ("walk", "val"): 7,
            ("walk", "test"): 15,
            ("run", "train"): 11,
            ("run", "val"): 3,
            ("run", "test"): 6,
        }
        tests[number] = {row.video for row in rows if row.part == "test"}
    assert len({frozenset(videos) for videos in tests.values()}) == 3


def test_every_mismatch_is_listed_at_once(dataset):
    dataset.add("walk", ["a", "b", "new"], {"a": 1, "b": 2, "gone": 1})
    dataset.add("run", ["c", "d"], {"c": 1, "d": 2, "[lost]": 0})
    with pytest.raises(InputError) as error:
        dataset.split()
    message = str(error.value)
    assert "3 mismatches between the videos and the files of split 1" in message
    assert "walk: gone has no video" in message
    assert "walk: new is in no split file" in message
    assert "run: [lost] has no video" in message
    assert not (dataset.root / "split.tsv").exists()


def test_a_video_that_no_split_file_names_is_not_used_and_said_so(dataset, caplog):
    dataset.add("walk", ["a", "b", "new"], {"a": 1, "b": 2})
    dataset.add("run", ["c", "d"], {"c": 1, "d": 2})
    dataset.split(validation="test")
    assert {row.video for row in read_split(dataset.root / "split.tsv")} == set("abcd")
    assert "walk: new is in no split file" in caplog.text


def test_class_without_split_file(dataset):
    dataset.add("walk", ["a", "b"], {"a": 1, "b": 2}).add("run", ["c"]).add("hop", ["d"])
    with pytest.raises(InputError) as error:
        dataset.split()
    assert "run_test_split1.txt" in str(error.value)
    assert "hop_test_split1.txt" in str(error.value)


def test_split_file_of_a_longer_class_name_is_refused(dataset):
    dataset.add("climb", ["a", "b"])
    dataset.add("climb_stairs", ["a", "b"], {"a": 1, "b": 2})
    dataset.official["climb"] = dataset.official["climb_stairs"]
    with pytest.raises(InputError, match=r"allowed: climb_test_split1\.txt"):
        dataset.split(classes=["climb"])


def test_bad_videos_are_left_out_and_named(dataset, caplog):
    dataset.add(
        "walk", [*"abcd", record("e", status="bad")], {"a": 1, "b": 1, "c": 2, "d": 0, "e": 1}
    )
    rows = dataset.split()
    assert {row.video for row in rows} == {"a", "b", "c"}
    assert "Left out of class walk, bad: e.avi" in caplog.text


def test_class_with_one_source_video_is_trained_without_validation(dataset, caplog):
    dataset.add("walk", list("abc"), {"a": 1, "b": 1, "c": 2})
    dataset.add("run", ["d", "e"], {"d": 1, "e": 2})
    rows = dataset.split()
    assert count(rows)["walk", "val"] == 1
    assert count(rows)["run", "train"] == 1
    assert "No validation video, just one source to train with: run" in caplog.text


def test_no_validation_video_at_all(dataset):
    dataset.add("run", ["d", "e"], {"d": 1, "e": 2})
    with pytest.raises(InputError, match=r'set splits\.validation to "test"'):
        dataset.split()
    assert count(dataset.split(validation="test")) == {("run", "train"): 1, ("run", "test"): 1}


@pytest.mark.parametrize("options", [{}, {"method": "fraction"}])
def test_classes_without_test_videos_are_named(dataset, options):
    dataset.add("walk", list("abcd"), {"a": 1, "b": 1, "c": 2, "d": 2})
    dataset.add("run", ["x"], {"x": 1})
    with pytest.raises(InputError, match="run: no test video"):
        dataset.split(**options)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 30])
def test_impossible_fraction(dataset, fraction):
    dataset.add("walk", list("abc"), {"a": 1, "b": 1, "c": 2})
    with pytest.raises(InputError, match="between 0 and 1"):
        dataset.split(validation=fraction)


def test_equal_videos_on_both_sides_are_named(dataset, caplog):
    dataset.add("walk", [record("a", content="same"), "b", "x"], {"a": 1, "b": 2, "x": 1})
    dataset.add("run", ["c", "y", record("d", content="same")], {"c": 1, "y": 1, "d": 2})
    dataset.split(validation="test")
    assert "The same video in different parts: walk/a (train) = run/d (test)" in caplog.text


def test_a_source_video_in_training_and_in_test_is_named(dataset, caplog):
    film = "Film_walk_f_cm_np1_fr_med_{}"
    videos = {film.format(0): 1, film.format(1): 2, "Other_walk_f_cm_np1_fr_med_0": 1}
    dataset.add("walk", list(videos), videos)
    dataset.add("run", ["a", "b"], {"a": 1, "b": 2})
    dataset.split(validation="test")
    assert "1 of 4 source videos in training and in test" in caplog.text
    assert "too high: walk/Film" in caplog.text


@pytest.fixture
def project(tmp_path):
    """Return a project with the frames and the split of two classes, one with an odd name."""
    dataset = Dataset(tmp_path / "project/results/mine")
    odd = "-_[HD]_(1)_#2;&+~@!_0"
    dataset.add("walk", [odd, "a", "b", "c"]).add("run", list("defg"))
    for cls, videos in (("walk", (odd, "a", "b", "c")), ("run", "defg")):
        for video in videos:
            rgb = tmp_path / "project/resources/mine/frames" / cls / video / "rgb"
            rgb.mkdir(parents=True)
            for number in (1, 2, 3):
                (rgb / f"{number:06d}.png").write_text(f"{cls} {video}")
    dataset.split(method="fraction")
    return tmp_path / "project"


def link(project):
    table, data = project / "results/mine/split.tsv", project / "results/mine/data"
    link_split(table, project / "resources/mine/frames", data, "symlink")
    return table, data


def test_tree_of_links(project):
    table, data = link(project)
    rows = read_split(table)
    assert sorted(path.name for path in data.iterdir()) == ["inference", "test", "train", "val"]
    for row in rows:
        path = data / row.part / row.cls / row.video
        assert not path.readlink().is_absolute()
        assert (path / "rgb/000001.png").read_text() == f"{row.cls} {row.video}"
    assert len([path for path in data.rglob("*") if path.is_symlink()]) == len(rows) + 2
    assert verify_split(table, data) == rows


def test_flat_names_lead_back_to_class_and_video(project):
    table, data = link(project)
    names = inference_names(table)
    assert sorted(names) == sorted(path.name for path in (data / "inference").iterdir())
    for name, (cls, video) in names.items():
        assert (data / "inference" / name / "rgb/000001.png").read_text() == f"{cls} {video}"
    tests = [(row.cls, row.video) for row in read_split(table) if row.part == "test"]
    assert list(names.values()) == tests


def test_every_class_has_its_folder_in_every_part(dataset, tmp_path):
    dataset.add("walk", list("abc"), {"a": 1, "b": 1, "c": 2})
    dataset.add("run", ["d", "e"], {"d": 1, "e": 2})
    for row in dataset.split():
        (tmp_path / "pool" / row.cls / row.video / "rgb").mkdir(parents=True)
    link_split(tmp_path / "split.tsv", tmp_path / "pool", tmp_path / "data", "symlink")
    assert list((tmp_path / "data/val/run").iterdir()) == []
    assert len(list((tmp_path / "data/val/walk").iterdir())) == 1


def test_project_can_be_moved(project, tmp_path):
    link(project)
    moved = tmp_path / "elsewhere/deeper"
    moved.parent.mkdir()
    shutil.move(project, moved)
    verify_split(moved / "results/mine/split.tsv", moved / "results/mine/data")


def test_results_may_live_on_another_disk(project, tmp_path):
    (tmp_path / "a/b/disk").mkdir(parents=True)
    shutil.move(project / "results", tmp_path / "a/b/disk/results")
    (project / "results").symlink_to(tmp_path / "a/b/disk/results")
    verify_split(*link(project))


def test_new_tree_replaces_the_old_one_whole(project):
    table, data = link(project)
    lines = table.read_text().splitlines(keepends=True)
    dropped = next(row for row in read_split(table) if row.part == "train")
    table.write_text("".join(line for line in lines if f"\t{dropped.video}\t" not in line))
    link(project)
    assert not (data / "train" / dropped.cls / dropped.video).is_symlink()
    verify_split(table, data)
    assert (project / "resources/mine/frames" / dropped.cls / dropped.video / "rgb").is_dir()


def test_missing_frames_leave_the_old_tree_alone(project):
    table, data = link(project)
    before = sorted(data.rglob("*"))
    row = read_split(table)[0]
    shutil.rmtree(project / "resources/mine/frames" / row.cls / row.video)
    with pytest.raises(InputError, match="frames of 1 video of the split are missing"):
        link(project)
    assert sorted(data.rglob("*")) == before


def flow(video, images, method="dis medium", opencv="5.0.0"):
    status = "ok" if images else "none"
    made = (method, "max_rad", opencv, "png", "7" * 64)
    return FlowRecord(video, images, 64, 48, *made, status, "")


@pytest.fixture
def moving(dataset):
    """Return two classes of videos of three frames with their flow manifests."""
    dataset.flows = {}
    for cls in ("walk", "run"):
        dataset.add(cls, list("abcdef"), dict.fromkeys("abcd", 1) | dict.fromkeys("ef", 2))
        dataset.flows[cls] = dataset.root / f"flow/{cls}.tsv"
        write_flow_manifest(dataset.flows[cls], [flow(video, 2) for video in "abcdef"])
    return dataset


def test_the_table_tells_which_flow_is_used(moving):
    assert {row.flow for row in moving.split()} == {""}
    with_flow = moving.split(flows=moving.flows)
    assert {row.flow for row in with_flow} == {"dis medium max_rad opencv 5.0.0"}
    before = (moving.root / "split.tsv").read_bytes()
    write_flow_manifest(
        moving.flows["run"], [flow(video, 2, method="farneback") for video in "abcdef"]
    )
    moving.split(flows=moving.flows)
    assert (moving.root / "split.tsv").read_bytes() != before


def test_videos_without_flow_are_left_out_and_named(moving, caplog):
    flows = [flow("a", 0), *(flow(video, 2) for video in "cdef")]
    write_flow_manifest(moving.flows["walk"], flows)
    rows = moving.split(flows=moving.flows)
    assert {row.video for row in rows if row.cls == "walk"} == set("cdef")
    assert "Left out of class walk, no flow: a.avi, b.avi" in caplog.text
    assert len(moving.split()) == 12


def test_flow_of_other_frames_is_refused_with_the_numbers(moving):
    write_flow_manifest(moving.flows["run"], [flow(video, 5) for video in "ab"])
    with pytest.raises(InputError) as error:
        moving.split(flows=moving.flows)
    assert "run/a: 5 flow images for 3 frames" in str(error.value)
    assert "run/b: 5 flow images for 3 frames" in str(error.value)


def test_flow_by_two_versions_of_opencv_is_said(moving, caplog):
    write_flow_manifest(
        moving.flows["run"], [flow(video, 2, opencv="4.12.0") for video in "abcdef"]
    )
    moving.split(flows=moving.flows)
    assert "different versions of OpenCV" in caplog.text
    assert "4.12.0" in caplog.text


def test_u_and_v_are_counted_before_training(moving, tmp_path):
    frames, table, data = tmp_path / "pool", tmp_path / "split.tsv", tmp_path / "data"
    for row in moving.split(flows=moving.flows, validation="test"):
        for name, count, suffix in (("rgb", 3, "png"), ("u", 2, "jpg"), ("v", 2, "jpg")):
            folder = frames / row.cls / row.video / name
            folder.mkdir(parents=True)
            for number in range(1, count + 1):
                (folder / f"{number:06d}.{suffix}").touch()
    link_split(table, frames, data, "symlink")
    verify_split(table, data)
    (frames / "walk/a/v/000002.jpg").unlink()
    (frames / "walk/b/u/000003.jpg").touch()
    shutil.rmtree(frames / "run/f/u")
    with pytest.raises(InputError) as error:
        verify_split(table, data)
    assert "train/walk/a: v: expected 2 jpg frames, found 1 file" in str(error.value)
    assert "train/walk/b: u: expected 2 jpg frames, found 3 files" in str(error.value)
    assert "test/run/f: u: expected 2 frames, found no folder u" in str(error.value)
    moving.split(validation="test")
    verify_split(table, data)


def test_lost_frame_or_stray_link_is_noticed(project):
    table, data = link(project)
    row = read_split(table)[0]
    path = data / row.part / row.cls / row.video
    (path / "rgb/000002.png").unlink()
    with pytest.raises(InputError) as error:
        verify_split(table, data)
    assert f"{row.part}/{row.cls}/{row.video}: expected 3 png frames, found 2" in str(error.value)
    (path / "rgb/000002.png").touch()
    (path.parent / "stray").symlink_to(path.readlink())
    (data / "train/other_class").mkdir()
    with pytest.raises(InputError) as error:
        verify_split(table, data)
    assert f"{row.part}/{row.cls}/stray: not in the split" in str(error.value)
    assert "train/other_class: not in the split" in str(error.value)


@pytest.mark.parametrize(
    "row",
    [
        "train\t..\tx\t3\tpng\t0\t",
        "train\twalk\t../../x\t3\tpng\t0\t",
        "../x\twalk\tx\t3\tpng\t0\t",
    ],
)
def test_no_path_leaves_its_folder(tmp_path, row):
    table = tmp_path / "split.tsv"
    table.write_text(f"part\tclass\tvideo\tframes\tformat\tsha256\tflow\n{row}\n")
    with pytest.raises(InputError):
        link_split(table, tmp_path / "frames", tmp_path / "data", "symlink")
    assert not (tmp_path / "data").exists()


def test_colliding_flat_names(dataset):
    dataset.add("a", ["b.c", "x"], {"b.c": 2, "x": 1}).add("a.b", ["c", "y"], {"c": 2, "y": 1})
    dataset.split(validation="test")
    with pytest.raises(InputError, match=r"a/b\.c = a\.b/c"):
        inference_names(dataset.root / "split.tsv")
