"""The memory of freed tensors on a CPU is used again."""

import platform
import resource
import subprocess
import sys

import pytest

from helpers.engine import environment

PAGES = 64 * 2**20 // resource.getpagesize()
FAULTS = f"""
import resource, sys
import torch
from actionrec.utils import malloc
if "kept" in sys.argv:
    malloc.keep_freed()
def fill():
    torch.ones({64 * 2**20}, dtype=torch.uint8)
for _ in range(10):  # glibc finds aligned free memory only after some rounds
    fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_a_large_tensor_does_not_take_new_pages_each_time():
    assert faults() >= PAGES
    assert faults("kept") < PAGES / 10
