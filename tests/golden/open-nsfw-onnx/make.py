"""Makes registry/checks/open-nsfw-onnx.json: what ONNX Runtime answers to zoo's test image.

Run from the repository's root with onnx, onnxruntime and numpy:

    python tests/golden/open-nsfw-onnx/make.py open-nsfw.onnx

The file takes NHWC, BGR, mean 104, 117, 123 subtracted (the package's inference_runner.py). Its logits are the input of
its last node, a Softmax.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

CHECK = Path(__file__).parents[3] / "registry" / "checks" / "open-nsfw-onnx.json"


def test_image(height: int, width: int) -> np.ndarray:
    """The image of zoo's checks, RGB; integers only, so that it is the same everywhere."""
    image = np.zeros((height, width, 3), np.uint8)
    for y in range(height):
        for x in range(width):
            red, green, blue = 255 * x // (width - 1), 255 * y // (height - 1), 255 * ((x // 16 + y // 16) % 2)
            if (2 * x - width) ** 2 + (2 * y - height) ** 2 < (min(height, width) // 2) ** 2:
                red, blue = 255 - red, 128
            image[y, x] = red, green, blue
    return image


def main(path: Path) -> None:
    network = onnx.load(path)
    assert network.graph.node[-1].op_type == "Softmax"
    logits = network.graph.node[-1].input[0]
    network.graph.output.append(onnx.helper.make_tensor_value_info(logits, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    image = test_image(224, 224)[None, ..., ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)
    output, scores = session.run(None, {session.get_inputs()[0].name: image})
    facts = {
        "framework": f"ONNX Runtime {onnxruntime.__version__}",
        "input": "zoo test image 224x224",
        "output": output[0].tolist(),
        "logits": scores[0].tolist(),
    }
    CHECK.write_text(json.dumps(facts, indent=2) + "\n")
    floats = [onnx.numpy_helper.to_array(array) for array in network.graph.initializer]
    print(sum(array.size for array in floats if array.dtype == np.float32), "numbers")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
