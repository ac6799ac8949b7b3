"""Live sources: cameras that a real HTTP server plays, with their interruptions."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby, pairwise

import cv2
import pytest

from actionrec.deploy import live
from actionrec.deploy.preparation import Preparation
from actionrec.deploy.session import Model
from actionrec.deploy.timeline import Windows
from actionrec.errors import InputError
from helpers import REPOSITORY, wait_for
from helpers.exports import coloured, write_colours

RATE = 50  # frames a second
SHORT = Windows(0.1, 0.1)


class Camera(ThreadingHTTPServer):
    """An MJPEG camera: each connection shows the next of `shows`, (colour, frames), and ends.

    None in place of a number of frames: it shows them until the connection is closed. None in
    place of both: that connection is refused. A third item: the connection stays open then.
    """

    daemon_threads = True

    def __init__(self, *shows, port=0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.shows, self.connections = list(shows), 0

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/camera"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        camera = self.server
        show = camera.shows[min(camera.connections, len(camera.shows) - 1)]
        camera.connections += 1
        if show is None:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
        self.end_headers()
        colour, frames, *then = show
        code = cv2.imencode(".jpg", coloured(colour))[1].tobytes()
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(code)}\r\n\r\n"
        sent = 0
        while frames is None or sent < frames:
            try:
                self.wfile.write(head.encode() + code + b"\r\n")
            except OSError:
                return
            sent += 1
            time.sleep(1 / RATE)
        if then:  # it stalls
            time.sleep(3)

    def log_message(self, *arguments):
        pass


@contextmanager
def camera(*shows, **options):
    server = Camera(*shows, **options)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(live, "_PAUSES", (0.05,))


def labels_of(segments):
    return [label for label, _ in groupby(segment.label for segment in segments)]


def test_an_interrupted_camera_is_opened_again(export):
    heard = []
    shows = ("red", 30), None, ("green", 30), None
    with camera(*shows) as server, pytest.raises(InputError, match="cannot be opened"):
        live.follow(Model(export), server.address, SHORT, heard.append, retries=2)
    assert labels_of(heard) == ["red", "green"]
    assert server.connections == 5, "after frames came it is opened twice in vain again"


def test_no_window_reaches_over_an_interruption(export, monkeypatch):
    monkeypatch.setattr(live, "_PAUSES", (0.5,))
    heard = []
    with camera(("red", 20), ("green", 20), None) as server, pytest.raises(InputError):
        live.follow(Model(export), server.address, SHORT, heard.append, retries=1)
    gaps = [after.start - before.end for before, after in pairwise(heard)]
    assert max(gaps) > 0.4
    assert labels_of(heard) == ["red", "green"]


@pytest.mark.parametrize(("owner", "name"), [(Model, "scores"), (Preparation, "rgb")])
def test_what_is_slow_drops_what_waits_and_is_never_late(
    export, tmp_path, monkeypatch, owner, name
):
    """The network, or the preparation of frames, takes three times as long as there is time."""
    fast, late = getattr(owner, name), []
    seconds = 0.3 if name == "scores" else 0.1

    def slow(*arguments):
        time.sleep(seconds)
        return fast(*arguments)

    monkeypatch.setattr(owner, name, slow)
    path = write_colours(tmp_path / "cam.mp4", ("green", 1.5))
    start = time.monotonic()

    def tell(segment):
        late.append(time.monotonic() - start - segment.end)

    dropped = live.follow(Model(export), str(path), Windows(0.1, 0.1), tell)
    assert max(late) < 0.9, "a queue would be three seconds late in the end"
    assert (dropped.windows if name == "scores" else dropped.frames) > 5


def test_a_recording_at_an_address_is_played_once_at_its_pace(export, tmp_path):
    """A file is opened by the same call as an address."""
    path = write_colours(tmp_path / "cam.mp4", ("green", 1.0))
    heard = []
    start = time.monotonic()
    live.follow(Model(export), str(path), SHORT, heard.append, retries=10)
    assert time.monotonic() - start == pytest.approx(1.0, abs=0.3)
    assert labels_of(heard) == ["green"]
    assert heard[-1].end == pytest.approx(1.0, abs=0.2)


def test_a_source_that_stalls_is_opened_again(export):
    """A server that sends some frames and then nothing, with the connection open."""
    heard = []
    with camera(("red", 30, "stall"), ("green", 30), None) as server, pytest.raises(InputError):
        live.follow(Model(export), server.address, SHORT, heard.append, stall=0.5, retries=1)
    assert labels_of(heard) == ["red", "green"]


def test_an_error_of_what_reads_ends_it(export, monkeypatch):
    class Broken(live.Pixels):
        def of(self, frame):
            raise ValueError("no such format")

    monkeypatch.setattr(live, "Pixels", Broken)
    with camera(("red", None)) as server, pytest.raises(ValueError, match="no such format"):
        live.follow(Model(export), server.address, SHORT, lambda segment: None)


def test_ctrl_c_ends_it_at_once_and_leaves_whole_rows(export, tmp_path):
    with camera(("green", None)) as server:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "actionrec.deploy", "predict", export, server.address),
                *("--window=0.1", "--stride=0.1", "--follow", "--output", tmp_path / "rows.csv"),
            ],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "workflow/scripts")},
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda: "green" in text_of(tmp_path / "rows.csv"))
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        _, said = process.communicate(timeout=20)
    assert time.monotonic() - start < 5
    assert process.returncode == 130
    assert said == ""
    rows = text_of(tmp_path / "rows.csv")
    assert rows.endswith("\n")
    assert all(row.count(",") == 4 for row in rows.splitlines())


def text_of(path):
    return path.read_text() if path.exists() else ""
