"""Conversion of files of VGG-16's size, each in a fresh process, after everything is imported.

Beside it, a process that reads the same files into memory and writes as many bytes as the artifact has, as the artifact
is written. Memory is the largest resident size beyond that after the imports.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Bench, Line, Measured, Target, compare

BYTES, OPENCV, ONNX2TF, NOBUCO = "read + write of the bytes", "OpenCV, loading it", "onnx2tf", "nobuco"
SOURCES: dict[str, dict[str, Any]] = {
    "caffe": {"graph": "0", "weights": "1"},
    "mxnet": {"graph": "0", "weights": "1"},
    "torch7": {"graph": "0"},
    "pytorch": {"weights": "0", "architecture": "vgg16", "dialect": "torchvision"},
    "checkpoint": {"weights": "0", "data": ["1"], "architecture": "vgg16", "dialect": "slim"},
    "onnx": {"graph": "0"},
}
"""Format -> what a card's source states of it; the files are in the order in which files.py writes them."""
CALLED = {
    "caffe": ".caffemodel", "mxnet": ".params", "torch7": ".t7", "pytorch": ".pth", "checkpoint": "checkpoint",
    "onnx": ".onnx",
}  # fmt: skip


def row(format: str, other: str | None = None) -> Callable[[Bench], list[Line]]:
    """Returns the row of a format, and of another tool that reads it."""

    def measure(bench: Bench) -> list[Line]:
        with bench.folder() as folder:
            paths = bench.files(format, folder)
            size = sum(path.stat().st_size for path in paths)
            taken = bench.turns(sides(bench, format, paths, other))
        what = f"convert VGG-16, {CALLED[format]}"
        lines = [compare(taken, what, BYTES, target=Target(3.0)), memory(taken, what, size)]
        if other is not None:
            faster = None if other == OPENCV else Target(1.0)
            lines.append(compare(taken, what, other, target=faster))
        return lines

    return measure


def sides(bench: Bench, format: str, paths: list[Path], other: str | None) -> dict[str, Callable[[], Measured]]:
    def side(script: str, *arguments: object, tool: str | None = None) -> Callable[[], Measured]:
        def measure() -> Measured:
            with bench.folder() as out:
                return bench.once(script, *[out if part is Path else part for part in arguments], tool=tool)

        return measure

    listed = json.dumps([str(path) for path in paths])
    found = {
        "zoo": side("convert", listed, Path, json.dumps({"format": format, **SOURCES[format]})),
        BYTES: side("copy_bytes", listed, Path),
    }
    tools: dict[str | None, Callable[[], Measured]] = {
        OPENCV: side("opencv", *paths, tool="tools"),
        ONNX2TF: side("onnx2tf_convert", *paths, Path, tool="onnx2tf"),
        NOBUCO: side("nobuco_convert", *paths, Path, tool="nobuco"),
    }
    return found if other is None else {**found, other: tools[other]}


def memory(taken: Any, what: str, size: int) -> Line:
    """Returns the line of zoo's peak beside the size of the files, which is that of the weights."""
    line = Line(f"{what}, peak memory", "the weights", "memory", target=str(Target(2.0)))
    if "error" in taken["zoo"]:
        line.reason = taken["zoo"]["error"]
        return line
    line.ours = [run["memory"] for run in taken["zoo"]]
    line.theirs = [float(size)] * len(line.ours)
    line.met = Target(2.0).met(line.ratio())
    return line


ROWS = {
    "convert-caffe": row("caffe", OPENCV),
    "convert-mxnet": row("mxnet"),
    "convert-torch7": row("torch7"),
    "convert-pytorch": row("pytorch", NOBUCO),
    "convert-checkpoint": row("checkpoint"),
    "convert-onnx": row("onnx", ONNX2TF),
}
