"""Caffe's network text: one spelling for its generations, unknown fields found, then protobuf's text parser."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from zoo.errors import FormatError
from zoo.formats.caffe import schema

# ResNet-152's text has 0.2 MB; the bounds keep a hostile file from taking minutes or Python's stack.
MAX_BYTES = 4 << 20
MAX_DEPTH = 16

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<word>[\w.+-]+)
    |(?P<mark>.)""",
    re.VERBOSE,
)

# Fields of a layer's parameters that change nothing at inference: how weights start, how fast, which backend.
HARMLESS = frozenset(
    {
        "weight_filler",
        "bias_filler",
        "filler",
        "slope_filler",
        "scale_filler",
        "shift_filler",
        "momentum",
        "decay",
        "variance_norm",
        "engine",
        "force_nd_im2col",
        "moving_average_fraction",
        "stable_prod_grad",
    }
)
# The same for a layer's own fields: anything but a `..._param` that some layer may need.
_HARMLESS_PARAMS = frozenset({"param", "loss_param", "hdf5_output_param", "accuracy_param", "mutable_param"})


@dataclass
class Scan:
    """What the text parser does not tell: the text in one spelling, where layers start, fields no table has.

    Args:
        text: the network with `layers` written `layer` and enum types as strings.
        lines: line of each layer, in document order.
        unknown: layer's position -> its unknown fields that may matter, as `convolution_param.rotate (line 7)`.
    """

    text: str = ""
    lines: list[int] = field(default_factory=list)
    unknown: dict[int, list[str]] = field(default_factory=dict)


@dataclass
class _Frame:
    """One open message: its descriptor (None inside unknown fields) and the field being read."""

    descriptor: Any
    path: str = ""
    name: str = ""
    child: Any = None
    value_next: bool = False
    in_list: bool = False


_CLASSES = schema.messages("zoo_caffe_text", schema.TEXT)


def parse(path: Path) -> tuple[Any, Scan]:
    """Reads a network definition.

    Args:
        path: the prototxt.

    Returns:
        The Net message and what the scan found; `net.layer[i]` starts on line `scan.lines[i]`.

    Raises:
        FormatError: the file is no text, too large, or not a network.
    """
    text = _read(path)
    found = scan(text, where=path.name)
    net: Any = _CLASSES["Net"]()
    try:
        text_format.Parse(found.text, net, allow_unknown_field=True)
    except text_format.ParseError as error:
        told = _reason(error, found.text)
        raise FormatError(f"{path.name}:{told}; expected a Caffe network definition") from error
    except (ValueError, TypeError, RecursionError) as error:  # numbers and escapes the parser itself does not guard
        raise FormatError(f"{path.name}: not a Caffe network definition: {_short(str(error))}") from error
    if len(found.lines) != len(net.layer):  # `layer: [{...}, {...}]`: lines are for messages only
        found.lines = [0] * len(net.layer)
    return net, found


def _reason(error: text_format.ParseError, text: str) -> str:
    """`line:column: what is wrong`, without the line itself, which may be the whole file."""
    line, column = error.GetLine(), error.GetColumn()
    if line is None:
        return f" {_short(str(error))}"
    reason = str(error).split(" : ", 1)[-1]
    lines = text.split("\n")
    quoted = f"'{lines[line - 1]}': " if line <= len(lines) else "'': "
    reason = reason.removeprefix(quoted).removeprefix("'': ")
    reason = re.sub(r'Message type "[\w.]*?(\w+)"', r"\1", reason).replace("found: ''", "the file ends")
    return f"{line}:{column}: {_short(reason)}"


def _short(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= 160 else f"{text[:160]}..."


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FormatError(
                f"{path.name}: {path.stat().st_size:,} bytes are too many for a network definition (at most "
                f"{MAX_BYTES:,}); were the prototxt and the caffemodel swapped?"
            )
        raw = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path.name}: cannot be read: {error.strerror or error}") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # authors' names in comments
    if any(ord(char) < 32 and char not in "\t\n\r\f\v" for char in set(text)):
        raise FormatError(f"{path.name}: is no text; were the prototxt and the caffemodel swapped?")
    if not text.strip():
        raise FormatError(f"{path.name}: is empty; expected a Caffe network definition")
    return text


def scan(text: str, *, where: str) -> Scan:
    """Walks the text's tokens once; see `Scan`.

    Raises:
        FormatError: messages are nested deeper than any network's.
    """
    result, out = Scan(), []
    stack = [_Frame(_CLASSES["Net"].DESCRIPTOR)]
    line = 1
    for token in _TOKEN.finditer(text):
        piece, frame = token.group(), stack[-1]
        kind = token.lastgroup
        if kind == "word" and not (frame.value_next or frame.in_list):
            piece = _field(result, stack, piece, line)
        elif kind in ("word", "string"):
            if kind == "word" and frame.name == "type" and _types_layers(frame):
                piece = f'"{piece}"'  # CONVOLUTION: an enum's name
            frame.value_next = False
        elif kind == "mark":
            _mark(stack, piece, where, line)
        out.append(piece)
        line += token.group().count("\n")
    result.text = "".join(out)
    return result


def _types_layers(frame: _Frame) -> bool:
    return frame.descriptor is not None and frame.descriptor.name in ("Layer", "V0Layer")


def _field(result: Scan, stack: list[_Frame], name: str, line: int) -> str:
    """Notes the field that starts here; returns the name to write."""
    frame = stack[-1]
    frame.name, frame.child = name, None
    if len(stack) == 1 and name in ("layer", "layers"):
        name = "layer"
        result.lines.append(line)
    if frame.descriptor is None:
        return name
    known = frame.descriptor.fields_by_name.get(name)
    if known is not None:
        frame.child = known.message_type
    elif len(stack) > 1 and name not in HARMLESS and _may_matter(frame, name):
        path = f"{frame.path}.{name[:60]}" if frame.path else name[:60]
        result.unknown.setdefault(len(result.lines) - 1, []).append(f"{path} (line {line})")
    return name


def _may_matter(frame: _Frame, name: str) -> bool:
    if frame.descriptor.name == "V0Layer":
        return False  # one flat message for all types, training fields included
    return frame.descriptor.name != "Layer" or (name.endswith("_param") and name not in _HARMLESS_PARAMS)


def _mark(stack: list[_Frame], mark: str, where: str, line: int) -> None:
    frame = stack[-1]
    if mark == ":":
        frame.value_next = True
    elif mark in "[]":
        frame.in_list, frame.value_next = mark == "[", False
    elif mark in "{<":
        frame.value_next = False
        if len(stack) > MAX_DEPTH:
            raise FormatError(f"{where}:{line}: messages are nested more than {MAX_DEPTH} deep; no network needs that")
        path = frame.name if len(stack) > 1 else ""
        stack.append(_Frame(frame.child, path if not frame.path else f"{frame.path}.{path}"))
    elif mark in "}>" and len(stack) > 1:
        stack.pop()
