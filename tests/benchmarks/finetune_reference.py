"""What finetune_compare.py compares with: the same network in PyTorch. Needs torch and timm, not zoo."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
import torch

# torchvision's compiled operators may not load beside a CPU build of torch; timm needs the import only, not them.
try:
    import torchvision  # noqa: F401
except (RuntimeError, ImportError):
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    _operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        _operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def network(weights: str, classes: int) -> Any:
    """timm's tf_efficientnet_lite0 with the weights of the file, whose tensors stand in timm's order."""
    import timm

    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    loaded = [tensor for name, tensor in torch.load(weights, map_location="cpu").items()]
    names = list(model.state_dict())
    model.load_state_dict(dict(zip(names, loaded, strict=True)))
    model.reset_classifier(classes)
    return model


def ready(images: np.ndarray) -> torch.Tensor:
    return (torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2) - 127) / 128


def batches(images: np.ndarray, size: int = 32) -> list[np.ndarray]:
    return [images[start : start + size] for start in range(0, len(images), size)]


@torch.no_grad()
def answers(model: Any, images: np.ndarray) -> np.ndarray:
    model.eval()
    return np.concatenate([model(ready(batch)).numpy() for batch in batches(images)])


def logistic(arrays: Any, weights: str, path: str, epochs: int) -> dict[str, Any]:
    """Writes pooled features beside the arrays, for scikit-learn."""
    model = network(weights, 0)
    np.savez(f"{path}.features.npz", **{part: answers(model, arrays[f"{part}_x"]) for part in ("training", "test")})
    return {}


def loop(arrays: Any, weights: str, path: str, epochs: int) -> dict[str, Any]:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    classes = int(arrays["training_y"].max()) + 1
    model = network(weights, classes)
    images, labels = arrays["training_x"], arrays["training_y"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4, weight_decay=1e-4)
    steps = epochs * -(-len(images) // 32)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, state = -1.0, {}
    for _ in range(epochs):
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        for rows in batches(random.permutation(len(images))):
            pixels = ready(images[rows])
            if random.random() < 0.5:
                pixels = pixels.flip(-1)
            pixels = torch.roll(pixels, tuple(random.integers(-22, 23, 2)), (2, 3))
            loss = torch.nn.functional.cross_entropy(model(pixels), torch.from_numpy(labels[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        accuracy = float((answers(model, arrays["validation_x"]).argmax(axis=1) == arrays["validation_y"]).mean())
        if accuracy >= best:
            best, state = accuracy, {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(state)
    right = answers(model, arrays["test_x"]).argmax(axis=1) == arrays["test_y"]
    return {"test": float(right.mean()), "validation": best, "epochs": epochs}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("logistic", "loop"))
    parser.add_argument("arrays")
    parser.add_argument("weights")
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    data = np.load(args.arrays)
    started = time.time()
    found = {"logistic": logistic, "loop": loop}[args.kind](data, args.weights, args.arrays, args.epochs)
    print(json.dumps({**found, "seconds": round(time.time() - started, 1)}))
