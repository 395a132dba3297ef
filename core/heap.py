"""How the C library keeps memory, in each process of `serve`."""

import ctypes
from contextlib import suppress


def keep_memory_small() -> None:
    """glibc would give each thread a heap of its own, and keep what large pieces left. See docs/adr/0042-memory.md."""
    with suppress(AttributeError):  # another C library
        mallopt, malloc_trim = ctypes.CDLL(None).mallopt, ctypes.CDLL(None).malloc_trim
        mallopt(-8, 1)  # M_ARENA_MAX
        mallopt(-3, 256 * 1024)  # M_MMAP_THRESHOLD, which would grow with what is freed
        mallopt(-1, 256 * 1024)  # M_TRIM_THRESHOLD
        malloc_trim(0)
