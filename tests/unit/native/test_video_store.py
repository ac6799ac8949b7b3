"""The engine trains and scores alike, whether frames are image files or stay in their videos."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from actionrec.errors import InputError
from actionrec.frames.extraction import extract_class
from actionrec.frames.videos import list_videos, write_files_table
from actionrec.native.__main__ import main
from actionrec.native.data import reading, workers
from actionrec.native.data import videos as engine_videos
from actionrec.native.data.dataloader import DataLoader
from actionrec.native.data.datasets import TrainDataset
from actionrec.native.data.frame_cache import FrameCache
from actionrec.native.data.frame_memory import FrameMemory
from faults.table import temporary_files
from helpers import PNG, wait_for
from helpers.engine import LABELS, command, curve, environment, statuses, tiny_spec, write_spec
from helpers.videos import encode

VIDEO = replace(PNG, suffix="video")
STORES = {"png": (PNG, "full"), "video": (VIDEO, "full"), "quick": (VIDEO, "quick")}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Return store -> train/ and val/ of two classes, extracted from the same videos."""
    root = tmp_path_factory.mktemp("stores")
    for part, count in (("train", 4), ("val", 2)):
        for label in LABELS:
            videos, table = root / "videos" / part / label, root / f"{part}.{label}.tsv"
            for index in range(count):
                kind = {"options": {"g": "8", "bf": "2"}, "width": 48, "height": 40 + 2 * index}
                encode(videos / f"{index}.mp4", "libx264", 20 + len(label) + index, **kind)
            write_files_table(table, list_videos(videos))
            for store, (form, check) in STORES.items():
                frames = root / store / part / label
                options = {"image_format": form, "check": check}
                extract_class(videos, table, frames, root / "made.tsv", **options)
                shutil.rmtree(frames.with_name(f".{label}"))  # the split's links lead past it
    return {store: root / store for store in STORES}


def read(videos, memory, ids, upcoming=()):
    """Return the frames `ids` of each video, as a task reads them."""
    sizes = [(32, 32)] * len(videos)
    foreseen = {"upcoming": lambda video: map(np.array, upcoming)}
    cache = FrameCache(videos, "rgb", sizes, FrameMemory(memory), **foreseen)
    return np.array([cache.read(index, ids) for index in range(len(videos))]), cache


@pytest.mark.parametrize("memory", [0, 2**30], ids=["decoded each time", "kept"])
@pytest.mark.parametrize("upcoming", [[], [[2, 17], [5, 9]], [range(24)]])
def test_the_engine_sees_the_same_pixels(stores, memory, upcoming):
    ids = np.array([17, 2, 2, 9])
    listed = [
        engine_videos.list_labelled_videos(root / "train", LABELS, "train")
        for root in stores.values()
    ]
    facts = [[(v.length, v.size, v.label) for v in videos] for videos in listed]
    assert facts[0] == facts[1] == facts[2]
    (png, _), (video, cache), (quick, _) = (
        read(videos, memory, ids, upcoming) for videos in listed
    )
    assert np.array_equal(png, video) and np.array_equal(png, quick)
    again = cache.read(0, np.array([5, 17]))
    assert np.array_equal(again[1], png[0][0])


def test_the_process_that_waits_sees_which_video_is_read(stores):
    (video, *_) = engine_videos.list_labelled_videos(stores["video"] / "val", LABELS, "val")
    slot = reading.ReadingSlot()
    reading.note_in(slot)
    try:
        read([video], 0, np.array([3]))
    finally:
        reading._slot = None
    assert slot.path.endswith("videos/val/fall/0.mp4")
    assert slot.count > 3  # each frame counts: a long video is no drive that hangs


@pytest.fixture(scope="module")
def trainings(stores, tmp_path_factory):
    """Return the specs of trainings that differ in nothing but the store and its check."""
    found = {}
    for store, data in stores.items():
        root = tmp_path_factory.mktemp(store)
        options = {"train.num_epochs": 1, "dataset.batch_size": 4}
        spec = write_spec(root / "spec.yaml", data, root / "results", **options)
        assert main(["train", "-e", str(spec)]) == 0
        found[store] = spec
    return found


def test_a_training_from_videos_has_equal_weights_and_scores(stores, trainings, capsys):
    weights, curves, printed = [], [], []
    for spec in trainings.values():
        train = spec.parent / "results/train"
        content = torch.load(train / "ar_model_latest.pth", weights_only=False)
        weights.append(content["state_dict"])
        curves.append(curve(train))
        assert main(["evaluate", "-e", str(spec)]) == 0
        assert main(["inference", "-e", str(spec)]) == 0
        rows = spec.parent / "results/inference/predictions.csv"
        out = capsys.readouterr().out
        for store in stores:
            out = out.replace(f"/{store}/", "/video/")
        printed.append((out, rows.read_text()))
    assert curves[0] == curves[1] == curves[2]
    assert printed[0] == printed[1] == printed[2]
    for others in weights[1:]:
        assert weights[0].keys() == others.keys()
        assert all(torch.equal(weights[0][name], others[name]) for name in others)


