"""Protobuf messages built from short tables, so that no generated code and no framework is needed to read a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

Tables: TypeAlias = Mapping[str, tuple[str, ...]]


def messages(package: str, tables: Tables, enums: Tables | None = None) -> dict[str, type[Message]]:
    """Returns message name -> class, built from tables of fields.

    Args:
        package: protobuf package of the messages; any name.
        tables: message name -> its fields, each `name number type [default]`; `name*` is repeated; a type is
            another message of the tables, an enum, or protobuf's name of a number, `string` or `bytes`.
        enums: enum name -> its values, numbered from 0.
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for name, values in (enums or {}).items():
        # Enum values share the namespace of what holds the enum, and MAX is in two of them: each is held by its own.
        enum = file.message_type.add(name=f"{name}Enum").enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in tables.items():
        message = file.message_type.add(name=name)
        for spec in fields:
            _add_field(message, spec, package, tables, enums or {})
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in tables}


def _add_field(message: Any, spec: str, package: str, tables: Tables, enums: Tables) -> None:
    kind = descriptor_pb2.FieldDescriptorProto
    name, number, type_name, *default = spec.split()
    repeated = name.endswith("*")
    field = message.field.add(
        name=name.rstrip("*"),
        number=int(number),
        label=kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL,
    )
    if type_name in tables:
        field.type, field.type_name = kind.TYPE_MESSAGE, f".{package}.{type_name}"
    elif type_name in enums:
        field.type, field.type_name = kind.TYPE_ENUM, f".{package}.{type_name}Enum.{type_name}"
    else:
        field.type = kind.Type.Value(f"TYPE_{type_name.upper()}")
    if default:
        field.default_value = default[0]
