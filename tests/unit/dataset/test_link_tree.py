"""A split's images are shown by symbolic links, hard links or copies, where these exist."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from actionrec.dataset.link_tree import inference_names, link_split, verify_split
from actionrec.dataset.split_table import COLUMNS
from actionrec.errors import InputError
from actionrec.utils.files import write_text
from actionrec.utils.tables import write_table
from helpers import REPOSITORY

VIDEOS = ("walk/a & b", "walk/c", "run/d", "run/e")


@pytest.fixture
def frames(tmp_path):
    """Return a frame tree of four videos with flow."""
    for video in VIDEOS:
        for image in ("rgb/000001.png", "rgb/000002.png", "u/000001.jpg", "v/000001.jpg"):
            write_text(tmp_path / f"frames/{video}/{image}", f"{video} {image}")
    return tmp_path / "frames"


@pytest.fixture
def run(tmp_path):
    """Return the folder of an experiment with a split of these videos, one a class to test with."""
    rows = []
    for part, videos in (("train", VIDEOS[::2]), ("test", VIDEOS[1::2])):
        for video in videos:
            cls, name = video.split("/")
            rows.append((part, cls, name, 2, "png", video, "dis"))
    folder = tmp_path / "results/exp/split1"
    write_table(folder / "split.tsv", COLUMNS, rows)
    return folder


@pytest.mark.parametrize("links", ["symlink", "hardlink", "copy"])
def test_every_kind_of_link_shows_the_same_images(frames, run, links):
    link_split(run / "split.tsv", frames, run / "data", links)
    verify_split(run / "split.tsv", run / "data")
    shown = run / "data/test/walk/c/rgb/000002.png"
    assert shown.read_text() == "walk/c rgb/000002.png"
    assert (run / "data/inference/run.e/v/000001.jpg").read_text() == "run/e v/000001.jpg"
    assert (run / "data/test/walk/c").is_symlink() == (links == "symlink")
    original = frames / "walk/c/rgb/000002.png"
    assert shown.samefile(original) == (links != "copy")


@pytest.mark.parametrize("links", ["symlink", "copy"])
def test_frames_may_lie_on_another_volume(frames, run, mount_disk, links):
    disk = mount_disk("size=1m")
    shutil.copytree(frames, disk / "frames")
    link_split(run / "split.tsv", disk / "frames", run / "data", links)
    verify_split(run / "split.tsv", run / "data")


def test_a_hard_link_to_another_volume_is_refused_and_the_old_tree_stays(frames, run, mount_disk):
    link_split(run / "split.tsv", frames, run / "data", "symlink")
    disk = mount_disk("size=1m")
    shutil.copytree(frames, disk / "frames")
    with pytest.raises(InputError) as error:
        link_split(run / "split.tsv", disk / "frames", run / "data", "hardlink")
    assert "cannot lead to another volume" in str(error.value)
    assert "set splits.links: copy" in str(error.value)
    verify_split(run / "split.tsv", run / "data")


def test_class_and_video_together_may_be_longer_than_a_file_name(tmp_path):
    videos = ["x" * 250 + str(index) for index in range(2)]
    rows = [
        (part, cls, f"{part}{video}"[:251] + video[-1], 1, "png", part + cls + video, "")
        for part in ("test", "train")
        for cls in ("walk", "wave")
        for video in videos
    ]
    write_table(tmp_path / "split.tsv", COLUMNS, rows)
    for _, cls, video, *_ in rows:
        write_text(tmp_path / f"frames/{cls}/{video}/rgb/000001.png", f"{cls} {video}")
    link_split(tmp_path / "split.tsv", tmp_path / "frames", tmp_path / "data", "symlink")
    names = inference_names(tmp_path / "split.tsv")
    assert len(names) == 4
    for name, (cls, video) in names.items():
        assert len(name.encode()) <= 255
        image = tmp_path / "data/inference" / name / "rgb/000001.png"
        assert image.read_text() == f"{cls} {video}"


# Has the kernel refuse symlink and symlinkat to this process and its children, as file systems
# without them do (seccomp: load the number of the call; compare; errno 1 or allow).
WITHOUT_SYMLINKS = """
import ctypes, platform, struct, sys
from pathlib import Path

calls = {"x86_64": (88, 266), "aarch64": (36, 36)}[platform.machine()]
steps = [(0x20, 0, 0, 0), (0x15, 1, 0, calls[0]), (0x15, 0, 1, calls[1])]
steps += [(0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program) == 0, ctypes.get_errno()
"""


def without_symlinks(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_SYMLINKS + script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "workflow/scripts")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


LINK = """
from actionrec.dataset.link_tree import link_split
run, frames, links = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
link_split(run / "split.tsv", frames, run / "data", links)
"""


@pytest.mark.parametrize("links", ["hardlink", "copy"])
def test_a_file_system_without_symbolic_links_is_served(frames, run, links):
    done = without_symlinks(LINK, run, frames, links)
    assert done.returncode == 0, done.stderr
    verify_split(run / "split.tsv", run / "data")


def test_a_file_system_without_symbolic_links_is_told_the_alternatives(frames, run):
    done = without_symlinks(LINK, run, frames, "symlink")
    assert "The file system does not make a symlink" in done.stderr
    assert "set splits.links: hardlink" in done.stderr
    assert not (run / "data").exists()


def test_the_latest_checkpoint_needs_no_symbolic_link(tmp_path):
    script = (
        "from actionrec.native.checkpoints.lightning import link_latest; "
        "link_latest(Path(sys.argv[1]))"
    )
    path = Path(tmp_path / "model_epoch_000_step_00001.pth")
    path.write_text("weights")
    assert without_symlinks(script, path).returncode == 0
    assert (tmp_path / "ar_model_latest.pth").read_text() == "weights"
