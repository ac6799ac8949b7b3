"""Frames are bit for bit OpenCV's; files of any name open, and nothing but the file is read."""

import gc
import hashlib
import os
import platform
import socket
import threading
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition

from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.decoder.pixels import _mapper
from actionrec.frames.decoder.video import open_video
from helpers import DATA
from helpers.videos import avi, draw, encode, number_of, packed_divx, remux

# What OpenCV 5.0.0.93 makes of these files, all frames after each other.
GOLDEN = {
    "divx_packed.avi": "e143caf006bf8099e8b87f1e1675db17f3b14082369c91f9596555680638514f",
    "xvid.avi": "74cc9aa2adeda26173b55bd177e7bc36cd10e948a776d40824495a5be196f8a2",
    "h264.mp4": "7cb6b743c8575d3043a4b416eb4d554ff64144f0a1d0ff095d36e1010ec59316",
}
OTHERS = [
    ("mpeg4_b.avi", "mpeg4", {"options": {"bf": "2"}}),
    ("mpeg4.mov", "mpeg4", {}),
    ("msmpeg4.avi", "msmpeg4", {}),
    ("mjpeg.avi", "mjpeg", {}),
    ("h264.mkv", "libx264", {}),
    ("h264.flv", "libx264", {}),
    ("h264.3gp", "libx264", {}),
    ("h264.avi", "libx264", {}),
    ("odd.mp4", "libx264", {"width": 98, "height": 66}),
    ("rgb.mp4", "libx264rgb", {"pixels": "rgb24"}),
    ("444.mp4", "libx264", {"pixels": "yuv444p"}),
    ("10bit.mp4", "libx264", {"pixels": "yuv420p10le"}),
    ("full_range.mp4", "libx264", {"pixels": "yuvj420p"}),
    ("bt709.mp4", "libx264", {"options": {"x264-params": "colormatrix=bt709"}}),
    ("hevc.mp4", "libx265", {}),
    ("hevc.ts", "libx265", {"pixels": "yuv420p10le"}),
    ("mpeg2.mpg", "mpeg2video", {"options": {"bf": "2"}}),
    ("mpeg1.mpg", "mpeg1video", {}),
    ("vp8.webm", "libvpx", {}),
    ("vp9.webm", "libvpx-vp9", {}),
    ("ffv1.mkv", "ffv1", {}),
    ("prores.mov", "prores_ks", {"pixels": "yuv422p10le"}),
    ("h263.3gp", "h263", {"width": 176, "height": 144}),
    ("flv1.flv", "flv", {}),
    ("wmv2.wmv", "wmv2", {}),
    ("raw.avi", "rawvideo", {"pixels": "bgr24"}),
    ("png.mov", "png", {"pixels": "rgb24"}),
    ("gif.gif", "gif", {"pixels": "rgb8"}),
]
# x265 gives two frames times from memory that it has not written where it may reorder them.
HDR = "log-level=none:bframes=0:colormatrix=bt2020nc:colorprim=bt2020:transfer="


def with_opencv(path):
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    frames = []
    while True:
        ok, frame = capture.read()
        if not ok:
            return frames
        frames.append(frame)


def images(path, **options):
    with open_video(path, **options) as video:
        return [frame.image for frame in video.frames()]


def same(frames, others):
    return len(frames) == len(others) and all(map(np.array_equal, frames, others))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors round otherwise")
@pytest.mark.parametrize("name", GOLDEN)
def test_frames_of_hmdb51s_and_ucf101s_codecs_are_what_they_were(name):
    digest = hashlib.sha256()
    for image in images(DATA / "videos" / name):
        digest.update(image)
    assert digest.hexdigest() == GOLDEN[name]


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_files_decode_as_with_opencv(name):
    path = DATA / "videos" / name
    assert same(images(path), with_opencv(path))


@pytest.mark.parametrize(("name", "codec", "settings"), OTHERS, ids=[row[0] for row in OTHERS])
def test_frames_are_opencvs(tmp_path, name, codec, settings):
    path = encode(tmp_path / name, codec, 8, **settings)
    frames = images(path)
    assert [number_of(frame) for frame in frames] == list(range(8))
    assert same(frames, with_opencv(path))


@pytest.mark.slow
@pytest.mark.parametrize("curve", ["arib-std-b67", "smpte2084"])
def test_hdr_is_mapped_as_opencv_does(tmp_path, curve):
    options = {"x265-params": HDR + curve}
    path = encode(tmp_path / "a.mp4", "libx265", 2, pixels="yuv420p10le", options=options)
    frames = images(path)
    made = _mapper.cache_info().misses
    assert same(images(path), frames)
    assert _mapper.cache_info().misses == made, "the tables, which take seconds, are kept"
    assert same(frames, with_opencv(path))


