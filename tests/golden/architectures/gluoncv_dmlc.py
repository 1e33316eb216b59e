"""Makes the cases of gluoncv.json; see README.md.

The package gluoncv imports its model zoo as a whole, and for that much that no network needs: its modules are imported
one by one. Where a last pool averages a window of the published size, it averages all of a smaller map here.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import types
from typing import TextIO

import generated
import gluon_case
from mxnet import gluon

FOUND = importlib.util.find_spec("gluoncv")
assert FOUND is not None
assert FOUND.submodule_search_locations is not None
for part in ("", ".model_zoo", ".utils", ".data"):
    package = types.ModuleType(f"gluoncv{part}")
    package.__path__ = [FOUND.submodule_search_locations[0] + part.replace(".", "/")]
    sys.modules[package.__name__] = package
sys.modules["gluoncv.data"].ImageNet1kAttr = lambda: types.SimpleNamespace(synset=[], classes=[], classes_long=[])

THEIRS = {
    **{f"resnet{depth}": f"resnetv1b.resnet{depth}_v1b" for depth in (18, 34, 50, 101, 152)},
    **{f"resnet{depth}{letter}": f"resnetv1b.resnet{depth}_v1{letter}" for letter in "cds" for depth in (50, 101, 152)},
    "resnet50-gn": "resnetv1b.resnet50_v1b_gn",
    **{f"resnext{size}": f"resnext.resnext{size.replace('-', '_')}" for size in ("50-32x4d", "101-32x4d", "101-64x4d")},
    **{f"seresnext{size}": f"resnext.se_resnext{size.replace('-', '_')}"
       for size in ("50-32x4d", "101-32x4d", "101-64x4d")},
    "legacy-senet154": "senet.senet_154",
    "resnet50-v1": "resnet.resnet50_v1",
    "resnet152-v1": "resnet.resnet152_v1",
    **{f"mobilenetv1-{round(100 * width):03}": f"mobilenet.mobilenet{name}"
       for width, name in ((1, "1_0"), (0.75, "0_75"), (0.5, "0_5"), (0.25, "0_25"))},
    **{f"mobilenetv2-{round(100 * width):03}": f"mobilenet.mobilenet_v2_{name}"
       for width, name in ((1, "1_0"), (0.75, "0_75"), (0.5, "0_5"), (0.25, "0_25"))},
    "mobilenetv3-large-100": "mobilenetv3.mobilenet_v3_large",
    "mobilenetv3-small-100": "mobilenetv3.mobilenet_v3_small",
    "inception-v3": "inception.inception_v3",
    "googlenet": "googlenet.googlenet",
    "darknet53": "yolo.darknet.darknet53",
    "dla34": "dla.dla34",
    "xception65": "xception.Xception65",
    **{f"cifar-resnet{depth}-v{version}": f"cifarresnet.cifar_resnet{depth}_v{version}"
       for depth in (20, 56, 110) for version in (1, 2)},
    **{f"cifar-wideresnet{size}": f"cifarwideresnet.cifar_wideresnet{size.replace('-', '_')}"
       for size in ("16-10", "28-10", "40-8")},
    "cifar-resnext29-16x64d": "cifarresnext.cifar_resnext29_16x64d",
    **{f"resnest{depth}{letter}": f"resnest.resnest{depth}"
       for depth, letter in ((14, "d"), (26, "d"), (50, "d"), (101, "e"), (200, "e"), (269, "e"))},
    **{f"hrnet-w{width}": f"hrnet.hrnet_w{width}_c" for width in (18, 30, 32, 40, 44, 48, 64)},
    "hrnet-w18-small": "hrnet.hrnet_w18_small_v1_c",
    "hrnet-w18-small-v2": "hrnet.hrnet_w18_small_v2_c",
    **{f"resnet{name}": f"pruned_resnet.resnetv1b_pruned.resnet{function}" for name, function in {
        "18-v1b-2-6x": "18_v1b_89", "50-v1d-1-8x": "50_v1d_86", "50-v1d-3-6x": "50_v1d_48", "50-v1d-5-9x": "50_v1d_37",
        "50-v1d-8-8x": "50_v1d_11", "101-v1d-1-9x": "101_v1d_76", "101-v1d-2-2x": "101_v1d_73"}.items()},
}  # fmt: skip
SIZES = {"inception": 107, "cifar": 32}
"""Beginning of a name -> rows of the input, if not 64."""
QUICK = ("resnet18", "mobilenetv2-025", "mobilenetv3-small-100", "cifar-resnet20-v2")
IGNORED = {
    "googlenet": ("head.2.weight", "head.2.bias"),  # `output` under another name
    **{name: ("features.0.gamma",) for name in THEIRS if name.endswith("v2") or "wide" in name},  # it has no scale
}
DEEP = ("resnest101e",)
"""Rounding errors open and shut its gates wherever mirroring the image moves much."""
WITHOUT_GATES = (
    "cifar",
    "resn",
    "inception",
    "googlenet",
    "mobilenetv1",
    "mobilenetv2",
    "darknet",
    "hrnet",
    "dla",
    "xception",
)


def _with_classes(file: TextIO) -> dict[str, list[int]]:
    """Returns the shapes of a pruned network's .json, its classifier's for fewer classes."""
    shapes: dict[str, list[int]] = json.load(file)
    return {key: [generated.CLASSES, *shape[1:]] if "dense" in key else shape for key, shape in shapes.items()}


def make(name: str) -> dict[str, object]:
    def network() -> gluon.HybridBlock:
        module, function = f"gluoncv.model_zoo.{THEIRS[name]}".rsplit(".", 1)
        loaded = importlib.import_module(module)
        if "pruned" in module:
            loaded.json = types.SimpleNamespace(load=_with_classes)
        keyword = "num_classes" if name.startswith("hrnet") else "classes"
        made = getattr(loaded, function)(**{keyword: generated.CLASSES})
        if name == "inception-v3":
            gluon_case.averaging_all(made, 18)
        if name == "googlenet":
            made.head._children["0"] = gluon.nn.GlobalAvgPool2D()
        return made

    gates = "resnest" in name or not name.startswith(WITHOUT_GATES)
    generated.LARGEST = 1e4 if gates else math.inf
    size = next((size for start, size in SIZES.items() if name.startswith(start)), 64)
    run = name not in ("hrnet-w64", "resnest200e", "resnest269e")  # large; in 200e rounding errors decide
    # GluonCV's own group normalisation knows single precision only.
    return gluon_case.case(
        network, size, run=run, quick=name in QUICK, ignored=IGNORED.get(name, ()), double=name != "resnet50-gn",
        at_least=0.01 if name in DEEP else 0.03,
    )  # fmt: skip


if __name__ == "__main__":
    generated.store("gluoncv", {f"gluoncv/{name}": lambda name=name: make(name) for name in THEIRS})