def test_a_video_that_is_lost_during_a_task_is_named(stores):
    videos = engine_videos.list_labelled_videos(stores["video"] / "val", LABELS, "val")
    file = stores["video"].parent / "videos/val/fall/1.mp4"
    aside = file.rename(file.with_suffix(".aside"))
    try:
        with pytest.raises(InputError, match=r"does not hold(?s:.)*fall/1\.mp4") as error:
            read(videos, 0, np.array([3]))
        assert "snakemake dataset" in str(error.value)
    finally:
        aside.rename(file)


# A lease on a file lets whoever opens it wait in the kernel, as a share that does not answer does.
HOLD = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, lambda *_: print("asked", flush=True))
lease = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
sys.stdin.readline()
fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_UNLCK)
"""


@pytest.mark.parametrize(
    ("store", "look", "warning"),
    [
        ("video", 0.05, 0.3),
        ("quick", 0.05, 0.3),
        pytest.param("quick", 1.0, 30.0, marks=pytest.mark.thorough),  # as a task does
    ],
)
def test_a_training_waits_for_a_share_that_stalls(
    stores, store, look, warning, monkeypatch, caplog
):
    monkeypatch.setattr(workers, "SECONDS_BETWEEN_LOOKS", look)
    monkeypatch.setattr(workers, "SECONDS_TO_WARNING", 30.0)
    videos = engine_videos.list_labelled_videos(stores[store] / "train", LABELS, "train")
    keys = [(0, key) for key in range(4)]

    def batch():
        dataset = TrainDataset(videos, tiny_spec(), FrameMemory(0))
        (found,) = DataLoader(dataset, [keys], keys, num_workers=1)
        return {name: stream.clone() for name, stream in found.streams.items()}

    expected = batch()
    file = stores[store].parent / "videos/train/fall/0.mp4"
    command = [sys.executable, "-c", HOLD, str(file)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as holder:
        assert holder.stdout.readline() == "held\n"

        def let_in():
            assert holder.stdout.readline() == "asked\n"
            # Not before: on a busy machine the start of a process may take as long.
            monkeypatch.setattr(workers, "SECONDS_TO_WARNING", warning)
            wait_for(lambda: "The task waits for it." in caplog.text, seconds=100)
            print(file=holder.stdin, flush=True)

        waiting = threading.Thread(target=let_in)
        waiting.start()
        found = batch()
        waiting.join()
    assert f"It is on {file}. The task waits for it." in caplog.text
    assert "reads again" in caplog.text
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@contextmanager
def replaced(file, by):
    """Put another file, or none, in the place of a video; in the end the old one is back."""
    aside = file.rename(file.with_suffix(".aside"))
    try:
        if by:
            shutil.copy(by, file)
        yield
    finally:
        aside.replace(file)


@pytest.mark.parametrize(
    ("store", "by"),
    [
        ("video", "a part of it"),
        ("quick", "another"),
        pytest.param("video", "another", marks=pytest.mark.thorough),
        pytest.param("video", "nothing", marks=pytest.mark.thorough),
        pytest.param("quick", "nothing", marks=pytest.mark.thorough),
        pytest.param("quick", "a part of it", marks=pytest.mark.thorough),
    ],
)
def test_a_video_that_changes_behind_the_table_ends_evaluation_and_inference(
    stores, trainings, store, by, tmp_path, capsys
):
    file = stores[store].parent / "videos/val/ride/1.mp4"
    part = tmp_path / "part.mp4"
    part.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    new = {"another": file.with_name("0.mp4"), "nothing": None, "a part of it": part}[by]
    rows = trainings[store].parent / "results/inference/predictions.csv"
    before = rows.read_bytes() if rows.exists() else b""
    with replaced(file, new):
        for task in ("evaluate", "inference"):
            assert main([task, "-e", str(trainings[store])]) == 1
            said = capsys.readouterr().err
            assert str(file) in said and "--forcerun extract_frames" in said
            assert ("frames.check: full" in said) == (store == "quick")
    assert (rows.read_bytes() if rows.exists() else b"") == before


@pytest.mark.thorough
@pytest.mark.parametrize("by", ["another", "nothing"])
def test_a_training_whose_video_changes_keeps_its_checkpoint_and_resumes(
    stores, by, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("ACTIONREC_FRAME_MEMORY", "0")
    options = {"train.num_epochs": 2, "dataset.batch_size": 4, "dataset.workers": 1}
    spec = write_spec(tmp_path / "spec.yaml", stores["quick"], tmp_path / "results", **options)
    train = tmp_path / "results/train"
    assert main(["train", "-e", str(spec), "native.stop_after=1"]) == 0
    latest = (train / "ar_model_latest.pth").read_bytes()
    file = stores["quick"].parent / "videos/train/ride/1.mp4"
    with replaced(file, file.with_name("0.mp4") if by == "another" else None):
        capsys.readouterr()
        assert main(["train", "-e", str(spec)]) == 1
        said = capsys.readouterr().err
        assert str(file) in said and "--forcerun extract_frames" in said
    assert (train / "ar_model_latest.pth").read_bytes() == latest
    assert main(["train", "-e", str(spec)]) == 0
    assert len(curve(train)) == 2


class Leases:
    """Leases on videos: whoever opens one waits until it is let in, so a test sees each first."""

    def __init__(self, files):
        self._before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # it would end this process
        self._held = {file: os.open(file, os.O_RDWR) for file in files}
        for descriptor in self._held.values():
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    def asked(self):
        """Return the video that a process waits for, if there is one."""
        waited = (
            file
            for file, descriptor in self._held.items()
            if fcntl.fcntl(descriptor, fcntl.F_GETLEASE) != fcntl.F_WRLCK
        )
        return next(waited, None)

    def let_in(self, file):
        """Let a process read a video, now and later."""
        os.close(self._held.pop(file))

    def end(self):
        """Let in all."""
        for file in list(self._held):
            self.let_in(file)
        signal.signal(signal.SIGIO, self._before)


@contextmanager
def training_that_waits(stores, store, folder, frames):
    """Yield a training process in its first epoch, and videos: read, to be read now, and later."""
    options = {"dataset.batch_size": 4, "dataset.workers": 1, "train.num_epochs": 2}
    options["model.rgb_seq_length"] = frames
    spec = write_spec(folder / "spec.yaml", stores[store], folder / "results", **options)
    files = sorted((stores[store].parent / "videos/train").glob("*/*.mp4"))
    leases = Leases(files)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    try:
        with subprocess.Popen(command("train", spec), env=environment(), **pipes) as process:
            try:
                wait_for(lambda: leases.asked() or process.poll() is not None, seconds=300)
                read = leases.asked()
                leases.let_in(read)
                wait_for(lambda: leases.asked() or process.poll() is not None, seconds=300)
                now = leases.asked()
                later = next(file for file in files if file not in (read, now))
                yield process, leases, {"before it is read": later, "after it was read": read}
            finally:
                process.kill()
    finally:
        leases.end()


@pytest.mark.parametrize("store", [pytest.param("video", marks=pytest.mark.thorough), "quick"])
@pytest.mark.parametrize("by", [pytest.param("another", marks=pytest.mark.thorough), "nothing"])
@pytest.mark.parametrize(
    ("when", "frames", "kept"),
    [
        pytest.param("before it is read", 2, False, marks=pytest.mark.thorough),
        # What an epoch draws is kept: of short clips some frames, of long ones all of a video.
        ("after it was read", 2, False),
        pytest.param("after it was read", 32, True, marks=pytest.mark.thorough),
    ],
)
def test_a_video_that_changes_during_an_epoch(stores, store, by, when, frames, kept, tmp_path):
    """An error names it when its frames are needed, or read ahead; what is kept is enough."""
    train = tmp_path / "results/train"
    with training_that_waits(stores, store, tmp_path, frames) as (process, leases, videos):
        file = videos[when]
        # None of those of the training, which their leases keep closed.
        validation = (stores[store].parent / "videos/val").glob("*/*.mp4")
        other = next(of for of in validation if of.stat().st_size != file.stat().st_size)
        with replaced(file, other if by == "another" else None):
            leases.end()
            said, _ = process.communicate(timeout=300)
    assert process.returncode == (0 if kept else 1), said
    epochs = len(curve(train))
    assert epochs == 2 if kept else epochs < 2
    if not kept:
        assert str(file) in said and "--forcerun extract_frames" in said
        assert "Traceback" not in said
        assert statuses(train)[-1]["status"] == "FAILURE"
    names = {path.name for path in train.iterdir() if path.suffix == ".pth"}
    assert len(names) == (epochs and epochs + 1), "one for each whole epoch, and the latest"
    assert not temporary_files(train)
    assert main(["train", "-e", str(tmp_path / "spec.yaml")]) == 0
    assert len(curve(train)) == 2