def test_colours_that_cannot_be_converted_are_refused(tmp_path):
    options = {"x264-params": "colormatrix=YCgCo"}
    path = encode(tmp_path / "a.mp4", "libx264", 2, options=options)
    with pytest.raises(BadVideo, match=r"colours that cannot be converted \(yuv420p, .* matrix 8"):
        images(path)


def test_rgb_is_bgr_in_the_other_order(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", 4)
    turned = [frame[..., ::-1] for frame in images(path)]
    assert same(images(path, pixels="rgb24"), turned)


def test_packed_b_frames_come_out_in_order_and_their_empty_packets_are_remarked_on(tmp_path):
    with open_video(packed_divx(tmp_path / "a.avi", 25)) as video:
        shown = [(number_of(frame.image), round(frame.time * 25, 6)) for frame in video.frames()]
    assert shown == [(index, index) for index in range(25)]
    assert video.remarks() == ["header counts 1 more than the frames shown"]


def test_av1_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setenv("SVT_LOG", "0")
    path = encode(tmp_path / "a.mp4", "libsvtav1", 8)
    assert [number_of(image) for image in images(path)] == list(range(8))


def test_header_is_read(tmp_path):
    path = encode(tmp_path / "a.mkv", "libx264", 30, rate=Fraction(30000, 1001))
    with open_video(path) as video:
        assert (video.codec, video.pixel_format, video.container) == (
            "h264",
            "yuv420p",
            "matroska,webm",
        )
        assert video.rate == 29.97
        assert video.header_frames == 30
        assert abs(video.duration - 1.001) < 0.05
        list(video.frames())
        assert abs(video.end - 1.001) < 0.002
        assert not video.variable_rate
        assert not video.remarks()


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "mpeg2video"])
def test_one_thread_is_used(tmp_path, codec):
    cv2.setNumThreads(1)
    path = encode(tmp_path / "a.mkv", codec, 12)
    tasks = Path("/proc/self/task")
    before = set(tasks.iterdir())
    with open_video(path) as video:
        assert all(set(tasks.iterdir()) == before for _ in video.frames())


def test_a_video_can_be_read_again(tmp_path):
    with open_video(encode(tmp_path / "a.mp4", "libx264", 8)) as video:
        first = [frame.image for frame in video.frames()]
        assert same(first, [frame.image for frame in video.frames()])


def test_a_video_that_is_closed_midway_takes_nothing_with_it(tmp_path):
    with open_video(encode(tmp_path / "a.mp4", "libx264", 8)) as video:
        frames = video.frames()
        kept = next(frames).image
        copy = kept.copy()
        next(frames)
    assert np.array_equal(kept, copy)


