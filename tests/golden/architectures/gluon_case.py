"""What a network of MXNet's Gluon gives, for the makers of the cases of gluon's, GluonCV's and gluoncv2's networks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

os.environ.setdefault("MXNET_SUBGRAPH_BACKEND", "NONE")

import generated
import mxnet
import numpy as np
from mxnet import gluon


def case(
    make: Callable[[], gluon.HybridBlock],
    size: int,
    *,
    run: bool = True,
    quick: bool = False,
    ignored: Iterable[str] = (),
    scale: float = 1.0,
    at_least: float = 0.03,
    older: bool = False,
    double: bool = True,
) -> dict[str, Any]:
    """Returns a case: names and shapes of a network's arrays, and what it answers.

    Args:
        make: returns the network with 10 classes, not initialized.
        size: rows and columns of the input.
        run: whether to run it; else names and shapes only, without memory for the weights.
        quick: whether `make test` compares the numbers.
        ignored: names of arrays that zoo's Graph does not have.
        scale: what the image is multiplied by.
        at_least: as in `generated.answers`.
        older: whether to tell the names that arrays had before MXNet 1.2, too.
        double: whether the network can be run in double precision.
    """
    network = make()
    empty = mxnet.nd.zeros((1, 3, size, size))
    if run:
        network.initialize()
        network(empty)
    else:
        network.infer_shape(empty)
    params = network._collect_params_with_prefix()
    shapes = {name: list(param.shape) for name, param in params.items() if name not in ignored}
    found = generated.digest(shapes)
    if older:
        found["older"] = _older(network, shapes)
    if not run:
        return found

    def answer(kind: str, gain: float, flipped: bool) -> np.ndarray:
        network.cast(kind)
        for name, array in generated.arrays(shapes, gain).items():
            params[name].set_data(mxnet.nd.array(array, dtype=kind))
        pixels = generated.image(size)[:, :, :: -1 if flipped else 1] * np.float32(scale)
        output = network(mxnet.nd.array(pixels.transpose(0, 3, 1, 2), dtype=kind))
        first = output if isinstance(output, mxnet.nd.NDArray) else output[0]
        array: np.ndarray = first.asnumpy()
        return array

    def forward(gain: float, flipped: bool) -> tuple[np.ndarray, np.ndarray | None]:
        if not double:
            return answer("float32", gain, flipped), None
        return answer("float64", gain, flipped), None if flipped else answer("float32", gain, flipped)

    found |= {"size": size, **generated.answers(forward, at_least=at_least)}
    found |= {"scale": scale} if scale != 1 else {}
    return {**found, "quick": True} if quick else found


def averaging_all(network: gluon.HybridBlock, place: int) -> gluon.HybridBlock:
    """Returns a network whose last pool, a child of `features`, averages a map of any size."""
    network.features._children[str(place)] = gluon.nn.GlobalAvgPool2D()
    return network


def _older(network: gluon.HybridBlock, shapes: Iterable[str]) -> str:
    params = network._collect_params_with_prefix()
    pairs = sorted((params[name].name.removeprefix(network.prefix), name) for name in shapes)
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()
