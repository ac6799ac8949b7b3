"""Frames listed by packets are those that decoding counts, and where packets leave doubt it does.

The family is every kind of video that the tests of the decoder have: sound ones of all codecs and
containers that are listed, and those whose packets mislead.
"""

import logging
import math
import shutil
from dataclasses import replace

import av
import numpy as np
import pytest

from actionrec.errors import InputError
from actionrec.frames.decoder.packets import Doubt, list_frames
from actionrec.frames.extraction import extract_class, extract_segments
from actionrec.frames.flow import extract_flow
from actionrec.frames.manifest import read_manifest
from actionrec.frames.references import read_reference
from actionrec.frames.segments import Crop, Segment, write_crops, write_segments
from actionrec.frames.store import open_frames
from actionrec.frames.videos import list_videos, write_files_table
from helpers import DATA, DIS, PNG
from helpers.videos import avi as make_avi
from helpers.videos import encode, encode_interlaced, packed_divx, remux

VIDEO = replace(PNG, suffix="video")
ROTATED = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
VARIABLE = [0.04 * i + (0.3 if i > 20 else 0) + (0.011 if i % 3 else 0) for i in range(40)]
FIELDS = {"flags": "+ildct+ilme", "b": "4M"}
OPEN = {"x264-params": "open-gop=1:keyint=12:bframes=3"}


def encoded(name, codec, count=30, **settings):
    return lambda root: encode(root / name, codec, count, **settings)


def copied(name):
    return lambda root: shutil.copy(DATA / "videos" / name, root / name)


def packed(root):
    packed_divx(root / "packed.avi", 25)


def cut_within_a_group(root):
    """Copy from between two key frames on: an edit list hides what comes before the cut."""
    plain = encode(root / "plain.mp4", "libx264", 40, options={"g": "10", "bf": "2"})
    remux(plain, root / "cut.mp4", shift=-0.5)
    plain.unlink()


def starts_between_key_frames(root):
    plain = encode(root / "plain.mkv", "mpeg4", 30, options={"g": "10"})
    remux(plain, root / "late.mkv", lambda index, data: None if index < 4 else data)
    plain.unlink()


def skips_pictures(root):
    """Write an AVI in which two packets say that nothing has changed."""
    plain = encode(root / "plain.avi", "mpeg4", 12)
    with av.open(str(plain)) as given:
        sent = [bytes(packet) for packet in given.demux(given.streams.video[0]) if packet.size]
    plain.unlink()
    sent[5:5] = [b"\0\0\1\xb6\x57\xff\xff\xff"] * 2
    (root / "skips.avi").write_bytes(make_avi(sent, keys={0}))


def dropped_by_the_recorder(root):
    plain = encode(root / "plain.avi", "mjpeg", 12)
    with av.open(str(plain)) as given:
        sent = [bytes(packet) for packet in given.demux(given.streams.video[0]) if packet.size]
    plain.unlink()
    (root / "dropped.avi").write_bytes(make_avi([*sent[:6], b"", b"", *sent[6:]], fourcc=b"MJPG"))


