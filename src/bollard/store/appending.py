"""Appending to a file so that it grows by all of it or not at all. Knows no contents."""

import os


def write_whole(handle: int, data: bytes) -> None:
    """All of `data` and on disk, or the file as long as it was. `handle` is open for appending."""
    before = os.fstat(handle).st_size
    try:
        written = 0
        while written < len(data):
            written += os.write(handle, data[written:])
        os.fsync(handle)
    except BaseException:
        os.ftruncate(handle, before)
        raise
