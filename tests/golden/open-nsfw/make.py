"""Makes this folder's images and outputs and registry/checks/open-nsfw.json: OpenCV 4 reads the same Caffe files.

Run from the repository's root with `opencv-python-headless<5`, scikit-image, pillow and numpy:

    python tests/golden/open-nsfw/make.py FOLDER

FOLDER holds deploy.prototxt and resnet_50_1by2_nsfw.caffemodel. Photographs are prepared as the publisher's
classify_nsfw.py does (PIL, bilinear, 256x256, aspect lost, centre 224x224; BGR, mean 104, 117, 123), without its detour
through JPEG. Outputs are float32, NCHW, named as Caffe's layers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from PIL import Image

HERE = Path(__file__).parent
CHECK = HERE.parents[2] / "registry" / "checks" / "open-nsfw.json"
PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")
# Layer -> how many of the photographs are kept: intermediate maps are large.
LAYERS = {"eltwise_stage3_block0": 1, "pool": 4, "fc_nsfw": 4, "prob": 4}


def prepare(photograph: np.ndarray) -> np.ndarray:
    image = Image.fromarray(photograph).resize((256, 256), Image.Resampling.BILINEAR)
    return np.asarray(image.crop((16, 16, 240, 240)))


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


def network_input(images: np.ndarray) -> np.ndarray:
    bgr = images[..., ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)
    return np.ascontiguousarray(bgr.transpose(0, 3, 1, 2))


def main(folder: Path) -> None:
    net = cv2.dnn.readNetFromCaffe(str(folder / "deploy.prototxt"), str(folder / "resnet_50_1by2_nsfw.caffemodel"))
    net.enableFusion(False)
    net.enableWinograd(False)

    images = np.stack([prepare(getattr(skimage.data, name)()) for name in PHOTOGRAPHS])
    for name, image in zip(PHOTOGRAPHS, images, strict=True):
        Image.fromarray(image).save(HERE / f"{name}.png", optimize=True)
    outputs = {}
    for layer, count in LAYERS.items():
        net.setInput(network_input(images[:count]))
        outputs[layer] = net.forward(layer)
    np.savez_compressed(HERE / "outputs.npz", **outputs)
    print(dict(zip(PHOTOGRAPHS, outputs["prob"].tolist(), strict=True)))

    net.setInput(network_input(test_image(224, 224)[None]))
    check = {
        "framework": f"OpenCV {cv2.__version__} dnn, reading the same deploy.prototxt and caffemodel",
        "input": "zoo test image 224x224",
        "output": net.forward("prob")[0].tolist(),
        "logits": net.forward("fc_nsfw")[0].tolist(),
    }
    CHECK.write_text(json.dumps(check, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
