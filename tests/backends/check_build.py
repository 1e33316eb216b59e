"""Checks that every op that can be built gives the origin's numbers where there is neither zoo nor TensorFlow.

    python tests/backends/check_build.py OTHER_PYTHON

Run by `make test-backends`, in the development environment; OTHER_PYTHON has Keras, torch and jax only. All cases of
tests/golden/build become one model of many inputs and outputs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from zoo.quiet import silence

BACKENDS = ("torch", "jax")
TOLERANCE = 1e-5
"""Largest allowed max|a - b| / max|b|."""

RUN = """
import importlib.util
import keras, numpy as np
assert not any(importlib.util.find_spec(name) for name in ("zoo", "tensorflow"))
model = keras.saving.load_model("all.keras", safe_mode=True)
with np.load("inputs.npz") as arrays:
    outputs = model([arrays[str(i)] for i in range(len(arrays))])
outputs = [np.asarray(keras.ops.convert_to_numpy(y), np.float32) for y in outputs]
half = keras.saving.load_model("half.keras", safe_mode=True)(np.ones((1, 6, 6, 3), np.float32))
assert np.isfinite(np.asarray(keras.ops.convert_to_numpy(half), np.float32)).all(), "in bfloat16"
np.savez("outputs.npz", **{str(i): y for i, y in enumerate(outputs)})
"""


def main(python: str) -> int:
    silence()
    tests = Path(__file__).parents[1]
    sys.path[:0] = [str(tests), str(tests / "build")]
    import test_build as golden

    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        golden.build(golden.all_cases()).save(folder / "all.keras")
        half_precision().save(folder / "half.keras")
        np.savez(folder / "inputs.npz", **{str(i): array for i, array in enumerate(golden.inputs())})
        for backend in BACKENDS:
            environment = {**os.environ, "KERAS_BACKEND": backend, "KERAS_HOME": name}
            # not resolve(): an environment's python is a link, and has to stay one
            command = [os.path.abspath(python), "-I", "-c", RUN]
            run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            if run.returncode:
                print(f"ops on {backend}: FAILED\n{run.stdout}{run.stderr}")
                failed += 1
                continue
            with np.load(folder / "outputs.npz") as found:
                errors = {case: error_of(golden, case, found[str(i)]) for i, case in enumerate(golden.CASES)}
            wrong = {case: error for case, error in errors.items() if not error <= TOLERANCE}
            verdict = f"FAILED: {wrong}" if wrong else "same numbers"
            print(f"{len(errors)} cases on {backend}: {verdict}, worst {max(errors.values()):.1e}")
            failed += bool(wrong)
    return 1 if failed else 0


def half_precision():
    """A convolution and a padded maximum in bfloat16, which no backend may refuse."""
    from zoo.architectures.net import Net
    from zoo.build import build
    from zoo.finetune.train import set_precision

    net = Net()
    value = net.max_pool(net.conv("image", "conv", 4, 3), "pool", 3, 2, pad=1)
    graph = net.graph("half", value, 6)
    model = build(graph.bind({"conv.weight": np.ones((4, 3, 3, 3), np.float32)}, where="half"))
    set_precision(model, "mixed_bfloat16", set())
    return model


def error_of(golden, case: str, found: np.ndarray) -> float:
    expected = golden.ARRAYS[f"{case}/output"]
    expected = expected.transpose(0, 2, 3, 1) if expected.ndim == 4 else expected
    return golden.relative_error(found, expected) if found.shape == expected.shape else float("inf")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
