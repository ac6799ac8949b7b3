"""SHAD's annotations become segments of people, step by step, however many people a frame has."""

import cv2
import numpy as np
import pytest
import yaml

from actionrec.errors import InputError
from actionrec.frames.extraction import extract_segments
from actionrec.frames.flow import extract_flow, make_method, max_rad
from actionrec.frames.flow_manifest import flow_faults
from actionrec.frames.manifest import read_manifest
from actionrec.frames.segments import read_frame_sources, read_segments
from actionrec.sources.shad import Span, interpolate, list_shad, read_spans, require_classes, widen
from helpers import DIS, PNG, clone, decode, snakemake, write_video

WIDTH, HEIGHT = 160, 120
ACTIONS = ("walk", "fall", "sits", "squa", "bend")


def corners_of(box):
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    return "".join(f"<{name}>{value}</{name}>" for name, value in corners)


def write_xml(path, frame, people, *, as_items=False, size=(WIDTH, HEIGHT)):
    """Write one annotated frame: `people` maps ids to boxes; a single one stands without items."""
    ids = "".join(f"<item>{number}</item>" for number in people)
    boxes = "".join(f"<item>{corners_of(box)}</item>" for box in people.values())
    if len(people) == 1 and not as_items:
        ids, boxes = (str(next(iter(people))), corners_of(next(iter(people.values()))))
    inner = f"<ID>{ids}</ID><bndbox>{boxes}</bndbox>" if people else ""
    path.write_text(
        f"<xml><source><framenum>{frame}</framenum></source>"
        f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
        f"<pedestriandescription>{inner}</pedestriandescription></xml>"
    )


class Shad:
    """A generated SHAD folder and the project that reads it."""

    def __init__(self, root):
        self.root, self.data = root, root / "SHAD"

    def video(self, name, spans, frames, *, count=60, folder="Bend", width=WIDTH, height=HEIGHT):
        """Add a video: `spans` is the annotation text, `frames` maps frame -> person -> box."""
        home = self.data / f"{folder}-train"
        write_video(home / f"video/{name}.avi", count, width, height, fourcc="MJPG")
        notes = home / "Annotations" / name
        notes.mkdir(parents=True)
        (notes / f"{name}-multi.txt").write_text(spans, encoding="latin-1")
        for number, people in frames.items():
            write_xml(notes / f"{name}-{number:04d}.xml", number, people)
        return notes

    def list(self, classes, sequences="track"):
        tables = {cls: self.root / f"videos/{cls}.tsv" for cls in classes}
        crops = {cls: self.root / f"crops/{cls}.tsv" for cls in classes}
        list_shad(self.data, tables, crops, sequences)
        return {
            cls: [segment.video for segment in read_segments(path)] for cls, path in tables.items()
        }

    def crops(self, cls):
        sources = read_frame_sources(
            self.root / f"videos/{cls}.tsv", self.root / f"crops/{cls}.tsv"
        )
        return {name: source.crops for name, source in sources.items()}

    def frames(self, cls, video):
        return {video: [crop.frame for crop in crops] for video, crops in self.crops(cls).items()}[
            video
        ]


@pytest.fixture
def shad(tmp_path):
    return Shad(tmp_path)


STILL = (40, 30, 60, 90)


@pytest.mark.parametrize(
    "line",
    [
        "1 Bend,0,24",
        "1,Bend,0,24",
        "1 Bend 0 24",
        "1,Bend,0 24",
        "1 Bend,0 24",
        "1 Bend 0,24",
        "1,Bend 0 24",
        "  1 , BEND , 0 , 24 , more, 5",
    ],
)
def test_spans_in_every_notation(line):
    assert read_spans(f"{line}\r\n\n") == [Span(1, "bend", 0, 24)]


def test_a_line_that_is_no_span_is_warned_of(caplog):
    assert read_spans("1 Bend 0 24\n1 Bend\nBend,1,2,3\n") == [Span(1, "bend", 0, 24)]
    assert caplog.text.count("No span of an action") == 2


def test_boxes_are_interpolated_and_never_extrapolated():
    boxes = interpolate({4: (0, 10, 20, 30), 8: (8, 10, 24, 50), 9: (0, 0, 1, 1)})
    assert sorted(boxes) == [4, 5, 6, 7, 8, 9]
    assert boxes[5] == (2, 10, 21, 35)
    assert boxes[7] == (6, 10, 23, 45)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((40, 30, 60, 90), (38, 28, 62, 92)),  # 2 = a tenth of the width, on every side
        ((1, 30, 61, 90), (1, 24, 67, 96)),  # the left side would leave the frame and stays
        ((40, 1, 70, 90), (37, 1, 73, 93)),
        ((100, 30, 157, 90), (94, 24, 157, 95)),  # 162.7 is outside; 94.3 is cut, not rounded
        ((40, 30, 60, 119), (38, 28, 62, 119)),
        ((-7, -3, 23, 50), (0, 0, 26, 53)),
    ],
)
def test_boxes_get_a_margin_inside_of_the_frame(box, expected):
    assert widen(box, WIDTH, HEIGHT) == expected


