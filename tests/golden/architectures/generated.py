"""Weights and an input that the makers and the tests both compute, so that no large file has to be kept; and the .json.

`RandomState` is numpy's frozen generator: its numbers are the same in every version.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = 10
GAINS = (0.6, 0.65, 0.55, 0.62, 0.58, 0.56, 0.5, 0.7, 0.8, 0.9, 1.0, 0.4, 1.2, 0.3, 0.85, 0.68, 1.5, 0.47, 0.45)
"""0.5 and the output of many nets hardly depends on the input; 0.8 and rounding errors grow from layer to layer."""
LARGEST = 1e4
"""Of outputs: where values explode, every gate is open or shut, and rounding errors decide which. A network without
gates only scales, and its script may say `inf`."""

_VARIANCES = ("running_var", "moving_variance", "variance")
_SCALES = ("weight", "gamma")


def arrays(
    shapes: Mapping[str, Iterable[int]], gain: float, damped: Mapping[str, float] | None = None
) -> dict[str, np.ndarray]:
    """Returns float32 arrays that depend on name and shape; no two batch normalisations have the same statistics.

    Args:
        shapes: name in the origin -> shape; names that end in `.weight`, `/gamma`, `.running_var` and so on mean it.
        gain: spread of kernels, times the root of what one output sums over.
        damped: end of a name -> factor, where what no kernel scales would grow from layer to layer.
    """
    made = {name: _array(name, tuple(shape), gain) for name, shape in shapes.items()}
    for end, factor in (damped or {}).items():
        made |= {name: array * np.float32(factor) for name, array in made.items() if name.endswith(end)}
    return made


def _array(name: str, shape: tuple[int, ...], gain: float) -> np.ndarray:
    kind = name.replace("/", ".").rsplit(".", 1)[-1]
    count = int(np.prod(shape))
    if len(shape) <= 1 and count < 100_000:
        random = np.random.RandomState(zlib.crc32(name.encode()))
        if kind == "index":
            return random.permutation(count).astype(np.float32)  # numbers of channels
        if kind in _VARIANCES:
            array = random.uniform(0.05, 0.5, shape)  # small enough for a wrong epsilon to show
        elif kind in _SCALES:
            array = random.uniform(0.5, 1.5, shape)
        else:
            array = random.standard_normal(shape) * 0.2  # bias, mean
        return np.asarray(array, np.float32)
    normal = _normal()
    start = zlib.crc32(name.encode()) % len(normal)
    flat = np.resize(np.roll(normal, start), count)
    # TensorFlow's kernels have outputs last (depthwise ones channels and multiplier), torch's first.
    last = "/" in name and not _is_theanos(shape)
    depthwise = last and "depthwise" in kind
    fan_in = count / ((shape[-1] if last else shape[0]) * (shape[-2] if depthwise else 1))
    if len(shape) == 2 and shape[0] in (4, 8) and "conv" in "".join(re.split("[./]", name)[-2:]):
        # CondConv's kernels, a flat row each, do not say what one output sums over.
        fan_in = shape[0] / 4 * (16 if "_dw" in name or "depthwise" in name else np.sqrt(6 * shape[1]))
    return (flat * np.float32(gain / np.sqrt(fan_in))).reshape(shape)


def _is_theanos(shape: tuple[int, ...]) -> bool:
    """Whether a kernel is Theano's, OIHW: no network has so many rows."""
    return len(shape) == 4 and shape[0] > 11 and max(shape[2:]) <= 7


@functools.cache
def _normal() -> np.ndarray:
    # A prime number of them: no kernel has the same numbers in two of its rows.
    return np.random.RandomState(0).standard_normal(1_000_003).astype(np.float32)


def image(height: int, width: int | None = None, *, raw: bool = False) -> np.ndarray:
    """Returns a smooth coloured pattern, (1, height, width, 3), -1..1, or `raw` 0..255."""
    width = width or height
    y, x = np.mgrid[:height, :width]
    y, x = y / (height - 1) * 2 - 1, x / (width - 1) * 2 - 1
    pattern = np.stack([x * y, x * x + y - 1, 0.7 * x - 0.3 * y * y], axis=-1).astype(np.float32)[None]
    return (pattern + 1) * np.float32(127.5) if raw else pattern


def digest(shapes: Mapping[str, Iterable[int]]) -> dict[str, Any]:
    """Returns how many tensors there are, and a hash of their names and shapes as the origin has them."""
    found = sorted((name, list(shape)) for name, shape in shapes.items())
    return {"tensors": len(found), "digest": hashlib.sha256(json.dumps(found).encode()).hexdigest()}


def answers(
    run: Callable[[float, bool], tuple[np.ndarray, np.ndarray | None]], *, at_least: float = 0.03
) -> dict[str, Any]:
    """Returns gain and output for the first gain of GAINS with which a network answers to its input.

    Args:
        run: (gain, flipped) -> the output for the image, mirrored left to right if `flipped`, in double precision if
            the framework can, and the same in single (None if the framework can only one).
        at_least: how much of the output has to change when the image is mirrored.

    Raises:
        SystemExit: no gain does.
    """
    told = []
    for gain in GAINS:
        output, single = run(gain, False)
        flipped, _ = run(gain, True)
        largest = np.abs(output).max()
        moved = np.abs(output - flipped).max() / largest
        noise = 0 if single is None else np.abs(output - single).max() / largest
        told.append(f"{gain}: moved {moved:.2g}, noise {noise:.2g}, largest {largest:.2g}")
        if largest < LARGEST and np.isfinite(largest) and moved > at_least and noise < 2e-5:
            return {"gain": gain, "output": [float(f"{value:.8g}") for value in output.ravel().tolist()]}
    raise SystemExit("no gain will do: the output has to depend on the input, and rounding errors to stay small\n"
                     + "\n".join(told))  # fmt: skip


def store(family: str, makers: Mapping[str, Callable[[], dict[str, Any]]]) -> None:
    """Makes cases and puts them into FAMILY.json: those whose name holds a word of the command line, if it has any.

    Args:
        family: stem of the file.
        makers: `dialect/variant` -> what makes the case.
    """
    path = Path(__file__).with_name(f"{family}.json")
    for name, make in makers.items():
        if len(sys.argv) > 1 and not any(word in name for word in sys.argv[1:]):
            continue
        case = make()
        cases = json.loads(path.read_text()) if path.exists() else {}
        cases[name] = case
        lines = (f"{json.dumps(key)}: {json.dumps(cases[key])}" for key in sorted(cases))
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        print(name, {key: value for key, value in case.items() if key not in ("digest", "output")}, flush=True)
