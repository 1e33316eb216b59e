"""The networks of keras.applications, as Keras itself defines them; weights files of theirs hold no network.

Keras makes the definition, symbolically and without an initialiser having run, and `zoo.formats.keras` reads it like
any other. It is that of the installed Keras 3; layers and names have been those of the published files since 2018 (2019
for the ResNets). Dialects:

- keras: the files that keras.applications downloads (keras 3.15.1 src/applications). A network without its softmax.
  What EfficientNet (its 1/sqrt(std) too, which Keras adds for `weights="imagenet"` alone), EfficientNetV2, MobileNetV3
  and ConvNeXt do to the image inside the network is part of the Graph; they take RGB 0..255.
- keras-2016: the first files of ResNet-50 and Inception v3 (fchollet/deep-learning-models resnet50.py, inception_v3.py
  @3fdb8ced, release v0.2), of the same names as today's. The ResNet's layers are named otherwise, and its epsilon is
  1e-3; the Inception's ReLU stands before the normalisation, its convolutions have biases, and it is narrower.
- keras-th, keras-2016-th: what Theano made of either (releases v0.1, v0.2): kernels OIHW and turned by half a turn,
  maps flattened with the channels first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from zoo.errors import UsageError
from zoo.formats.keras import config, match
from zoo.formats.keras.translate import translate
from zoo.formats.keras.values import State
from zoo.formats.options import Options
from zoo.graph import Graph


class _Network(NamedTuple):
    function: str
    size: int
    arguments: Mapping[str, Any] = {}


def _efficientnets() -> dict[str, _Network]:
    sizes = (224, 240, 260, 300, 380, 456, 528, 600)
    first = {f"efficientnet-b{i}": _Network(f"EfficientNetB{i}", size) for i, size in enumerate(sizes)}
    second = {"b0": 224, "b1": 240, "b2": 260, "b3": 300, "s": 384, "m": 480, "l": 480}
    return first | {
        f"efficientnetv2-{key}": _Network(f"EfficientNetV2{key.upper()}", size) for key, size in second.items()
    }


def _mobilenets() -> dict[str, _Network]:
    found: dict[str, _Network] = {}
    for version, widths in ((1, (25, 50, 75, 100)), (2, (35, 50, 75, 100, 130, 140))):
        function = "MobileNet" if version == 1 else "MobileNetV2"
        found |= {f"mobilenetv{version}-{n:03}": _Network(function, 224, {"alpha": n / 100}) for n in widths}
    for kind in ("Large", "Small"):
        name = f"mobilenetv3-{kind.lower()}"
        for n in (75, 100):
            found[f"{name}-{n:03}"] = _Network(f"MobileNetV3{kind}", 224, {"alpha": n / 100})
        found[f"{name}-minimal-100"] = _Network(f"MobileNetV3{kind}", 224, {"minimalistic": True})
    return found


NETWORKS: Mapping[str, _Network] = {
    **{
        f"convnext-{key.lower()}": _Network(f"ConvNeXt{key}", 224)
        for key in ("Tiny", "Small", "Base", "Large", "XLarge")
    },
    **{f"densenet{depth}": _Network(f"DenseNet{depth}", 224) for depth in (121, 169, 201)},
    **_efficientnets(),
    "inception-resnet-v2": _Network("InceptionResNetV2", 299),
    "inception-v3": _Network("InceptionV3", 299),
    **_mobilenets(),
    "nasnetalarge": _Network("NASNetLarge", 331),
    "nasnetamobile": _Network("NASNetMobile", 224),
    **{f"resnet{depth}": _Network(f"ResNet{depth}", 224) for depth in (50, 101, 152)},
    **{f"resnetv2-{depth}": _Network(f"ResNet{depth}V2", 224) for depth in (50, 101, 152)},
    "vgg16": _Network("VGG16", 224),
    "vgg19": _Network("VGG19", 224),
    "xception": _Network("Xception", 299),
}
"""Variant -> keras.applications' function, its usual size and further arguments."""

PUBLISHED: Mapping[str, Sequence[str]] = {
    "keras": tuple(NETWORKS),
    "keras-th": ("vgg16", "vgg19"),
    "keras-2016": ("inception-v3", "resnet50"),
    "keras-2016-th": ("inception-v3", "resnet50"),
}
# The per-channel standard deviation of ImageNet (keras 3.15.1 src/applications/efficientnet.py IMAGENET_STDDEV_RGB).
_STD = (0.229, 0.224, 0.225)


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only; it ends in logits."""
    import keras

    network = NETWORKS[variant]
    size = size or network.size
    theano = dialect.endswith("-th")
    try:
        # Neither variables nor initialisers: nothing of the model is kept but its description.
        with keras.StatelessScope(initialize_variables=False):
            if dialect.startswith("keras-2016") and variant == "resnet50":
                model = _resnet50_2016(keras, classes, size)
            else:
                function: Callable[..., Any] = getattr(keras.applications, network.function)
                shape = (size, size, 3)
                model = function(
                    weights=None, input_shape=shape, classes=classes, classifier_activation=None, **network.arguments
                )
        described = config.loads(model.to_json(), variant)
    except ValueError as error:
        raise UsageError(f"{variant}: keras.applications refuses size={size}: {str(error).splitlines()[0]}") from None
    layers = described["config"]["layers"]
    if variant.startswith("efficientnet-"):
        _rescaled(layers)
    renamed(described)
    if dialect.startswith("keras-2016") and variant == "inception-v3":
        _inception_2016(layers)
    if theano:
        for layer in layers:
            _channels_first(layer)
    parsed = replace(config.network(described, variant, version=1 if theano else 3), name=variant)
    return translate(parsed, State(variant, parsed.version, Options(), turned=theano))


def named(graph: Graph, arrays: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a file's arrays under the names of a Graph of this module."""
    return match.named(graph, arrays)


