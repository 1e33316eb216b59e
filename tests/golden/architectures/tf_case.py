"""What a TensorFlow 1 network gives, for the makers of slim's and tensorflow/tpu's cases."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import generated
import numpy as np

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # tf.layers exists with Keras 2 alone

import tensorflow as tf
import tf_keras.src.legacy_tf_layers as legacy

# tf_slim looks for TensorFlow 1's layers where Keras 2 no longer has them.
sys.modules.setdefault("tf_keras.legacy_tf_layers", legacy)
v1 = tf.compat.v1


def case(
    make: Callable[[Any], Any], size: int, *, run: bool = True, quick: bool = False,
    ignored: Iterable[str] = ("global_step",), at_least: float = 0.03,
) -> dict[str, Any]:  # fmt: skip
    """Returns a case: names and shapes of a network's variables, and what it answers.

    Args:
        make: images (N, H, W, 3) -> logits (N, 10), for inference; float64 where the network follows its input's type.
        size: rows and columns of the input.
        run: whether to run it; else names and shapes only.
        quick: whether `make test` compares the numbers.
        ignored: parts of names of variables that zoo's Graph does not have.
        at_least: as in `generated.answers`.
    """
    try:
        found = _case(make, size, tf.float64, run, tuple(ignored), at_least)
    except (TypeError, ValueError):  # a network that insists on float32
        found = _case(make, size, tf.float32, run, tuple(ignored), at_least)
    return {**found, "quick": True} if quick and run else found


def _case(
    make: Callable[[Any], Any], size: int, dtype: Any, run: bool, ignored: tuple[str, ...], at_least: float
) -> dict[str, Any]:
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(dtype, (1, size, size, 3))
        logits = make(x)
        names = {variable.op.name: variable for variable in v1.global_variables()}
        names = {key: value for key, value in names.items() if not any(part in key for part in ignored)}
        shapes = {key: value.shape.as_list() for key, value in names.items()}
        if not run:
            return generated.digest(shapes)
        session.run(v1.global_variables_initializer())

        def forward(gain: float, flipped: bool) -> tuple[np.ndarray, np.ndarray | None]:
            made = generated.arrays(shapes, gain)
            # One call: each further one would prepare the whole graph again.
            loads = {key: variable.initializer for key, variable in names.items()}
            types = {key: variable.dtype.base_dtype.as_numpy_dtype for key, variable in names.items()}
            session.run(list(loads.values()), {op.inputs[1]: made[key].astype(types[key]) for key, op in loads.items()})
            pixels = generated.image(size)[:, :, :: -1 if flipped else 1]

            def answer(pixels: np.ndarray) -> np.ndarray:
                return np.asarray(session.run(logits, {x: pixels}), np.float64).reshape(-1)

            # There is no second precision to compare with: an error of an image's last digits has to stay as small.
            noise = np.random.RandomState(0).standard_normal(pixels.shape) * 1e-6
            return answer(pixels), None if flipped else answer(pixels + noise)

        return {**generated.digest(shapes), "size": size, **generated.answers(forward, at_least=at_least)}
