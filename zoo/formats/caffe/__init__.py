"""Caffe: a network definition (prototxt) and its weights (caffemodel) -> Graph, without Caffe."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.formats.caffe import network, weights
from zoo.formats.caffe.ops import OPS
from zoo.formats.caffe.translate import State, translate
from zoo.formats.caffe.weights import mean
from zoo.formats.options import Options
from zoo.graph import Graph

__all__ = ["mean", "read"]


def read(
    graph_path: str | os.PathLike[str],
    weights_path: str | os.PathLike[str] | None = None,
    *,
    options: Options = Options(),  # noqa: B008 - frozen
) -> Graph:
    """Reads a Caffe network as it runs at test time.

    Args:
        graph_path: the prototxt, for deployment or training, of any of Caffe's generations.
        weights_path: the caffemodel, in protobuf or HDF5; without it the parameters are `Param` shapes.
        options: the input's shape, where the file states none or another is wanted; the layer or blob to end at.

    Returns:
        A Graph whose nodes are named as Caffe's layers and whose parameters are named `<layer>/<index>`, counted as in
        Caffe; BatchNorm and the Scale right behind it are one BatchNormalization under BatchNorm's name. Data, loss
        and measuring layers are gone; blobs that the network does not use stand in `unused`.

    Raises:
        UnsupportedError: layers have no counterpart; all are named.
        FormatError: a file is damaged, or the two do not belong together.
        UsageError: the input's shape is needed, or there is nothing of the name to end at.
    """
    graph_path = Path(graph_path)
    net = network.read(graph_path, options)
    blobs = None if weights_path is None else weights.read(Path(weights_path))
    where = "" if weights_path is None else Path(weights_path).name
    ends = () if options.until is None else net.outputs
    return translate(net, OPS, State(graph_path.name, where, blobs, batch=net.batch, ends=ends))