def renamed(described: Any) -> None:
    """Gives layers that Keras named itself the names they have in a fresh session."""
    names: dict[str, str] = {}
    counts: dict[str, list[tuple[int, str]]] = {}
    waiting = [described]
    entries = []
    while waiting:
        entry = waiting.pop()
        entries.append(entry)
        waiting += list(entry["config"].get("layers", ()))
        base = config.snake(entry["class_name"])
        name = entry["config"]["name"]
        number = name.removeprefix(base).removeprefix("_")
        if name == base or (name.startswith(f"{base}_") and number.isdecimal()):
            counts.setdefault(base, []).append((int(number or 0), name))
    for base, found in counts.items():
        for count, (_, name) in enumerate(sorted(set(found))):
            names[name] = f"{base}_{count}" if count else base
    for entry in entries:
        entry["config"]["name"] = entry["name"] = names.get(entry["config"]["name"], entry["config"]["name"])
        for key in ("input_layers", "output_layers"):
            if key in entry["config"]:
                _rename(entry["config"][key], names)
        _rename(entry.get("inbound_nodes"), names)


def _rename(value: Any, names: Mapping[str, str]) -> None:
    """Renames the layers in references to values, in place."""
    if isinstance(value, list) and value and isinstance(value[0], str):  # name, call, output
        value[0] = names.get(value[0], value[0])
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            _rename(item, names)


def _rescaled(layers: list[Any]) -> None:
    """Puts behind EfficientNet's normalisation what Keras adds for the published weights only.

    The same factors are in `Normalization`'s neighbour as Keras writes them: scale 1 / sqrt(std).
    """
    place = next(i for i, layer in enumerate(layers) if layer["class_name"] == "Normalization")
    before, after = layers[place], layers[place + 1]
    scale = [1 / std**0.5 for std in _STD]
    added = {
        "class_name": "Rescaling",
        "module": "keras.layers",
        "config": {"name": "rescaling_imagenet", "scale": scale, "offset": 0.0},
        "name": "rescaling_imagenet",
        "inbound_nodes": [{"args": [_tensor(before["config"]["name"])], "kwargs": {}}],
    }
    after["inbound_nodes"] = [{"args": [_tensor("rescaling_imagenet")], "kwargs": {}}]
    layers.insert(place + 1, added)


def _tensor(layer: str) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [layer, 0, 0]}}


def _channels_first(layer: Any) -> None:
    """Makes a layer one of Theano's order; what flattens then keeps that order, as it did in 2016."""
    kind, arguments = layer["class_name"], layer["config"]
    if kind == "InputLayer":
        batch, rows, columns, channels = arguments["batch_shape"]
        arguments["batch_shape"] = [batch, channels, rows, columns]
    elif kind in ("BatchNormalization", "Concatenate"):
        arguments["axis"] = 1
    elif kind == "Flatten":
        arguments.pop("data_format", None)
    elif "data_format" in arguments:
        arguments["data_format"] = "channels_first"


def _inception_2016(layers: Sequence[Any]) -> None:
    """Makes Inception v3 that of 2016: convolution, ReLU, normalisation; three narrower layers, one pool of means."""
    filters = {"conv2d_18": 32, "conv2d_25": 32, "conv2d_64": 160}
    for layer in layers:
        arguments = layer["config"]
        arguments |= {"filters": filters[arguments["name"]]} if arguments["name"] in filters else {}
        if layer["class_name"] == "Conv2D":
            arguments |= {"activation": "relu", "use_bias": True}
        elif layer["class_name"] == "BatchNormalization":
            arguments["scale"] = True
        elif layer["class_name"] == "Activation":
            arguments["activation"] = "linear"
        elif arguments["name"] == "max_pooling2d_3":
            layer["class_name"] = "AveragePooling2D"


def _resnet50_2016(keras: Any, classes: int, size: int) -> Any:
    """ResNet-50 with the names of Kaiming He's Caffe model; average pool 7x7, then a flat vector."""
    layers = keras.layers

    def conv(x: Any, name: str, filters: int, kernel: int, strides: int = 1, padding: str = "valid") -> Any:
        x = layers.Conv2D(filters, kernel, strides=strides, padding=padding, name=name)(x)
        name = name.replace("res", "bn") if name != "conv1" else "bn_conv1"
        return layers.BatchNormalization(epsilon=1e-3, name=name)(x)

    image = keras.Input((size, size, 3), name="input_1")
    x = layers.ZeroPadding2D(3, name="zero_padding2d")(image)
    x = layers.Activation("relu", name="conv1_relu")(conv(x, "conv1", 64, 7, 2))
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for stage, blocks, filters in ((2, 3, 64), (3, 4, 128), (4, 6, 256), (5, 3, 512)):
        for block in "abcdef"[:blocks]:
            name = f"res{stage}{block}"
            strides = 2 if block == "a" and stage > 2 else 1
            shortcut = conv(x, f"{name}_branch1", 4 * filters, 1, strides) if block == "a" else x
            x = layers.Activation("relu", name=f"{name}_relu1")(conv(x, f"{name}_branch2a", filters, 1, strides))
            x = conv(x, f"{name}_branch2b", filters, 3, padding="same")
            x = conv(layers.Activation("relu", name=f"{name}_relu2")(x), f"{name}_branch2c", 4 * filters, 1)
            x = layers.Activation("relu", name=f"{name}_relu")(layers.Add(name=name)([x, shortcut]))
    x = layers.AveragePooling2D(min(7, size // 32), name="avg_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(image, layers.Dense(classes, name="fc1000")(x), name="resnet50")
