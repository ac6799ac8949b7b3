"""Settings of the C library's memory allocator, for large arrays that come and go."""

import ctypes

TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8  # parameters of mallopt, from glibc's malloc.h


def keep_freed() -> None:
    """Let malloc keep the memory of freed tensors and pictures for the next ones.

    By default glibc takes large blocks from the kernel and returns them each time, and the kernel
    zeroes every page again: up to a quarter of the time of a forward pass or of decoding. Threads
    must share one arena, because an arena of their own is returned whole when it is empty. Without
    effect on other C libraries.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, -1)
        mallopt(ARENA_MAX, 1)