def half_of_it(root):
    path = encode(root / "half.mp4", "mpeg4", 30, container={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fields(name, codec, **settings):
    return lambda root: encode_interlaced(root / name, codec, 12, **settings)


LISTED = {
    "HMDB51": copied("divx_packed.avi"),
    "UCF101": copied("xvid.avi"),
    "packed": packed,
    "B-frames in AVI": encoded("a.avi", "mpeg4", options={"bf": "2", "g": "12"}),
    "Motion JPEG": encoded("a.avi", "mjpeg", 8),
    "MPEG-4 in MP4": encoded("a.mp4", "mpeg4", options={"bf": "2"}, sound=1.0),
    "B-frames": encoded("a.mp4", "libx264", options={"g": "12", "bf": "3"}),
    "open groups": encoded("a.mkv", "libx264", 60, options=OPEN),
    "variable rate": encoded("a.mp4", "libx264", 40, times=VARIABLE, options={"g": "10"}),
    "variable rate in Matroska": encoded("a.mkv", "libx264", 40, times=VARIABLE),
    "late": encoded("a.mp4", "libx264", 20, times=[1.5 + i / 25 for i in range(20)], sound=2.0),
    "HEVC": encoded("a.mp4", "libx265", 20),
    "VP9": encoded("a.webm", "libvpx-vp9", 20),
    "rotated": encoded("a.mov", "mpeg4", 8, matrix=ROTATED),
    "intra refresh": encoded(
        "a.mp4", "libx264", 60, options={"x264-params": "intra-refresh=1:bframes=0"}
    ),
    "fragments": encoded("a.mp4", "libx264", 30, container={"movflags": "frag_keyframe"}),
    "live": encoded("a.mkv", "libx264", 30, container={"live": "1"}),
    "negative stamps": encoded(
        "a.mp4",
        "libx264",
        options={"bf": "3"},
        container={"use_editlist": "0", "movflags": "negative_cts_offsets"},
    ),
    "one frame": encoded("a.mp4", "libx264", 1),
}
DOUBTED = {
    "skips pictures": skips_pictures,
    "dropped": dropped_by_the_recorder,
    "edit list": cut_within_a_group,
    "late key": starts_between_key_frames,
    "broadcast": encoded("a.ts", "mpeg2video", 20, options={"bf": "2"}),
    "hidden frames": encoded("a.webm", "libvpx", 12),
    "fields in AVI": fields("a.avi", "mpeg4", options=FIELDS),
    "fields in MP4": fields("a.mp4", "libx264", options={"x264-params": "tff=1"}),
    "cut off": half_of_it,
}


def tables(root, **options):
    """Extract the videos of a class by both checks; return their frames' folders and records."""
    table, made = root / "videos.tsv", []
    write_files_table(table, list_videos(root / "videos"))
    for check in ("full", "quick"):
        frames, manifest = root / check / "walk", root / f"{check}.tsv"
        extract_class(
            root / "videos", table, frames, manifest, image_format=VIDEO, check=check, **options
        )
        made.append((frames, read_manifest(manifest)))
    return made


def made_by(kinds, root):
    """Return the frames and records of videos of these kinds, by both checks, and the log."""
    for name, kind in kinds.items():
        folder = root / name
        folder.mkdir()
        kind(folder)
        (path,) = folder.iterdir()
        (root / "videos").mkdir(exist_ok=True)
        path.rename(root / "videos" / f"{name.replace(' ', '_')}{path.suffix}")
    return tables(root)


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    return made_by(LISTED, tmp_path_factory.mktemp("listed"))


def test_the_table_is_that_of_decoding_but_for_the_pixels(listed):
    (_, full), (_, quick) = listed
    assert [record.video for record in quick] == sorted(name.replace(" ", "_") for name in LISTED)
    assert all(record.content == "" for record in quick)
    assert quick == [replace(record, content="") for record in full]


@pytest.mark.parametrize("kind", [name.replace(" ", "_") for name in LISTED])
def test_the_same_frames_are_read(listed, kind):
    (full, _), (quick, _) = listed
    decoded, known = (read_reference(frames / kind / "rgb") for frames in (full, quick))
    assert list(known.times) == list(decoded.times)
    assert list(known.keys) == list(decoded.keys)
    assert list(known.checksums) == []
    assert replace(known, checksums=(), keys=()) == replace(
        decoded, checksums=(), keys=(), times=known.times
    )
    ids = [known.count - 1, known.count // 2, 0]
    expected, found = (
        {index: image.copy() for index, image in open_frames(frames / kind / "rgb").read(ids)}
        for frames in (full, quick)
    )
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[index], found[index]) for index in expected)


def test_what_packets_do_not_tell_is_decoded(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (_, full), (_, quick) = made_by(DOUBTED, tmp_path)
    assert quick == full
    assert caplog.text.count("is decoded to list its frames") == len(DOUBTED)
    assert {record.video for record in quick if not record.usable} >= {"cut_off"}


def test_a_file_that_is_no_video_is_a_bad_one(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/page.avi").write_text("<html>not found</html>")
    (tmp_path / "videos/empty.mp4").touch()
    (_, full), (_, quick) = tables(tmp_path)
    assert quick == full
    assert [record.status for record in quick] == ["bad", "bad"]


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_segments_and_crops_are_the_same(tmp_path, suffix):
    path = encode(tmp_path / f"long{suffix}", "mpeg4", 150, options={"g": "25"})
    size = path.stat().st_size
    spans = {"a": (0.0, math.inf), "b": (3.0, 4.2), "c": (4.97, 5.3), "d": (5.0, 6.9)}
    spans |= {"e": (0.0, 9.0), "f": (8.0, 9.0), "cut": (0.0, math.inf)}
    table, crops = tmp_path / "walk.tsv", tmp_path / "crops.tsv"
    write_segments(table, [Segment(name, str(path), size, *span) for name, span in spans.items()])
    wanted = enumerate([100, 120, 120, 9], 1)
    write_crops(crops, [Crop("cut", n, frame, 48, 32, n, 2, 30 + n, 22) for n, frame in wanted])
    made = {}
    for check in ("full", "quick"):
        frames, manifest = tmp_path / check, tmp_path / f"{check}.tsv"
        extract_segments(table, crops, frames, manifest, image_format=VIDEO, check=check)
        made[check] = read_manifest(manifest)
    assert made["quick"] == [replace(record, content="") for record in made["full"]]
    status = {record.video: record.status for record in made["quick"]}
    assert status == {**dict.fromkeys(spans, "ok"), "d": "warn", "e": "bad", "f": "bad"}
    for name in ("b", "c", "d", "cut"):
        full, quick = (read_reference(tmp_path / check / name / "rgb") for check in made)
        assert list(full.times) == list(quick.times)
        pixels = [
            [image.copy() for _, image in open_frames(tmp_path / check / name / "rgb").read()]
            for check in made
        ]
        assert all(map(np.array_equal, *pixels))


@pytest.fixture
def walk(tmp_path):
    """Return the root of a class of two videos that are listed, and its frames' folder."""
    for seed, name in enumerate("ab"):
        encode(tmp_path / f"videos/{name}.mp4", "mpeg4", 30 + seed, options={"g": "10"})
    write_files_table(tmp_path / "videos.tsv", list_videos(tmp_path / "videos"))
    return tmp_path, remade(tmp_path, "quick")


def remade(root, check):
    frames = root / "frames/walk"
    extract_class(
        *(root / "videos", root / "videos.tsv", frames, root / "frames.tsv"),
        image_format=VIDEO,
        check=check,
    )
    return frames


def test_a_table_of_decoding_stays_and_one_of_packets_is_made_again(walk):
    root, frames = walk
    quick = (root / "frames.tsv").read_bytes()
    remade(root, "full")
    full = (root / "frames.tsv").read_bytes()
    assert full != quick
    assert len(read_reference(frames / "a/rgb").checksums) == 30
    remade(root, "quick")
    assert (root / "frames.tsv").read_bytes() == full


def test_flow_knows_the_file_that_it_was_made_of(walk):
    root, frames = walk
    extract_flow(frames, root / "frames.tsv", root / "flow.tsv", DIS)
    before = (root / "flow.tsv").read_text()
    encode(root / "videos/a.mp4", "mpeg4", 30, width=64)
    remade(root, "quick")
    extract_flow(frames, root / "frames.tsv", root / "flow.tsv", DIS)
    after = (root / "flow.tsv").read_text()
    assert after.splitlines()[2] == before.splitlines()[2]
    assert after.splitlines()[1] != before.splitlines()[1]


def test_damage_is_found_by_who_reads_the_frame(walk):
    root, _ = walk
    video = root / "videos/a.mp4"
    with av.open(str(video)) as opened:
        packet = [packet for packet in opened.demux(video=0) if packet.size][15]
        middle = packet.pos + packet.size // 2
    content = bytearray(video.read_bytes())
    content[middle : middle + 20] = bytes(20)
    video.write_bytes(content)
    frames = remade(root, "quick")
    assert [r.status for r in read_manifest(root / "frames.tsv")] == ["ok", "ok"]
    assert len(list(open_frames(frames / "a/rgb").read([0, 5]))) == 2
    with pytest.raises(InputError, match=r"damaged(?s:.)*frames\.check: full") as error:
        list(open_frames(frames / "a/rgb").read())
    assert str(video) in str(error.value)


def test_a_video_that_is_replaced_is_refused_even_if_its_times_are_the_same(walk):
    root, frames = walk
    video = root / "videos/a.mp4"
    encode(root / "other.mp4", "mpeg4", 30, options={"g": "11"})
    shutil.copy(root / "other.mp4", video)
    with pytest.raises(InputError, match="its video was replaced"):
        list(open_frames(frames / "a/rgb").read([3]))
    shutil.copy(root / "videos/b.mp4", video)
    reading = open_frames(frames / "b/rgb").read()
    next(reading)
    (root / "videos/b.mp4").write_bytes((root / "other.mp4").read_bytes())
    with pytest.raises(InputError, match=r"videos/b\.mp4"):
        list(reading)


def test_doubt_says_why(tmp_path):
    with pytest.raises(Doubt, match="mpeg2video in mpegts"):
        list_frames(encode(tmp_path / "a.ts", "mpeg2video", 5))
