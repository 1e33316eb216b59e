"""Makes the cases of gluoncv2.json; see README.md.

Where the last pool averages a window of the published size, it averages all of a smaller map here; DPN's windows are
kept.
"""

from __future__ import annotations

import math

import generated
import gluon_case
from gluoncv2 import model_provider
from mxnet import gluon

PLAIN = "10 12 14 16 18 26 bc26b bc38b 50 50b 101 101b 152"
SIZES = {
    "resnet": f"{PLAIN} 152b 34 bc14b 18-wd4 18-wd2 18-w3d4",
    "preresnet": f"{PLAIN} 152b 34 bc14b 18-wd4 18-wd2 18-w3d4 200b 269b",
    "seresnet": PLAIN,
    "resnext": "14-16x4d 14-32x2d 14-32x4d 26-32x2d 26-32x4d 50-32x4d 101-32x4d 101-64x4d",
    "seresnext": "50-32x4d 101-32x4d 101-64x4d",
    **{f"{kind}-": "wd4 wd2 w3d4 w1"
       for kind in ("mobilenet", "mobilenetb", "fdmobilenet", "mobilenetv2", "mobilenetv2b", "igcv3")},
    "shufflenet-": "g1-wd4 g3-wd4 g1-wd2 g3-wd2 g1-w3d4 g3-w3d4 g1-w1 g2-w1 g3-w1 g4-w1 g8-w1",
    "shufflenetv2-": "wd2 w1 w3d2 w2",
    "shufflenetv2b-": "wd2 w1 w3d2 w2",
    "menet": "108-8x1-g3 128-8x1-g4 160-8x1-g8 256-12x1-g4 348-12x1-g3 352-12x1-g8 456-24x1-g3",
    "sqnxt": "23-w1 23-w3d2 23-w2 23v5-w1 23v5-w3d2 23v5-w2",
    "senet": "16 28 154",
    "ibn-resnet": "50 101",
    "airnet50-1x64d-": "r2 r16",
    "diracnet": "18v2 34v2",
    "hardnet": "39ds 68ds 68 85",
    "densenet": "121 161 169 201",
    "dpn": "68 98 131",
    "darknet": "-ref -tiny 53",
    "vgg": "11 13 16 19",
    "bn-vgg": "11 13 16 19",
    "efficientnet-": "b0 b1",
    "zfnet": " b",
}  # fmt: skip
SAME = [kind + size for kind, sizes in SIZES.items() for size in sizes.split(" ")]
"""Networks that zoo calls as gluoncv2 does."""
THEIRS = {
    **{f"gluoncv2/{name}": name.replace("-", "_")
       for name in (*SAME, "wrn50-2", "peleenet", "xception", "bninception")},
    "gluoncv2/alexnet": "alexnetb",
    "gluoncv2/alexnet-lrn": "alexnet",
    "gluoncv2/inception-v3": "inceptionv3",
    "gluoncv2/inception-v4": "inceptionv4",
    "gluoncv2/inception-resnet-v1": "inceptionresnetv1",
    "gluoncv2/inception-resnet-v2": "inceptionresnetv2",
    "gluoncv2/mobilenetv3-large-100": "mobilenetv3_large_w1",
    "gluoncv2/mnasnet-100": "mnasnet_b1",
    "gluoncv2/semnasnet-100": "mnasnet_a1",
    **{f"gluoncv2/squeeze{kind}{version}": f"squeeze{kind}_v{version.replace('-', '_')}" for kind in ("net", "resnet")
       for version in ("1-0", "1-1")},
    **{f"gluoncv2/vgg{depth}-bn": f"bn_vgg{depth}b" for depth in (11, 13, 16, 19)},
    "gluoncv2/nasnetalarge": "nasnet_6a4032",
    "gluoncv2/nasnetamobile": "nasnet_4a1056",
    **{f"gluoncv2/{name}": name.replace("-", "_")
       for name in ("pnasnet5large", "polynet", "condensenet74-c4-g4", "condensenet74-c8-g8")},
    **{f"gluoncv2-tf/efficientnet-b{number}": f"efficientnet_b{number}b" for number in range(8)},
}  # fmt: skip
ROWS = {"nasnetalarge": 75, "nasnetamobile": 96, "pnasnet": 75, "polynet": 139, "alexnet": 224, "zfnet": 224,
        "dpn": 224, "inception": 107, "xception": 107, "bninception": 96, "vgg": 224, "bn-vgg": 224,
        "efficientnet-b1": 80, "efficientnet-b2": 68, "efficientnet-b3": 76, "efficientnet-b4": 92,
        "efficientnet-b5": 72, "efficientnet-b6": 80, "efficientnet-b7": 88}  # fmt: skip
"""Beginning of a name -> rows of the input, if not 64."""
LARGE = ("nasnetalarge", "pnasnet5large", "polynet")
"""Names and shapes only: their numbers are those of pytorchcv."""
NUMBERS = ()
"""The VGGs that are run: each has more than 130 million parameters, and all are those of pytorchcv."""
LRN = ("alexnet-lrn", "zfnet", "zfnetb")
SINGLE = (*LRN, "ibn-resnet50", "ibn-resnet101")
"""With an operator that MXNet has in single precision only."""
GATES = ("se", "menet", "airnet", "efficientnet", "mnas", "mobilenetv3")
QUICK = ("resnet10", "preresnetbc14b", "mobilenetv2-wd4", "shufflenetv2b-wd2", "squeezeresnet1-1", "efficientnet-b0")


def make(key: str) -> dict[str, object]:
    name = key.partition("/")[2]

    def network() -> gluon.HybridBlock:
        sides = {"in_size": (64, 64)} if name.startswith("airnet") else {}  # that of its gates
        made = model_provider.get_model(THEIRS[key], classes=generated.CLASSES, **sides)
        last = max(made.features._children, key=int)
        holders = [made.features, made.output, made.features._children[last]]
        for holder in holders[: 1 if name.startswith("dpn") else None]:
            for place, child in holder._children.items():
                if isinstance(child, gluon.nn.AvgPool2D):
                    holder._children[place] = gluon.nn.GlobalAvgPool2D()
                    if place in vars(holder):
                        vars(holder)[place] = holder._children[place]
        return made

    generated.LARGEST = 1e4 if name.startswith(GATES) else math.inf
    size = next((size for start, size in ROWS.items() if name.startswith(start)), 64)
    return gluon_case.case(
        network, size, run=("vgg" not in name and name not in LARGE) or name in NUMBERS, quick=name in QUICK,
        double=name not in SINGLE, scale=128 if name in LRN else 1, at_least=0.02 if name == "squeezenet1-0" else 0.03,
    )  # fmt: skip


if __name__ == "__main__":
    generated.store("gluoncv2", {key: lambda key=key: make(key) for key in THEIRS})
