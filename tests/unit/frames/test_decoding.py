"""Videos are found, linked, decoded whole or refused with a reason."""

import struct
import subprocess
import sys
import unicodedata
import wave
from pathlib import Path

import cv2
import numpy as np
import pytest

from actionrec.errors import InputError
from actionrec.frames.videos import BadVideo, judge, list_videos, open_video, read_files_table
from actionrec.sources.folder import link_class
from helpers import REPOSITORY, write_video


def read_with_opencv(path):
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        ok, frame = capture.read()
        if not ok:
            return frames
        frames.append(frame)


def decode(path):
    stream = open_video(path)
    frames = list(stream.frames)
    judge(path, stream.header, len(frames))
    return frames


def state_frames(path, extra):
    """Raise the frame counts that an AVI's headers state by `extra`."""
    data = bytearray(path.read_bytes())
    for chunk, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        at = data.index(chunk) + offset
        struct.pack_into("<I", data, at, struct.unpack_from("<I", data, at)[0] + extra)
    path.write_bytes(data)
    return path


def sound_only_avi(path):
    """Write an AVI whose only stream is a second of silence."""

    def chunk(name, data):
        return name + struct.pack("<I", len(data)) + data

    main = struct.pack("<14I", 0, 8000, 0, 0x10, 1, 0, 1, 8000, 0, 0, 0, 0, 0, 0)
    header = b"auds" + struct.pack("<11I", 0, 0, 0, 0, 1, 8000, 0, 8000, 8000, 0, 1) + bytes(8)
    pcm = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    stream = chunk(b"LIST", b"strl" + chunk(b"strh", header) + chunk(b"strf", pcm))
    lists = chunk(b"LIST", b"hdrl" + chunk(b"avih", main) + stream)
    lists += chunk(b"LIST", b"movi" + chunk(b"00wb", bytes([128]) * 8000))
    path.write_bytes(chunk(b"RIFF", b"AVI " + lists))
    return path


def wav(path):
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    return path


@pytest.mark.parametrize(
    ("name", "fourcc"),
    [
        ("a.avi", "XVID"),
        ("a.avi", "MJPG"),
        ("a.mp4", "mp4v"),
        ("a.mov", "mp4v"),
        ("a.mkv", "mp4v"),
        ("a.webm", "VP80"),
        ("a.MP4", "mp4v"),
    ],
)
def test_decodes_every_container_as_opencv_does(tmp_path, name, fourcc):
    video = write_video(tmp_path / name, frames=12, fourcc=fourcc)
    frames = decode(video)
    assert len(frames) == 12
    assert frames[0].shape == (48, 64, 3)
    assert np.array_equal(frames, read_with_opencv(video))


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def text(path):
    path.write_text("not a video\n")
    return path


def playlist(path):
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    return path


BROKEN = {
    "zero bytes": (lambda p: p.touch() or p, "is empty"),
    "text": (text, "no video stream"),
    "playlist": (playlist, "no video stream"),
    "sound in AVI": (sound_only_avi, "no video stream"),
    "WAV": (wav, "no video stream"),
    "truncated": (lambda p: cut(write_video(p, frames=30), 0.5), "is truncated"),
    "header alone": (lambda p: cut(write_video(p, frames=30), 0.2), "is truncated"),
    "no picture": (lambda p: write_video(p, frames=0), "no video stream|no frame"),
    "two frames missing": (
        lambda p: state_frames(write_video(p), 2),
        "breaks off: 10 of 12 frames",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_video_is_refused_with_its_reason(tmp_path, kind):
    make, reason = BROKEN[kind]
    with pytest.raises(BadVideo, match=reason):
        decode(make(tmp_path / "broken.avi"))


@pytest.mark.parametrize(("name", "fourcc"), [("a.mkv", "mp4v"), ("a.webm", "VP80")])
def test_truncated_matroska_is_refused(tmp_path, name, fourcc):
    video = cut(write_video(tmp_path / name, frames=30, fourcc=fourcc), 0.5)
    with pytest.raises(BadVideo, match=r"breaks off: \d+ of 30 frames"):
        decode(video)


def flip_bits(path):
    data = bytearray(path.read_bytes())
    start = data.index(b"movi")
    for position in np.random.default_rng(1).integers(start, len(data) - 1200, 400):
        data[position] ^= 1 << position % 8
    path.write_bytes(data)
    return path


def test_flipped_bits_that_stop_the_decoder_are_noticed(tmp_path):
    video = flip_bits(write_video(tmp_path / "flipped.avi", frames=60, width=160, height=120))
    assert len(read_with_opencv(video)) < 59
    with pytest.raises(BadVideo, match=r"breaks off|no frame"):
        decode(video)


def test_size_left_open_by_a_streaming_writer_is_no_truncation(tmp_path):
    video = write_video(tmp_path / "streamed.avi")
    data = bytearray(video.read_bytes())
    data[4:8] = b"\xff" * 4
    video.write_bytes(data)
    assert len(decode(video)) == 10


def test_header_with_one_frame_too_many_is_accepted(tmp_path):
    video = state_frames(write_video(tmp_path / "divx.avi"), 1)
    assert open_video(video).header == 11
    assert len(decode(video)) == 10


@pytest.mark.parametrize("level", [None, "32"])
def test_decoder_complains_only_when_asked_to(tmp_path, level):
    flip_bits(write_video(tmp_path / "flipped.avi", frames=60, width=160, height=120))
    text(tmp_path / "text.avi")
    code = (
        "import sys; from pathlib import Path; from actionrec.frames.videos import *\n"
        "for name in sys.argv[1:]:\n"
        "    try: all(True for frame in open_video(Path(name)).frames)\n"
        "    except BadVideo: pass"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "flipped.avi", "text.avi"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={
            "PYTHONPATH": str(REPOSITORY / "workflow/scripts"),
            **({"OPENCV_FFMPEG_LOGLEVEL": level} if level else {}),
        },
    )
    assert ("damaged" in run.stdout + run.stderr) == bool(level)
    assert level or run.stdout + run.stderr == ""


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


def test_two_videos_of_one_name_are_refused(tmp_path):
    for name in ("walk.avi", "walk.mp4", "run.avi"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"walk\.avi = walk\.mp4") as error:
        list_videos(tmp_path)
    assert "run.avi" not in str(error.value)


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
