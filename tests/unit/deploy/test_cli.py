"""`actionrec predict` as a user runs it."""

import csv
import json
import os
import shutil
import subprocess
import sys

import pytest

from actionrec.deploy.cli import main
from helpers import REPOSITORY
from helpers.exports import make_export, write_colours

SCORES = {"temperature": 1.0, "keep": 0.95, "videos": 20, "error_before": 0, "error_after": 0}


@pytest.fixture
def videos(tmp_path):
    """Return a folder of a red and a green video, and one that is no video."""
    folder = tmp_path / "videos"
    for colour in ("red", "green"):
        write_colours(folder / f"{colour}.mp4", (colour, 1.0))
    (folder / "zero.mp4").write_bytes(b"")
    return folder


def json_of(capsys, *arguments, code=0):
    assert main(["predict", *map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_folder_is_predicted_and_a_bad_video_named(export, videos, capsys):
    code = main(["predict", str(export), str(videos), "--csv"])
    said = capsys.readouterr()
    rows = list(csv.DictReader(said.out.splitlines()))
    assert [row["label"] for row in rows] == ["green", "red"]
    assert "zero.mp4: is empty (0 bytes)" in said.err
    assert code == 1


def test_a_list_and_the_best_labels(export, videos, tmp_path, capsys):
    (tmp_path / "list.csv").write_text("video\nvideos/red.mp4\nvideos/green.mp4\n")
    found = json_of(capsys, export, tmp_path / "list.csv", "--top-k", "3")
    assert [video["label"] for video in found] == ["red", "green"]
    assert next(iter(found[0]["scores"])) == "red"
    assert sum(found[0]["scores"].values()) == pytest.approx(1, abs=1e-5)


def test_a_long_video_is_read_in_segments(export, tmp_path, capsys):
    parts = [("red", 4.0), ("blue", 3.0), ("green", 5.0)]
    long = write_colours(tmp_path / "long.mp4", *parts)
    (found,) = json_of(capsys, export, long)
    segments = found["segments"]
    assert [s["label"] for s in segments] == ["red", "blue", "green"]
    assert segments[0]["end"] == pytest.approx(4.0, abs=0.25)
    assert segments[1]["end"] == pytest.approx(7.0, abs=0.25)
    assert segments[2]["end"] == pytest.approx(12.0, abs=0.05)
    assert not json_of(capsys, export, long, "--whole")[0]["segments"]


def test_a_low_score_is_unknown_unless_told_otherwise(tmp_path, videos, capsys):
    export = make_export(tmp_path / "e", calibration={**SCORES, "threshold": 0.99999})
    found = json_of(capsys, export, videos / "red.mp4")
    assert found[0]["label"] == "unknown"
    assert json_of(capsys, export, videos / "red.mp4", "--threshold", "0")[0]["label"] == "red"


def test_a_video_of_one_frame(export, tmp_path, capsys):
    one = write_colours(tmp_path / "one.mp4", ("blue", 1 / 30))
    assert json_of(capsys, export, one)[0]["label"] == "blue"


def test_a_video_that_ends_early_is_named(export, tmp_path, capsys):
    path = write_colours(tmp_path / "cut.avi", ("red", 2.0))
    path.write_bytes(path.read_bytes()[:-3000])
    main(["predict", str(export), str(path)])
    assert "cut.avi:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.mp4"], "There is no such video"),
        (["."], "holds no videos"),
        (["../red.mp4", "--whole", "--window", "1"], "--whole takes no windows"),
        (["../red.mp4", "--device", "cuda"], "cannot use a GPU"),
        (["../red.mp4", "--follow"], "takes one camera or address"),
        (["97"], "cannot be opened"),
        (["rtsp://127.0.0.1:9/x"], "cannot be opened"),
    ],
)
def test_bad_input_is_one_clear_error(export, tmp_path, monkeypatch, capsys, arguments, said):
    (tmp_path / "empty").mkdir()
    write_colours(tmp_path / "red.mp4", ("red", 0.2))
    monkeypatch.chdir(tmp_path / "empty")
    assert main(["predict", str(export), *arguments]) == 1
    assert said in capsys.readouterr().err


def test_the_password_of_a_camera_is_in_no_message_and_no_row(export, monkeypatch, capsys):
    from actionrec.deploy import live

    camera = "rtsp://me:pass-word@127.0.0.1:9/live?key=pass-word"
    assert main(["predict", str(export), camera]) == 1
    said = capsys.readouterr().err
    assert "cannot be opened" in said and "pass-word" not in said
    monkeypatch.setattr(live, "follow", sees_one_window)
    assert main(["predict", str(export), camera, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["video"] == "rtsp://127.0.0.1:9/live"


def sees_one_window(model, source, windows, tell, **_options):
    from actionrec.deploy.live import Dropped
    from actionrec.deploy.timeline import Segment

    assert "pass-word" in source, "it is opened with it"
    tell(Segment(0.0, 1.0, "red", 0.9))
    return Dropped(0, 0)


def test_an_output_file_is_whole_or_not_there(export, videos, tmp_path):
    target = tmp_path / "out.csv"
    assert main(["predict", str(export), str(videos / "red.mp4"), "--output", str(target)]) == 0
    before = target.read_text()
    assert "red.mp4" in before
    shutil.rmtree(export)
    assert main(["predict", str(export), str(videos / "red.mp4"), "--output", str(target)]) == 1
    assert target.read_text() == before


def test_two_processes_on_one_output(export, videos, tmp_path, capsys):
    from actionrec.utils.locks import try_lock

    with try_lock(tmp_path / ".out.csv.lock"):
        code = main(
            ["predict", str(export), str(videos / "red.mp4"), "--output", str(tmp_path / "out.csv")]
        )
    assert code == 1
    assert "Another process writes this file" in capsys.readouterr().err


def test_it_runs_without_pytorch(export, videos):
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from actionrec.deploy.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "predict", export, videos / "red.mp4"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "workflow/scripts")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "red" in done.stdout.splitlines()[1]


def test_a_source_that_stalls_is_an_error(export):
    """A server that accepts and says nothing."""
    import socket
    import time

    from actionrec.deploy import live
    from actionrec.errors import InputError

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        start = time.monotonic()
        with pytest.raises(InputError, match="cannot be opened"):
            live.open_source(address, stall=0.5)
        assert time.monotonic() - start < 5
