"""Checks that exported models give the same numbers where there is neither zoo nor TensorFlow.

    python tests/backends/check_export.py OTHER_PYTHON

Run by `make test-backends`, in the development environment; OTHER_PYTHON has Keras, torch and jax only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import platformdirs
import skimage.data

import zoo
from zoo.quiet import silence

MODELS = ("efficientnet-lite0", "open-nsfw")
BACKENDS = ("torch", "jax")
PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")
TOLERANCE = 1e-4
"""Largest allowed max|a - b| / max|b|."""


def main(python: str) -> int:
    silence()
    # where the tests keep their models, so that nothing is fetched twice
    os.environ["ZOO_HOME"] = os.environ.get("ZOO_TEST_HOME") or str(platformdirs.user_cache_path("zoo-tests"))
    images = [getattr(skimage.data, name)() for name in PHOTOGRAPHS]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            exported = zoo.get(name, output=Path(folder) / f"{name}.keras")
            batch = zoo.preprocess(name, images)
            expected = np.asarray(zoo.load(name)(batch))
            np.savez(exported.with_suffix(".npz"), images=batch, expected=expected)
            failed += sum(not agrees(python, backend, exported) for backend in BACKENDS)
    return 1 if failed else 0


def agrees(python: str, backend: str, exported: Path) -> bool:
    """Runs the exported model in a process that cannot see the checkout."""
    script = Path(__file__).with_name("load_export.py").resolve()
    environment = {**os.environ, "KERAS_BACKEND": backend, "KERAS_HOME": str(exported.parent)}
    python = os.path.abspath(python)  # not resolve(): an environment's python is a link, and has to stay one
    command = [python, "-I", str(script), str(exported), str(exported.with_suffix(".npz"))]
    run = subprocess.run(command, cwd=exported.parent, env=environment, capture_output=True, text=True)
    if run.returncode:
        print(f"{exported.stem} on {backend}: FAILED\n{run.stdout}{run.stderr}")
        return False
    error = float(run.stdout.split()[-1])
    verdict = "same" if error <= TOLERANCE else "FAILED: other"
    print(f"{exported.stem} on {backend}: {verdict} numbers, max|a-b|/max|b| = {error:.1e} (allowed {TOLERANCE:.0e})")
    return error <= TOLERANCE


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
