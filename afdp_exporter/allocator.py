"""From where the C library takes the memory of arrays: glibc's malloc, where it is that."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of its malloc.h
_libc = ctypes.CDLL(None)


def reuse_memory_below(size: int) -> None:
    """Arrays of fewer bytes take memory that was used before; each larger one has its own, which the system gets back.

    By itself glibc reuses more and more of it, and what long-lived arrays leave in between is never given back.
    """
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_MMAP_THRESHOLD, size)
        _libc.mallopt(_M_TRIM_THRESHOLD, size)
