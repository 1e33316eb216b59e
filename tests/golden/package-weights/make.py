"""Makes registry/checks of models whose weights ship inside Python packages: what their own framework answers.

Run from the repository's root with the framework of one of them, and the member of its package as it is unpacked:

    python tests/golden/package-weights/make.py mtcnn FOLDER          torch 2.13.0; FOLDER holds facenet_pytorch/
    python tests/golden/package-weights/make.py expression FILE.hdf5  keras 3.15.1, tensorflow 2.21.0
    python tests/golden/package-weights/make.py nudity FILE.pb        tensorflow 2.21.0

The image is zoo's test image, made here a second time; a grey one is 0.299 R + 0.587 G + 0.114 B.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

CHECKS = Path(__file__).parents[3] / "registry" / "checks"


def test_image(side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    image = np.stack([255 * x // (side - 1), 255 * y // (side - 1), 255 * ((x // 16 + y // 16) % 2)], axis=-1)
    disc = (2 * x - side) ** 2 + (2 * y - side) ** 2 < (side // 2) ** 2
    image[disc, 0] = 255 - image[disc, 0]
    image[disc, 2] = 128
    return image.astype(np.float64)


def keep(name: str, framework: str, how: str, logits: Any) -> None:
    numbers = np.asarray(logits, np.float64).ravel()
    assert np.isfinite(numbers).all()
    assert abs(numbers.sum() - 1) > 1e-3, "logits are wanted, before the softmax"
    kept = {"framework": framework, "input": how, "logits": [float(f"{number:.8g}") for number in numbers]}
    (CHECKS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    print(name, numbers[:4])


def mtcnn(folder: Path) -> None:
    import torch

    text = (folder / "facenet_pytorch" / "models" / "mtcnn.py").read_text()
    names: dict[str, Any] = {}
    exec("\n".join(line for line in text.splitlines() if not line.startswith("from .utils")), names)
    for kind, side, softmax in (("PNet", 12, "4_1"), ("RNet", 24, "5_1"), ("ONet", 48, "6_1")):
        network = names[kind](pretrained=False).eval()
        state = folder / "facenet_pytorch" / "data" / f"{kind.lower()}.pt"
        network.load_state_dict(torch.load(state, weights_only=True))
        setattr(network, f"softmax{softmax}", torch.nn.Identity())
        x = torch.from_numpy((test_image(side) - 127.5) * 0.0078125).float().permute(2, 0, 1)[None]
        with torch.no_grad():
            logits = network(x)[-1].numpy()
        how = f"zoo's test image, {side}x{side}, RGB, (x - 127.5) * 0.0078125"
        keep(f"mtcnn-{kind.lower()}.facenet-pytorch", "PyTorch 2.13.0, facenet-pytorch 2.6.0", how, logits)


def expression(file: Path) -> None:
    import keras

    model = keras.models.load_model(file, compile=False)
    grey = (test_image(64) @ np.array([0.299, 0.587, 0.114]))[None, ..., None].astype(np.float32)
    before = keras.Model(model.input, model.layers[-2].output)
    logits = before(((grey / 255) - 0.5) * 2, training=False)
    np.testing.assert_allclose(keras.ops.softmax(logits), model(((grey / 255) - 0.5) * 2), rtol=1e-4)
    framework = f"Keras {keras.__version__} on TensorFlow 2.21.0, loading the same file"
    keep("mini-xception.fer", framework, "zoo's test image, 64x64, grey, (x / 255 - 0.5) * 2", logits)


def nudity(file: Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    definition = v1.GraphDef.FromString(file.read_bytes())
    x = ((test_image(224) - 128) / 128)[None].astype(np.float32)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        softmax = graph.get_operation_by_name("final_result")
        wanted = ["MobilenetV1/Predictions/Reshape:0", softmax.inputs[0].name]
        with v1.Session(graph=graph) as session:
            trunk, head = session.run(wanted, {"input:0": x})
    framework, how = "TensorFlow 2.21.0, running the same graph", "zoo's test image, 224x224, RGB, (x - 128) / 128"
    keep("mobilenet-v1-100-224.nudity", framework, how, trunk)
    keep("mobilenet-v1-nudity.nudity", framework, how, head)


if __name__ == "__main__":
    {"mtcnn": mtcnn, "expression": expression, "nudity": nudity}[sys.argv[1]](Path(sys.argv[2]))
