"""Videos with predictions drawn on them."""

import queue
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import av
import numpy as np
import pytest

from actionrec.deploy.annotate import Drawing, annotate
from actionrec.deploy.timeline import Segment
from actionrec.errors import InputError
from actionrec.frames.decoder.video import open_video
from helpers.exports import write_colours

SEGMENTS = [Segment(0.0, 0.5, "red", 0.9), Segment(0.5, 1.0, "unknown", 0.3)]
PLAYER = """<!doctype html><video src="v.webm" muted autoplay></video><script>
const video = document.querySelector("video"), tell = (text) => fetch("/heard/" + text);
video.onended = () => tell(
  `played ${video.videoWidth}x${video.videoHeight} ${video.currentTime.toFixed(1)} s`);
video.onerror = () => tell("error " + video.error.message);
</script>"""


@pytest.fixture
def drawn(tmp_path):
    source = write_colours(tmp_path / "a.mp4", ("blue", 1.0))
    annotate(source, tmp_path / "v.webm", SEGMENTS, ["red", "green", "blue"])
    return tmp_path / "v.webm"


def test_every_frame_is_there_at_its_time(drawn):
    with open_video(drawn) as video:
        frames = list(video.frames())
    assert video.codec == "vp8"
    assert [round(frame.time * 30) for frame in frames] == list(range(30))


def test_the_timeline_says_what_comes_when(drawn):
    drawing = Drawing(64, 48, ["red"], SEGMENTS, 1.0)
    strip = np.asarray(drawing.timeline)
    assert (strip[1, 10] != strip[1, 50]).any()
    assert drawing.at(0.2).label == "red"
    assert drawing.at(0.7).label == "unknown"


def test_a_full_disk_leaves_no_part_and_the_old_file(small_disk, tmp_path):
    source = tmp_path / "noise.mp4"
    draws = np.random.default_rng(0)
    with av.open(str(source), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.bit_rate = 640, 480, 20_000_000
        for _ in range(60):
            image = draws.integers(0, 255, (480, 640, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    target = small_disk / "v.webm"
    target.write_bytes(b"old")
    (small_disk / "filler").write_bytes(bytes(1_900_000))
    with pytest.raises(InputError, match="disk is full"):
        annotate(source, target, SEGMENTS, ["red"])
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "v.webm"]


class Player(SimpleHTTPRequestHandler):
    """Serves a folder, and hears what its page reports of the video."""

    heard: queue.Queue[str]

    def do_GET(self):
        if self.path.startswith("/heard/"):
            self.heard.put(unquote(self.path.removeprefix("/heard/")))
            self.send_error(404)
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


@pytest.mark.skipif(not shutil.which("chromium"), reason="apt install chromium")
def test_it_plays_in_a_browser(drawn):
    drawn.with_name("page.html").write_text(PLAYER)
    handler = type("Handler", (Player,), {"heard": queue.Queue()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=drawn.parent))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    browser = subprocess.Popen(
        [
            "chromium",
            *options,
            "--autoplay-policy=no-user-gesture-required",
            f"--user-data-dir={drawn.parent / 'profile'}",
            f"http://127.0.0.1:{server.server_port}/page.html",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert handler.heard.get(timeout=120) == "played 64x48 1.0 s"
    finally:
        browser.terminate()
        browser.wait(20)
        server.shutdown()
