"""What finetune_compare.py compares with: the same network fine-tuned by fastai. Needs fastai and timm, not zoo."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
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

NETWORK = "tf_efficientnet_lite0"


def load(body: Any, weights: str) -> None:
    """Loads the file's tensors, which stand in timm's order, into timm's network without its classifier."""
    import timm

    names = list(timm.create_model(NETWORK, pretrained=False).state_dict())
    tensors = dict(zip(names, torch.load(weights, map_location="cpu").values(), strict=True))
    body.load_state_dict({name: tensor for name, tensor in tensors.items() if not name.startswith("classifier")})


def tune(weights: str, data: Path, test: Path, epochs: int, seed: int) -> dict[str, Any]:
    """What vision_learner does for a network of timm's, whose weights it would download, and fine_tune."""
    from fastai.vision.all import (
        ImageDataLoaders,
        Learner,
        Normalize,
        Resize,
        aug_transforms,
        default_split,
        set_seed,
    )
    from fastai.vision.learner import create_timm_model

    started = time.process_time()
    set_seed(seed, reproducible=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = len(list((data / "train").glob("*/*")))
    # fastai drops the last batch if it is not full: with fewer images than its 64 nothing would be trained.
    batch = 64 if images >= 256 else 16
    changes = [*aug_transforms(size=224), Normalize.from_stats([127 / 255] * 3, [128 / 255] * 3)]
    loaders = ImageDataLoaders.from_folder(
        data, train="train", valid="val", bs=batch, num_workers=0, device=device,
        item_tfms=Resize(256), batch_tfms=changes,
    )  # fmt: skip
    model, _ = create_timm_model(NETWORK, loaders.c, pretrained=False)
    load(model[0].model, weights)
    learner = Learner(loaders, model, splitter=default_split)
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs)
    seconds = time.process_time() - started
    paths = sorted(test.glob("*/*.png"))
    with learner.no_bar(), learner.no_logging():
        answers, _ = learner.get_preds(dl=loaders.test_dl(paths, bs=64))
    truth = np.array([list(loaders.vocab).index(path.parent.name) for path in paths])
    right = answers.numpy().argmax(axis=1) == truth
    return {"test": float(right.mean()), "seconds": seconds, "epochs": epochs, "batch": batch}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights")
    parser.add_argument("data", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(json.dumps(tune(args.weights, args.data, args.test, args.epochs, args.seed)))
