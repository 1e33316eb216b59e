"""Makes the cases of convnext.json that are ConvNeXt's authors'; see README.md.

CONVNEXT and CONVNEXT_V2 are paths of checkouts of facebookresearch/ConvNeXt (commit 048efce) and ConvNeXt-V2 (2553895).
"""

from __future__ import annotations

import functools
import os
import sys
import types

import generated
import torch
import torch_case

sys.path[:0] = [os.environ["CONVNEXT"] + "/models", os.environ["CONVNEXT_V2"]]
# Only V2's training needs sparse tensors; the module that has its normalisations imports them.
sys.modules["MinkowskiEngine"] = types.SimpleNamespace(SparseTensor=None)  # type: ignore[assignment]
# Rates of stochastic depth are read from a tensor: not on the device without memory.
torch.linspace = functools.partial(torch.linspace, device="cpu")

FIRST = ("tiny", "small", "base", "large", "xlarge")
SECOND = ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")
LARGE = ("large", "xlarge", "huge")
NAMES = [*(f"convnext-{size}" for size in FIRST), *(f"convnextv2-{size}" for size in SECOND)]


def make(name: str) -> dict[str, object]:
    import convnext
    from models import convnextv2

    kind, size = name.split("-")
    module = convnext if kind == "convnext" else convnextv2
    network = getattr(module, "convnext_pico" if name == "convnextv2-pico" else f"{kind}_{size}")
    return torch_case.case(
        lambda: network(num_classes=generated.CLASSES), 64, run=size not in LARGE, quick=name == "convnextv2-atto"
    )


if __name__ == "__main__":
    generated.store("convnext", {f"facebook/{name}": lambda name=name: make(name) for name in NAMES})
