"""Copying ranges of bytes into a growing buffer, without an object for each range.

Compiled code takes these functions from `memory.pxd`, where each is a call of memcpy; this file says the same in
Python and is never compiled. A buffer is a bytearray of which the first `filled` bytes count. `reserve` must come
before what it makes room for, and nothing here checks a bound: the caller has.
"""


def reserve(buffer: bytearray, filled: int, more: int, most: int) -> None:
    """Make room for `more` bytes behind the first `filled`, and for later ones as long as the buffer does not come
    to more than `most`. In Python a bytearray does that by itself."""


def cut(buffer: bytearray, filled: int) -> None:
    """Make the first `filled` bytes all of it."""
    del buffer[filled:]


def copy(buffer: bytearray, filled: int, source: bytes, start: int, end: int) -> None:
    """Put `source[start:end]` behind the first `filled` bytes."""
    buffer[filled : filled + end - start] = source[start:end]


def copy_two_bytes(buffer: bytearray, filled: int, value: int) -> None:
    """Put a two-byte integer, high byte first, behind the first `filled` bytes."""
    buffer[filled : filled + 2] = value.to_bytes(2, "big")


def copy_varint(buffer: bytearray, filled: int, value: int) -> int:
    """Put a variable byte integer behind the first `filled` bytes; how many there are then."""
    while value >= 0x80:
        buffer[filled : filled + 1] = bytes((value & 0x7F | 0x80,))
        filled += 1
        value >>= 7
    buffer[filled : filled + 1] = bytes((value,))
    return filled + 1


def first(buffer: bytearray, filled: int) -> bytes:
    """The first `filled` bytes."""
    return bytes(memoryview(buffer)[:filled])


def same(source: bytes, start: int, size: int, other: bytes) -> bool:
    """Whether the `size` bytes from `start` are those of `other`."""
    return len(other) == size and source.startswith(other, start)
