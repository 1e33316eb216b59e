"""Makes what the publishers' own code gives for each EfficientNet-Lite: names and shapes of all tensors, and outputs.

Run in an environment of its own (zoo is not needed and not used):

    pip install torch==2.13.0 numpy huggingface-hub pyyaml safetensors
    pip install --no-deps efficientnet-lite-pytorch==0.1.0 torchvision==0.28.0 timm==1.0.31
    python make.py

Writes golden.json: "dialect/variant" -> number of tensors, digest of their names and shapes, and for some of them the
10 outputs of the network with the weights and the input of weights.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet
from weights import image, weights

# torchvision's compiled operators do not load beside a CPU build of PyTorch; timm needs them only to exist.
library = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import timm  # noqa: E402

CLASSES = 10
SIZES = {"lite0": 224, "lite1": 240, "lite2": 260, "lite3": 280, "lite4": 300}
MAKERS: dict[str, Callable[[str], torch.nn.Module]] = {
    "lukemelas": lambda name: EfficientNet.from_name(f"efficientnet-{name}", num_classes=CLASSES),
    "timm": lambda name: timm.create_model(f"tf_efficientnet_{name}", num_classes=CLASSES),
    "timm-symmetric": lambda name: timm.create_model(f"efficientnet_{name}", num_classes=CLASSES),
}
RUN = {("lukemelas", "lite3"), ("timm-symmetric", "lite1"), *(("timm", name) for name in SIZES)}


def case(dialect: str, name: str) -> dict[str, object]:
    model = MAKERS[dialect](name).eval()
    shapes = {
        key: list(value.shape) for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")
    }
    found: dict[str, object] = {
        "tensors": len(shapes),
        "digest": hashlib.sha256(json.dumps(sorted(shapes.items())).encode()).hexdigest(),
    }
    if (dialect, name) in RUN:
        arrays = {key: torch.from_numpy(value) for key, value in weights(shapes).items()}
        model.load_state_dict(arrays, strict=False)
        x = torch.from_numpy(image(SIZES[name])).permute(0, 3, 1, 2)
        with torch.no_grad():
            single, flipped, output = model(x), model(x.flip(3)), model.double()(x.double())
        largest = output.abs().max()
        assert (output - flipped).abs().max() > 0.03 * largest, "the output hardly depends on the input"
        assert (output - single).abs().max() < 2e-5 * largest, "rounding errors grow too much to compare anything"
        found["output"] = [float(f"{value:.8g}") for value in output[0].tolist()]
    return found


if __name__ == "__main__":
    golden = {f"{dialect}/efficientnet-{name}": case(dialect, name) for dialect in MAKERS for name in SIZES}
    Path(__file__).with_name("golden.json").write_text(json.dumps(golden, indent=1) + "\n")
