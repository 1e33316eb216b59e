"""Makes timm's cases of byobnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from timm import get_pretrained_cfg, list_models

LARGE = ("resnet50x16-clip", "resnet50x64-clip")
QUICK = ("test-byobnet", "gernet-s", "gcresnext26ts")
OTHERS = ("repvgg", "mobileone", "bat_", "botnet", "halo", "lambda", "resnet50_mlp", "regnetz_b16_evos")


def make(name: str) -> dict[str, object]:
    timm_name = name.replace("-", "_")
    options = {}
    side = 64 + get_pretrained_cfg(timm_name).input_size[1] % 32
    run = name.removesuffix("-gap") not in LARGE
    if run and "clip" in name and "gap" not in name:
        options["img_size"] = side
    network = lambda: torch_case.timm_network(timm_name, **options)  # noqa: E731
    # an average over 2x2 wherever maps are halved leaves little that a mirrored image changes
    at_least = 0.01 if "clip" in name else 0.03
    damped = {".conv3_1x1.bn.weight": 0.4} if name == "resnet101-clip-gap" else None
    return torch_case.case(network, side, run=run, quick=name in QUICK, at_least=at_least, damped=damped)


if __name__ == "__main__":
    names = [name for name in list_models(module="byobnet") if not any(other in name for other in OTHERS)]
    names = [name.replace("_", "-") for name in names]
    generated.store("byobnet", {f"timm/{name}": lambda name=name: make(name) for name in names})