def test_one_person_who_changes_what_she_does(shad):
    spans = "1 Walk 0 16\n1,Bend,17,60\n"
    shad.video("V_1", spans, {2: {1: STILL}, 45: {1: STILL}})
    assert shad.list(("walk", "bend")) == {
        "walk": ["V_1_person1_000002"],
        "bend": ["V_1_person1_000012"],
    }
    # Chunks 2, 12, 22, 32; the one at 42 would need frame 52. At 12 + 5 she bends.
    assert shad.frames("walk", "V_1_person1_000002") == list(range(2, 12))
    assert shad.frames("bend", "V_1_person1_000012") == list(range(12, 42))


def test_a_chunk_needs_the_frame_after_it(shad):
    shad.video("ten", "1 Bend 0 99", {0: {1: STILL}, 9: {1: STILL}})
    shad.video("eleven", "1 Bend 0 99", {0: {1: STILL}, 10: {1: STILL}})
    shad.video("short", "1 Bend 0 99", {0: {1: STILL}, 40: {1: STILL}}, count=30)
    assert shad.list(("bend",)) == {"bend": ["eleven_person1_000000", "short_person1_000000"]}
    assert shad.frames("bend", "eleven_person1_000000") == list(range(10))
    assert shad.frames("bend", "short_person1_000000") == list(range(20))


TWO = {
    0: {1: (10, 20, 30, 80), 2: (100, 20, 130, 80)},
    20: {1: (30, 20, 50, 80), 2: (100, 20, 130, 80), 7: (0, 0, 9, 9)},
    50: {2: (40, 20, 70, 80)},
}


def test_two_people_in_a_frame_make_two_segments(shad):
    shad.video("V", "1 Walk 0 60\n2 Walk 0 60\n", TWO)
    assert shad.list(("walk",)) == {"walk": ["V_person1_000000", "V_person2_000000"]}
    assert shad.frames("walk", "V_person1_000000") == list(range(20))
    crops = shad.crops("walk")
    # Person 1 goes right by one pixel a frame; a margin of 2 pixels.
    boxes = [(c.xmin, c.ymin, c.xmax, c.ymax) for c in crops["V_person1_000000"]]
    assert boxes[0] == (8, 18, 32, 82)
    assert boxes[13] == (21, 18, 45, 82)
    # Person 2 stands until 20, then goes left by two a frame; a margin of 3.
    boxes = [(c.xmin, c.ymin, c.xmax, c.ymax) for c in crops["V_person2_000000"]]
    assert boxes[20] == (97, 17, 133, 83)
    assert boxes[25] == (87, 17, 123, 83)
    assert len(boxes) == 50


def test_glued_sequences_are_the_recipes(shad):
    """What NVIDIA's script makes of it: chunks of person 1, then of person 2, in one video."""
    shad.video("V", "1 Walk 0 60\n2 Walk 0 29\n2 Bend 30 39\n2 Walk 40 60\n", TWO)
    assert shad.list(("walk", "bend"), "glued") == {"walk": ["V"], "bend": ["V"]}
    walk = [*range(20), *range(30), *range(40, 50)]
    assert shad.frames("walk", "V") == walk
    assert shad.frames("bend", "V") == list(range(30, 40))
    assert shad.list(("walk",)) == {
        "walk": ["V_person1_000000", "V_person2_000000", "V_person2_000040"]
    }


def test_one_person_written_as_a_list(shad):
    notes = shad.video("V", "1 Bend 0 60", {0: {1: STILL}})
    write_xml(notes / "V-0030.xml", 30, {1: STILL}, as_items=True)
    write_xml(notes / "V-0040.xml", 40, {})
    assert shad.list(("bend",)) == {"bend": ["V_person1_000000"]}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda notes: (notes / "V-0000.xml").write_text("<xml><sou"), "V-0000.xml cannot be read"),
        (lambda notes: (notes / "V-0000.xml").write_text("<a/>"), "V-0000.xml cannot be read"),
        (lambda notes: (notes / "V-multi.txt").unlink(), "has no"),
        (lambda notes: [path.unlink() for path in notes.glob("*.xml")], "no XML file"),
        (
            lambda notes: write_xml(notes / "V-0050.xml", 50, {1: STILL}, size=(9, 9)),
            "found: 9x9, 160x120",
        ),
    ],
)
def test_annotations_that_cannot_be_used_cost_their_video_alone(shad, caplog, spoil, reason):
    frames = {0: {1: STILL}, 30: {1: STILL}}
    shad.video("good", "1 Bend 0 60\n5 Bend 0 60\n", frames)
    spoil(shad.video("V", "1 Bend 0 60", frames, folder="Fall"))
    assert shad.list(("bend",)) == {"bend": ["good_person1_000000"]}
    assert "Not used: V: " in caplog.text
    assert reason in caplog.text
    with pytest.raises(InputError, match="SHAD has no segment of a class") as caught:
        shad.list(("bend", "walk"))
    assert reason in str(caught.value)


