"""Makes kerashub.json with KerasHub's own code; see README.md.

Arrays are named by where KerasHub's files have their layer (`layers/conv2d_3/kernel`), those of task.weights.h5 behind
`1/`. `file` is a digest of their paths in the files (`layers/conv2d_3/vars/0`), `parameters` counts those of the
backbone, those that are trained, and all, with 1000 classes: the descriptions of presets have one of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import generated
import h5py
import keras
import keras_hub
import numpy as np
from keras_hub.src.utils.timm import (
    convert_cspnet,
    convert_densenet,
    convert_efficientnet,
    convert_hgnetv2,
    convert_mobilenet,
    convert_resnet,
    convert_vgg,
)  # fmt: skip

M = keras_hub.models
VD = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 12, 48, 3)}


def timm(converter: Any, name: str, **pretrained: Any) -> dict[str, Any]:
    return converter.convert_backbone_config({"architecture": name, "pretrained_cfg": pretrained})


def vd(depth: int) -> dict[str, Any]:
    """As tools/checkpoint_conversion/convert_resnet_vd_checkpoints.py has it."""
    return {"input_conv_filters": [32, 32, 64], "input_conv_kernel_sizes": [3, 3, 3],
            "stackwise_num_filters": [64, 128, 256, 512], "stackwise_num_strides": [1, 2, 2, 2],
            "stackwise_num_blocks": list(VD[depth]),
            "block_type": "basic_block_vd" if depth < 50 else "bottleneck_block_vd"}  # fmt: skip


XCEPTION = {  # as convert_xception_checkpoints.py
    "stackwise_conv_filters": [[32, 64], [128, 128], [256, 256], [728, 728], *[[728, 728, 728]] * 8, [728, 1024],
                               [1536, 2048]],
    "stackwise_pooling": [False, True, True, True, *[False] * 8, True, False],
}  # fmt: skip
B, V2 = ("b0", "b1", "b2", "b3", "b4", "b5", "lite0"), ("rw_m", "rw_s", "rw_t")
NETWORKS: dict[str, tuple[Any, Any, dict[str, Any], int]] = {
    **{f"resnet{n}": (M.ResNetBackbone, M.ResNetImageClassifier, timm(convert_resnet, f"resnet{n}"), 64)
       for n in (18, 50, 101, 152)},
    **{f"resnetv2-{n}": (M.ResNetBackbone, M.ResNetImageClassifier, timm(convert_resnet, f"resnetv2_{n}"), 64)
       for n in (50, 101)},
    **{f"resnet-vd-{n}": (M.ResNetBackbone, M.ResNetImageClassifier, vd(n), 64) for n in VD},
    **{f"vgg{n}": (M.VGGBackbone, M.VGGImageClassifier, timm(convert_vgg, f"vgg{n}"), 224) for n in (11, 13, 16, 19)},
    **{f"densenet{n}": (M.DenseNetBackbone, M.DenseNetImageClassifier, timm(convert_densenet, f"densenet{n}"), 96)
       for n in (121, 169, 201)},
    "xception": (M.XceptionBackbone, M.XceptionImageClassifier, XCEPTION, 107),
    **{f"efficientnet-{n}": (M.EfficientNetBackbone, M.EfficientNetImageClassifier,
       timm(convert_efficientnet, f"efficientnet_{n}"), 64) for n in B},
    **{f"efficientnetv2-{n.replace('_', '-')}": (M.EfficientNetBackbone, M.EfficientNetImageClassifier,
       timm(convert_efficientnet, f"efficientnetv2_{n}"), 64) for n in V2},
    **{f"mobilenetv3-{n.replace('_', '-')}": (M.MobileNetBackbone, M.MobileNetImageClassifier,
       timm(convert_mobilenet, f"mobilenetv3_{n}"), 96) for n in ("small_050", "small_100", "large_100")},
    **{n: (M.CSPNetBackbone, M.CSPNetImageClassifier, timm(convert_cspnet, n), 64)
       for n in ("cspdarknet53", "darknet53", "cspresnet50", "cspresnext50")},
    **{f"hgnetv2-{n}": (M.HGNetV2Backbone, M.HGNetV2ImageClassifier,
       timm(convert_hgnetv2, f"hgnetv2_{n}", tag="ssld_stage2_ft_in1k"), 64) for n in ("b4", "b5", "b6")},
}  # fmt: skip
DEEP = ("resnet101", "resnet152", "resnet-vd-101", "resnet-vd-152", "resnet-vd-200", "vgg13", "vgg16",
        "vgg19", "hgnetv2-b5", "hgnetv2-b6")  # fmt: skip
"""Names and shapes alone: more and wider blocks of networks that have numbers here."""
QUICK = ("resnet18", "efficientnet-lite0", "mobilenetv3-small-050")


def network(name: str) -> Any:
    keras.utils.clear_session()
    backbone, classifier, config, size = NETWORKS[name]
    side = {"input_shape" if backbone is M.EfficientNetBackbone else "image_shape": (size, size, 3)}
    more = {"num_features": 1280 if "large" in name else 1024} if backbone is M.MobileNetBackbone else {}
    return classifier(backbone=backbone(**config, **side), preprocessor=None, num_classes=generated.CLASSES, **more)


def stored(model: Any) -> dict[str, Any]:
    """Path in the files -> variable, told by values that are written and read again."""
    variables = list({id(variable): variable for variable in model.variables}.values())
    for number, variable in enumerate(variables, 1):
        variable.assign(np.full(variable.shape, number, np.float32))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        model.save_to_preset(folder)
        for prefix, file in (("", "model.weights.h5"), ("1/", "task.weights.h5")):
            with h5py.File(Path(folder) / file) as opened:

                def visit(path: str, item: Any, prefix: str = prefix) -> None:
                    if isinstance(item, h5py.Dataset) and item.size and not path.startswith("optimizer"):
                        found[prefix + path] = variables[int(item[()].flat[0]) - 1]

                opened.visititems(visit)
    return found


def make(name: str) -> dict[str, Any]:
    model, size = network(name), NETWORKS[name][3]
    found = stored(model)
    image = generated.image(size)

    depthwise = {
        id(layer.kernel) for layer in model._flatten_layers() if isinstance(layer, keras.layers.DepthwiseConv2D)
    }
    kinds = {
        path: "depthwise_kernel" if id(variable) in depthwise else variable.name for path, variable in found.items()
    }
    names = {path: f"{path.rpartition('/vars/')[0]}/{kinds[path]}" for path in found}
    shapes = {names[path]: tuple(variable.shape) for path, variable in found.items()}
    assert len(shapes) == len(found)
    by_name = {names[path]: variable for path, variable in found.items()}

    def forward(gain: float, flipped: bool) -> tuple[np.ndarray, np.ndarray]:
        for key, array in generated.arrays(shapes, gain).items():
            by_name[key].assign(array)
        shown = image[:, :, :: -1 if flipped else 1]
        # Keras computes in single precision; a slightly other image shows what becomes of rounding errors.
        answers = (model(pixels, training=False) for pixels in (shown, shown * np.float32(1 + 2**-20)))
        first, second = (np.asarray(answer, np.float64).reshape(-1) for answer in answers)
        return first, second

    # Leaky ReLUs and sums alone: such a network only scales what it is given.
    ungated = NETWORKS[name][0] is M.CSPNetBackbone
    generated.LARGEST = float("inf") if ungated else 1e4
    paths = sorted((path, list(variable.shape)) for path, variable in found.items())
    classifier = next(variable for variable in model.variables[::-1] if len(variable.shape) == 2)
    more = (1000 - generated.CLASSES) * (classifier.shape[0] + 1)
    counts = [sum(int(np.prod(variable.shape)) for variable in variables) + extra for variables, extra in
              ((model.backbone.variables, 0), (model.trainable_variables, more), (model.variables, more))]  # fmt: skip
    return {
        **generated.digest(shapes), "file": hashlib.sha256(json.dumps(paths).encode()).hexdigest(),
        "parameters": counts, "size": size, **({"quick": True} if name in QUICK else {"slow": True}),
        **({} if name in DEEP else generated.answers(forward, at_least=0.01 if ungated else 0.03)),
    }  # fmt: skip


if __name__ == "__main__":
    generated.store("kerashub", {f"kerashub/{name}": lambda name=name: make(name) for name in NETWORKS})
