"""Protobuf's wire format, read without copies: a message's fields as views into the file.

The protobuf library copies every field of bytes; for a file of weights that is one pass over all of them, and their
size in memory. Here a message is walked field by field (protobuf.dev/programming-guides/encoding), so that arrays stay
where they lie. Only for the few messages that hold weights: everything else is read by `zoo.formats.protobuf`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

MAX_FIELDS = 1 << 20
"""Fields of one message: more than any file of weights has, and few enough to walk in a second."""

Field: TypeAlias = "tuple[int, int, int | memoryview]"


def fields(message: memoryview) -> Iterator[Field]:
    """Yields (number, wire type, value) of a message's fields in the file's order.

    Args:
        message: the message's bytes.

    Yields:
        value is an int for varints, else a view of the field's bytes (4 or 8 for fixed ones).

    Raises:
        ValueError: the bytes are no message, or one of more than `MAX_FIELDS` fields.
    """
    at, end, count = 0, len(message), 0
    while at < end:
        count += 1
        if count > MAX_FIELDS:
            raise ValueError(f"more than {MAX_FIELDS:,} fields")
        key, at = varint(message, at)
        number, kind = key >> 3, key & 7
        if not 1 <= number < 1 << 29:
            raise ValueError("a field without a number")
        if kind == VARINT:
            value, at = varint(message, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, at = varint(message, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:  # groups, which no format here uses
            raise ValueError(f"a field of wire type {kind}")
        if size > end - at:
            raise ValueError("a field that ends behind its message")
        yield number, kind, message[at : at + size]
        at += size


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """Returns an unsigned number of at most 64 bits and where it ends.

    Raises:
        ValueError: it is longer, or cut short.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("a number that is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, at
    raise ValueError("a number of more than 64 bits")


def varints(data: memoryview) -> Iterator[int]:
    """Yields the numbers of a packed field."""
    at = 0
    while at < len(data):
        value, at = varint(data, at)
        yield value


def signed(value: int) -> int:
    """Returns what an int32 or int64 field means by a varint."""
    return value - (1 << 64) if value >> 63 else value
