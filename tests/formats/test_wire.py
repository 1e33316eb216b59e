"""The walk over protobuf's wire format finds what the protobuf library wrote, and stops at whatever is no message."""

from __future__ import annotations

import contextlib

import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given
from hypothesis import strategies as st

from zoo.formats import protobuf, wire

TABLES = {
    "Outer": ("number 1 int64", "name 2 bytes", "part* 3 Inner", "dim* 4 int64", "x 5 float", "y 200 double"),
    "Inner": ("a 1 int32",),
}


@given(
    st.integers(-(2**63), 2**63 - 1), st.binary(max_size=300), st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5)
)
def test_fields_are_those_that_were_written(number: int, name: bytes, parts: list[int]) -> None:
    outer = protobuf.messages("wire_test", TABLES)["Outer"](number=number, name=name, x=1.5, y=-2.0)
    for value in parts:
        outer.part.add(a=value)
    outer.dim.extend(parts)
    found = list(wire.fields(memoryview(outer.SerializeToString())))
    assert [wire.signed(value) for key, _, value in found if key == 1] == [number]
    assert [bytes(value) for key, _, value in found if key == 2] == [name]
    inner = [next(iter(wire.fields(value)), (1, 0, 0))[2] for key, _, value in found if key == 3]
    assert [wire.signed(value) for value in inner] == parts
    assert [wire.signed(value) for key, _, value in found if key == 4] == parts
    assert {key: (kind, len(value)) for key, kind, value in found if key in (5, 200)} == {5: (5, 4), 200: (1, 8)}


@given(st.binary(max_size=64))
def test_any_bytes_are_fields_or_a_value_error(data: bytes) -> None:
    total = 0
    with contextlib.suppress(ValueError):
        for number, _, value in wire.fields(memoryview(data)):
            assert number > 0
            total += len(value) if isinstance(value, memoryview) else 1
    assert total <= len(data)


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_message_that_is_cut_short_is_noticed(cut: int) -> None:
    raw = descriptor_pb2.FileDescriptorProto(name="some name").SerializeToString()
    with pytest.raises(ValueError, match=r"cut short|ends behind"):
        list(wire.fields(memoryview(raw[:-cut] or b"\x80")))


def test_packed_numbers() -> None:
    assert list(wire.varints(memoryview(b"\x01\xac\x02\x00"))) == [1, 300, 0]
    with pytest.raises(ValueError, match="more than 64 bits"):
        wire.varint(memoryview(b"\xff" * 11), 0)
