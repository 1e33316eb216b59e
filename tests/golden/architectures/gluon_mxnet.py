"""Makes the cases of gluon.json; see README.md.

Where the last pool averages a window of the published size, it averages all of a smaller map here.
"""

from __future__ import annotations

import math

import generated
import gluon_case
from mxnet import gluon
from mxnet.gluon.model_zoo import vision

VGG = [f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "-bn")]
POOLS = {"densenet": 13, "inception": 18}
"""Beginning of a name -> place of the last pool."""
NUMBERS = ("vgg11", "vgg11-bn")
"""The VGGs that are run: each has more than 130 million parameters."""
MOBILE = {f"mobilenetv{version}-{round(width * 100):03}": f"mobilenet{'v2_' if version == 2 else ''}{width}"
          for version in (1, 2) for width in (1.0, 0.75, 0.5, 0.25)}  # fmt: skip
RESNETS = {f"resnet{depth}-v1" if version == 1 else f"resnetv2-{depth}": f"resnet{depth}_v{version}"
           for version in (1, 2) for depth in (18, 34, 50, 101, 152)}  # fmt: skip
NAMES = ["alexnet", *VGG, "squeezenet1-0", "squeezenet1-1", "inception-v3",
         *(f"densenet{depth}" for depth in (121, 161, 169, 201)), *MOBILE, *RESNETS]  # fmt: skip
QUICK = ("squeezenet1-1", "mobilenetv1-025", "mobilenetv2-025", "resnet18-v1", "resnetv2-18")


def make(name: str) -> dict[str, object]:
    def network() -> gluon.HybridBlock:
        theirs = {**MOBILE, **RESNETS, "squeezenet1-0": "squeezenet1.0", "squeezenet1-1": "squeezenet1.1"}.get(name)
        theirs = theirs or name.replace("-v3", "v3").replace("-", "_")
        made = vision.get_model(theirs, classes=generated.CLASSES)
        if name.startswith("squeezenet"):
            made.output._children["2"] = gluon.nn.GlobalAvgPool2D()
        for start, place in POOLS.items():
            if name.startswith(start):
                gluon_case.averaging_all(made, place)
        return made

    whole = name.startswith(("alexnet", "vgg"))  # dense layers that take a map of one size
    size = 224 if whole else 107 if name == "inception-v3" else 64
    generated.LARGEST = math.inf  # none has gates
    ignored = ("features.0.gamma",) if name.startswith("resnetv2") else ()  # it has no scale
    run = not name.startswith("vgg") or name in NUMBERS
    return gluon_case.case(network, size, run=run, quick=name in QUICK, ignored=ignored, older=True)


if __name__ == "__main__":
    generated.store("gluon", {f"gluon/{name}": lambda name=name: make(name) for name in NAMES})
