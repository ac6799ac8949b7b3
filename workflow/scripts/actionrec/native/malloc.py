"""How a process that computes on a CPU gets its memory."""

import ctypes

TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8  # of glibc's malloc.h


def keep_freed() -> None:
    """Have malloc keep what tensors free for the next ones.

    glibc takes large ones from the kernel and gives them back each time, which zeroes every page
    again: up to a quarter of the time of a forward pass. Nor may threads have areas of their own,
    which go back whole when they are empty. Other C libraries go on as they do.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, -1)
        mallopt(ARENA_MAX, 1)