def test_folders_that_are_no_shad(shad):
    shad.data.mkdir()
    with pytest.raises(InputError, match=r"Bend-train\.rar"):
        shad.list(ACTIONS)
    for folder in ("Bend", "Fall"):
        shad.video("V", "1 Bend 0 60", {0: {1: STILL}, 30: {1: STILL}}, folder=folder)
    with pytest.raises(InputError, match="Two videos have one name"):
        shad.list(("bend",))


def extract(shad, cls, flow=False):
    table, crops = shad.root / f"videos/{cls}.tsv", shad.root / f"crops/{cls}.tsv"
    frames, manifest = shad.root / f"frames/{cls}", shad.root / f"manifests/{cls}.tsv"
    extract_segments(table, crops, frames, manifest, image_format=PNG)
    if flow:
        sources = read_frame_sources(table, crops)
        extract_flow(frames, manifest, shad.root / f"flow/{cls}.tsv", DIS, cropped=sources)
    return {record.video: record for record in read_manifest(manifest)}, frames


def test_pictures_are_the_crops_of_the_resized_frames(shad):
    """The video is twice as large as the annotations state."""
    shad.video("V", "1 Walk 0 60\n2 Walk 0 60\n", TWO, width=2 * WIDTH, height=2 * HEIGHT)
    shad.list(("walk",))
    records, folder = extract(shad, "walk")
    video = decode(shad.data / "Bend-train/video/V.avi")
    image = cv2.imread(str(folder / "V_person1_000000/rgb/000014.png"))
    assert np.array_equal(image, cv2.resize(video[13], (WIDTH, HEIGHT))[18:82, 21:45])
    assert (records["V_person2_000000"].frames, records["V_person2_000000"].width) == (50, 36)
    assert len({record.sha256 for record in records.values()}) == 2


@pytest.mark.parametrize("sequences", ["track", "glued"])
def test_flow_is_that_of_whole_frames_cropped_alike(shad, sequences):
    shad.video("V", "1 Walk 0 60\n2 Walk 0 60\n", TWO)
    shad.list(("walk",), sequences)
    records, folder = extract(shad, "walk", flow=True)
    name = "V" if sequences == "glued" else "V_person2_000000"
    number = 26 + (20 if sequences == "glued" else 0)  # frame 25 of person 2
    assert not list(flow_faults(folder / name, records[name].frames - 1))
    video = [cv2.cvtColor(f, cv2.COLOR_BGR2GRAY) for f in read_video(shad)]
    u = max_rad(make_method(DIS)(video[25], video[26]))[17:83, 87:123, 0]
    stored = cv2.imread(str(folder / name / f"u/{number:06d}.jpg"), cv2.IMREAD_GRAYSCALE)
    assert stored.shape == u.shape
    assert np.abs(stored.astype(int) - u).mean() < 2, "JPEG loses a little"


def read_video(shad):
    return decode(shad.data / "Bend-train/video/V.avi")


def test_a_damaged_video_is_a_bad_segment_of_its_class(shad):
    for name in ("good", "V"):
        shad.video(name, "1 Bend 0 60", {0: {1: STILL}, 50: {1: STILL}})
    video = shad.data / "Bend-train/video/V.avi"
    video.write_bytes(video.read_bytes()[:9000])
    shad.list(("bend",))
    records, folder = extract(shad, "bend")
    assert records["V_person1_000000"].reason.startswith("is damaged after 3 frames")
    assert [path.name for path in folder.iterdir()] == ["good_person1_000000"]


@pytest.mark.slow
def test_shad_feeds_the_same_dag(tmp_path):
    folder = clone(tmp_path / "project")
    shad = Shad(folder)
    for index in range(3):
        for action in ("Walk", "Bend"):
            text = f"1 {action} 0 60\n2 {action} 0 60\n"
            shad.video(f"SJTU-{index}_{action}", text, TWO, count=25, folder=action)
    config = {
        "dataset": {"name": "s", "source": "shad", "path": "SHAD", "classes": ["bend", "walk"]},
        "flow": {"preset": "ultrafast"},
        "spec": {"model": {"model_type": "joint"}},
        "tao": {"runner": "direct"},
        "experiments": {"joint": None},
    }
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    split = "results/s/experiments/joint/split1/split.tsv"
    snakemake(folder, "--cores", "2", split)
    rows = [line.split("\t") for line in (folder / split).read_text().splitlines()[1:]]
    assert len(rows) == 12
    parts = {row[2].partition("_person")[0]: set() for row in rows}
    for row in rows:
        parts[row[2].partition("_person")[0]].add(row[0])
    assert all(len(found) == 1 for found in parts.values()), "people of a video stay together"
    assert "Nothing to be done" in snakemake(folder, "-n", split)
    (folder / "SHAD/Walk-train/Annotations/SJTU-1_Walk/SJTU-1_Walk-0020.xml").unlink()
    assert "list_shad" in snakemake(folder, "-n", split)


def test_a_class_that_shad_does_not_have_is_refused_with_those_it_has():
    with pytest.raises(InputError, match="walk, fall, sits, squa, bend"):
        require_classes(["walk", "ride_bike"], "my.yaml, dataset.classes")