NAMES = [
    b"caf\xe9.mp4",
    b"new\nline.mp4",
    b"'quotes\" $(x) `y`.mp4",
    b"-y.mp4",
    b"http:__a.mp4",
    b"a:b.mp4",
    b"concat:a.mp4|b.mp4",
    b"%20 %d?x=1#y.mp4",
    "é".encode() + b" NFC.mp4",
    "é".encode() + b" NFD.mp4",
    b"x" * 251 + b".mp4",
    b" leading.mp4",
    b"\\back.mp4",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_any_name_opens(tmp_path, monkeypatch, name):
    (tmp_path / os.fsdecode(name)).write_bytes((DATA / "videos/h264.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / os.fsdecode(name), Path(os.fsdecode(name))):
        assert len(images(path)) == 24


def test_names_are_not_cut_off_at_surrogates_in_messages(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.avi")
    path.write_bytes(avi([b"nonsense"] * 3))
    with pytest.raises(BadVideo, match="mpeg4"):
        images(path)


@pytest.fixture
def listener():
    """Yield the address of a server that notes who connects, and the list of these."""
    callers = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen():
            while True:
                try:
                    connection, caller = server.accept()
                except OSError:
                    return
                callers.append(caller)
                connection.close()

        threading.Thread(target=listen, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}", callers
        server.shutdown(socket.SHUT_RDWR)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {url}\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{url}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\na=control:{url}\n",
    "pls": "[playlist]\nFile1={url}\nNumberOfEntries=1\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("suffix", [".avi", ".ts", ".m3u8", ".mpd"])
def test_no_playlist_reaches_the_network_or_another_file(tmp_path, listener, kind, suffix):
    address, callers = listener
    other = encode(tmp_path / "other.ts", "mpeg2video", 3)
    for url in (f"http://{address}/a.ts", f"tcp://{address}", f"file:{other}", str(other)):
        path = tmp_path / f"list{suffix}"
        path.write_text(PLAYLISTS[kind].format(url=url))
        with pytest.raises(BadVideo, match="holds no video stream"):
            images(path)
    assert not callers


def test_a_movie_that_keeps_its_pictures_in_another_file_is_refused(tmp_path):
    data = (DATA / "videos/h264.mp4").read_bytes()
    other = tmp_path / "other.mp4"
    other.write_bytes(data)
    inside, outside = b"url \0\0\0\1", b"url \0\0\0\0"
    assert inside in data
    path = tmp_path / "a.mp4"
    path.write_bytes(data.replace(inside, outside).replace(b"mdat", b"free"))
    with open_video(path) as video:  # the reference is not followed: the file's own bytes are read
        assert same([frame.image for frame in video.frames()], images(other))


def test_a_missing_decoder_is_told_with_its_name_and_a_way_out(tmp_path):
    path = tmp_path / "a b.avi"
    path.write_bytes(avi([bytes(50)] * 3, fourcc=b"AVS2"))
    with pytest.raises(BadVideo) as told:
        open_video(path)
    assert "is coded as avs2" in str(told.value)
    assert f"ffmpeg -i '{path}' -c:v libx264 -qp 0" in str(told.value)


WRONG = {
    "empty": (b"", r"is empty \(0 bytes\)"),
    "text": (b"not a video\n", "holds no video stream"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "web page": (b"\n<!DOCTYPE html><html></html>", "web page"),
    "zip": (b"PK\3\4" + bytes(30), "ZIP archive"),
    "zeros": (bytes(9000), "4096 bytes are zero"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_video_is_named(tmp_path, kind):
    path = tmp_path / "a.avi"
    path.write_bytes(WRONG[kind][0])
    with pytest.raises(BadVideo, match=WRONG[kind][1]):
        images(path)


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as output:
        track = output.add_stream("mp2", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), "s16", "mono")
        frame.sample_rate = 48000
        output.mux([*track.encode(frame), *track.encode(None)])
    with pytest.raises(BadVideo, match="holds no video stream"):
        open_video(path)


def test_missing_file_folder_and_pipe(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_video(tmp_path / "none.avi")
    with pytest.raises(BadVideo, match="is not a file"):
        open_video(tmp_path)
    os.mkfifo(tmp_path / "pipe.avi")
    with pytest.raises(BadVideo, match="is not a file"):
        open_video(tmp_path / "pipe.avi")


def test_a_cover_picture_is_not_the_video(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as output:
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 160, 120, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        film = output.add_stream("libx264", rate=25)
        film.width, film.height = 96, 64
        picture = av.VideoFrame.from_ndarray(draw(99, 160, 120), "rgb24")
        output.mux([*cover.encode(picture), *cover.encode(None)])
        for index in range(5):
            output.mux(film.encode(av.VideoFrame.from_ndarray(draw(index), "rgb24")))
        output.mux(film.encode(None))
    assert [number_of(image) for image in images(path)] == list(range(5))


def test_sound_beside_the_picture_changes_nothing(tmp_path):
    for suffix in (".avi", ".mp4", ".mkv", ".mpg", ".ts", ".mov"):
        path = encode(
            tmp_path / f"a{suffix}", "mpeg4" if suffix != ".mpg" else "mpeg2video", sound=2
        )
        assert [number_of(image) for image in images(path)] == list(range(12)), suffix
        assert same(images(path), with_opencv(path)), suffix


def test_latin_1_titles_are_no_fault(tmp_path):
    path = encode(tmp_path / "a.mkv", "mpeg4", 3)
    titled = tmp_path / "b.mkv"
    with av.open(str(path)) as given, av.open(str(titled), "w") as made:
        made.metadata["title"] = "Amelie"
        copy = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.size:
                packet.stream = copy
                made.mux(packet)
    titled.write_bytes(titled.read_bytes().replace(b"Amelie", b"Am\xe9lie"))
    assert len(images(titled)) == 3


def test_a_size_that_changes_midway_is_followed(tmp_path):
    sizes = ((96, 64), (112, 80))
    parts = [encode(tmp_path / f"{w}.mpg", "mpeg2video", 6, width=w, height=h) for w, h in sizes]
    path = tmp_path / "joined.mpg"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    shapes = [image.shape for image in images(path)]
    # FFmpeg's decoder forgets the frame that it holds back when the size changes.
    assert shapes == [(64, 96, 3)] * 5 + [(80, 112, 3)] * 6


def test_a_header_cannot_ask_for_all_memory(tmp_path):
    path = encode(tmp_path / "a.avi", "mjpeg", 3)
    size, huge = b"\xff\xc0\0\x11\x08\0\x40\0\x60", b"\xff\xc0\0\x11\x08\x40\0\x40\0"
    data = path.read_bytes()
    assert size in data
    path.write_bytes(data.replace(size, huge))  # 16384 x 16384
    with pytest.raises(BadVideo, match="mjpeg"):
        images(path)


def test_remuxing_keeps_the_frames(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", 10)
    assert same(images(remux(path, tmp_path / "b.mkv")), images(path))


def test_no_picture_outlives_its_use(tmp_path):
    """A cycle of references would keep pictures until Python collects them, hundreds later."""
    path = encode(tmp_path / "a.avi", "mjpeg", 20)
    images(path)
    gc.collect()
    gc.disable()
    try:
        images(path)
        assert gc.collect() == 0
    finally:
        gc.enable()
