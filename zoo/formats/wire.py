"""Protobuf's wire format, one level at a time: where each field lies; large ones stay in the mapped file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

MAX_FIELDS = 1_000_000

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field of a message.

    Args:
        number: as the message's definition numbers it.
        kind: how it is written: VARINT, FIXED64, BYTES or FIXED32.
        begin: where it begins, its tag included.
        start: where its content begins.
        end: where it ends.
    """

    number: int
    kind: int
    begin: int
    start: int
    end: int


def fields(data: memoryview, start: int, end: int) -> Iterator[Field]:
    """Yields the fields of the message at `data[start:end]`.

    Raises:
        ValueError: the bytes are no message, or are cut short; its text says where.
    """
    at, count = start, 0
    while at < end:
        begin = at
        count += 1
        if count > MAX_FIELDS:
            raise ValueError(f"has more than {MAX_FIELDS:,} fields in one message")
        tag, at = _varint(data, at, end)
        kind = tag & 7
        if kind == VARINT:
            content = at
            _, at = _varint(data, at, end)
        elif kind in (FIXED32, FIXED64):
            content, at = at, at + (4 if kind == FIXED32 else 8)
        elif kind == BYTES:
            size, content = _varint(data, at, end)
            at = content + size
        else:
            raise ValueError(f"has a field of unknown kind {kind} at byte {begin}")
        if at > end or not tag >> 3:
            raise ValueError(f"has a field that reaches beyond its end at byte {begin}")
        yield Field(tag >> 3, kind, begin, content, at)


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError(f"is cut short at byte {at}")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError(f"has a number of more than ten bytes at byte {at}")
