"""ONNX: a network with its weights in one file (and perhaps arrays beside it) -> Graph, without ONNX's packages."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.formats.onnx import network
from zoo.formats.onnx.translate import translate
from zoo.formats.options import Options
from zoo.graph import Graph

__all__ = ["read"]


def read(path: str | os.PathLike[str], *, options: Options = Options()) -> Graph:  # noqa: B008
    """Reads an ONNX network as it runs at inference.

    Args:
        path: the file; arrays that it keeps in files of its own folder are read from there.
        options: the size of an image input that the file leaves open, and where to end.

    Returns:
        A Graph whose nodes have the file's names (their first output's where they have none), whose values and
        parameters have the names of the file's values and arrays. Images are NCHW whichever way the file has them.
        What exporters compute from shapes is computed; a MatMul and the Add behind it are one Gemm.

    Raises:
        UnsupportedError: nodes have no counterpart; all are named.
        FormatError: the file is damaged.
        UsageError: the size of the input is open, or there is no `until`.
    """
    path = Path(path)
    return translate(network.read(path, options.until), path, options)
