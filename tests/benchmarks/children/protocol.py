"""How a child tells the harness what it measured: lines of JSON behind a mark, as libraries print too.

A child runs in an interpreter that may have nothing but the package it measures: only the standard library here.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any


def tell(**facts: Any) -> None:
    """Gives the harness one answer."""
    print("\nRESULT " + json.dumps(facts), flush=True)


def turns(measure: Callable[[], None]) -> None:
    """Says that it is ready, then runs `measure` and tells its seconds whenever it is asked to."""
    tell(ready=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        measure()
        tell(seconds=time.perf_counter() - start)


def keras_is_up() -> None:
    """Imports Keras and has it compute once: a backend starts when it is first used."""
    import keras

    inputs = keras.Input((4, 4, 3))
    keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs))(keras.ops.zeros((1, 4, 4, 3)))
    keras.backend.clear_session()


def resident(kind: str) -> int:
    """Returns `VmRSS` (now) or `VmHWM` (largest) of this process in bytes."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(kind))
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    """Makes `VmHWM` begin anew."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
