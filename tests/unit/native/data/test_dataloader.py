"""The data loader: its batches, what happens when a worker fails, and that no worker is left."""

import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from actionrec.errors import InputError
from actionrec.native.data import workers
from actionrec.native.data.batch import BatchBuffer, ClipInfo
from actionrec.native.data.dataloader import HELD, NUM_BUFFERS, DataLoader
from actionrec.native.data.prefetch import prefetch_to_device
from helpers import REPOSITORY, is_running, wait_for
from helpers.engine import environment

CPU = torch.device("cpu")


class Numbers:
    """A dataset of clips of one pixel: the clip's number in rgb, and its square in flow."""

    def shapes(self, key):
        return {"rgb": (1, 1, 1, 3), "of": (2, 1, 1, 2)}

    def video_of(self, key):
        return key // 2

    def write_clip(self, key, streams):
        streams["rgb"][:], streams["of"][:] = key, key**2 % 256
        return ClipInfo(label=key % 5, flip=key % 2 == 0, video=key // 2)

    def read_ahead(self):
        return False


class Killing(Numbers):
    """A dataset with one clip that kills the worker that writes it."""

    def write_clip(self, key, streams):
        if key == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().write_clip(key, streams)


class Faulty(Numbers):
    """A dataset with one clip that cannot be written."""

    def write_clip(self, key, streams):
        if key == 13:
            raise OSError(28, "No space left on device", "somewhere")
        return super().write_clip(key, streams)


class Ahead(Numbers):
    """A dataset that can read ahead without end, and notes in shared memory that it was asked."""

    def __init__(self, error=None):
        self.reads, self._error = mmap.mmap(-1, 8), error

    def read_ahead(self):
        self.reads[:8] = (self.count + 1).to_bytes(8, "little")
        if self._error is not None:
            raise self._error
        return True

    @property
    def count(self):
        return int.from_bytes(self.reads[:8], "little")


def batches_of(count, size=4):
    keys = np.random.default_rng(0).permutation(count).tolist()
    return [keys[start : start + size] for start in range(0, count, size)]


def loader_of(dataset, workers, count=50):
    batches = batches_of(count)
    return DataLoader(dataset, batches, batches[0], workers)


@pytest.mark.parametrize("workers", [0, 1, 3, 40])
def test_batches_have_the_clips_and_the_order_of_the_sampler(workers):
    loader = loader_of(Numbers(), workers)
    for _ in range(2):
        found = list(prefetch_to_device(loader, CPU))
        assert [batch.streams["rgb"][:, 0, 0, 0, 0].tolist() for batch in found] == batches_of(50)
        for batch, keys in zip(found, batches_of(50), strict=True):
            assert batch.streams["of"].shape == (len(keys), 2, 1, 1, 2)
            assert (
                batch.streams["of"].flatten(1) == (torch.tensor(keys) ** 2 % 256)[:, None]
            ).all()
            assert batch.labels.tolist() == [key % 5 for key in keys]
            assert batch.flips.tolist() == [key % 2 == 0 for key in keys]
            assert batch.videos.tolist() == [key // 2 for key in keys]


def test_a_batch_stays_valid_while_the_next_ones_are_taken():
    assert HELD < NUM_BUFFERS
    seen = []
    for batch in loader_of(Numbers(), workers=2, count=200):
        seen.append(batch)
        for earlier, keys in list(zip(seen, batches_of(200), strict=False))[-1 - HELD :]:
            assert earlier.streams["rgb"][:, 0, 0, 0, 0].tolist() == keys


def test_a_loader_that_was_left_early_starts_again_from_the_first_batch():
    loader = loader_of(Numbers(), workers=2)
    for _ in range(3):
        first = next(iter(prefetch_to_device(loader, CPU)))
        assert first.streams["rgb"][:, 0, 0, 0, 0].tolist() == batches_of(50)[0]


def test_an_error_is_raised_with_its_traceback_when_its_batch_is_due():
    due = next(number for number, keys in enumerate(batches_of(50)) if 13 in keys)
    made = 0
    with pytest.raises(OSError, match="No space left") as raised:
        for _ in loader_of(Faulty(), workers=2):
            made += 1
    assert made == due
    assert "in write_clip" in "".join(raised.value.__notes__)
    assert raised.value.filename == "somewhere"


def test_a_worker_reads_ahead_while_nothing_is_asked_for():
    dataset = Ahead()
    loader = iter(loader_of(dataset, workers=1, count=100))
    next(loader)
    before = dataset.count
    wait_for(lambda: dataset.count > before + 100)
    assert len(list(loader)) == len(batches_of(100)) - 1


def test_an_error_while_reading_ahead_is_raised_with_the_next_batch():
    dataset = Ahead(OSError(28, "No space left on device", "somewhere"))
    loader = iter(loader_of(dataset, workers=1))
    with pytest.raises(OSError, match="No space left"):
        next(loader)
        # A worker reads ahead only when no request waits, and on a busy machine one always may.
        wait_for(lambda: dataset.count > 0)
        list(loader)


def test_a_worker_that_is_killed_ends_the_epoch():
    with pytest.raises(InputError, match=r"reads frames has ended(.|\n)*SIGKILL"):
        list(loader_of(Killing(), workers=2))


def test_workers_end_with_the_process_that_started_them(tmp_path):
    code = """
import sys, time
from test_dataloader import Numbers, loader_of
loader = loader_of(Numbers(), workers=3, count=200)
batches = iter(loader)
next(batches)
print(*(worker.pid for worker in loader._workers), flush=True)
time.sleep(60)
"""
    variables = environment()
    variables["PYTHONPATH"] += os.pathsep + os.pathsep.join(
        (str(Path(__file__).parent), str(REPOSITORY / "tests"))
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as process:
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 3
        assert all(map(is_running, pids))
        process.kill()
    wait_for(lambda: not any(map(is_running, pids)), 20)


class Stalled:
    """A worker's pipe that has no answer for a number of looks, each of which takes no time."""

    def __init__(self, pipe, looks):
        self._pipe, self._looks = pipe, looks

    def poll(self, seconds):
        """Tell whether there is an answer after `seconds` that are not waited for."""
        self._looks -= 1
        return self._looks < 0 and self._pipe.poll(60)

    def __getattr__(self, name):
        return getattr(self._pipe, name)


@pytest.mark.parametrize("timeout", [0, 600, 60])
def test_a_share_that_stalls_for_a_minute_is_waited_for_or_given_up(timeout, caplog):
    """Looked at 70 times, which is once a second."""
    assert workers.SECONDS_BETWEEN_LOOKS == 1
    dataset, buffer = Numbers(), BatchBuffer(1, 100)
    worker = workers.Worker(dataset, [buffer], timeout)
    worker._pipe = Stalled(worker._pipe, 70)
    worker.request(0, 1, [(0, 7)])
    if timeout == 60:
        with pytest.raises(InputError, match=r"nothing new for 60 s(?s:.)*loader_timeout"):
            worker.wait()
        return
    assert worker.wait() is None
    assert buffer.as_batch(1, dataset.shapes(7)).streams["rgb"].flatten().tolist() == [7, 7, 7]
    first, second = caplog.messages
    assert "nothing new for 30 s" in first and "The task waits for it." in first
    assert "reads again" in second
