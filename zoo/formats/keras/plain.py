"""Keras's layers without weights: pooling, borders, shapes, merging; and the operations of keras.ops."""

from __future__ import annotations

import math
from typing import Any

from zoo.formats.keras.activations import NAMED
from zoo.formats.keras.values import Op, Several, Step, Value, spread
from zoo.formats.keras.weighted import window


def pool(op: str) -> Op:
    """Returns the translation of MaxPooling2D or AveragePooling2D; padding never counts."""

    def translate(step: Step) -> Value:
        size = step.pair("pool_size", default=2)
        attrs = {**window(step, size), "strides": step.pair("strides", default=list(size))}
        del attrs["dilations"]
        return step.map(step.make(op, [step.image()], kernel_shape=size, **attrs))

    return translate


def global_pool(op: str) -> Op:
    """Returns the translation of a global pool: a vector, or a map of one pixel with `keepdims`."""

    def translate(step: Step) -> Value:
        image = step.image()
        if step.flag("keepdims", default=False):
            return step.map(step.make(op, [image]))
        return step.result(step.make("Flatten", [step.make(op, [image], suffix="map")], axis=1))

    return translate


def borders(step: Step, key: str, default: Any) -> tuple[int, int, int, int]:
    """Returns (top, bottom, left, right) of an argument that one, two or four numbers may give."""
    given = step.get(key, default=default)
    if isinstance(given, dict):  # Keras 1
        given = [[given.get("top_pad", 0), given.get("bottom_pad", 0)],
                 [given.get("left_pad", 0), given.get("right_pad", 0)]]  # fmt: skip
    given = given if isinstance(given, list) else [given, given]
    if len(given) == 2:
        sides = [side if isinstance(side, list) else [side, side] for side in given]
        given = [n for side in sides for n in side]
    if len(given) != 4:
        raise step.damaged(f"{key} has {len(given)} numbers; expected four")
    top, bottom, left, right = (step.count(n, key, low=0) for n in given)
    return top, bottom, left, right


def zero_padding(step: Step) -> Value:
    top, bottom, left, right = borders(step, "padding", 1)
    return step.map(step.make("Pad", [step.image()], pads=(0, 0, top, left, 0, 0, bottom, right)))


def cropping(step: Step) -> Value:
    top, bottom, left, right = borders(step, "cropping", 0)
    image = step.image()
    rows, columns = step.state.shapes[image][2:]
    ends = (rows - bottom, columns - right)
    if min(ends[0] - top, ends[1] - left) < 1:
        raise step.damaged(f"crops all of {rows}x{columns}")
    return step.map(step.make("Slice", [image], starts=(top, left), ends=ends, axes=(2, 3)))


def up_sampling(step: Step) -> Value:
    rows, columns = step.pair("size", default=2)
    kind = step.word("interpolation", default="nearest")
    if kind == "bilinear" and not step.state.bilinear:
        raise step.unsupported("bilinear, which Keras before 2.4 computes in another way")
    return _resized(step, kind, scales=(1.0, 1.0, float(rows), float(columns)))


def resizing(step: Step) -> Value:
    rows, columns = step.whole("height"), step.whole("width")
    if any(step.flag(key, default=False) for key in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias")):
        raise step.unsupported("keeps the aspect ratio")
    channels = step.state.shapes[step.image()][1]
    return _resized(step, step.word("interpolation", default="bilinear"), sizes=(1, channels, rows, columns))


def _resized(step: Step, kind: str, **attrs: Any) -> Value:
    if kind == "bilinear":
        attrs |= {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    elif kind == "nearest":
        attrs |= {"mode": "nearest", "coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"}
    else:
        raise step.unsupported(f"interpolation {kind[:20]!r}")
    return step.map(step.make("Resize", [step.image()], **attrs))


# Shapes


def flatten(step: Step) -> Value:
    """Flatten: rows, columns, channels in this order; of a map NCHW too, where the layer says that it is one."""
    value = step.plain(step.value())
    if step.channels_first and len(value.shape) == 3:
        moved = step.make("Transpose", [value.name], suffix="nhwc", perm=(0, 2, 3, 1))
        return step.result(step.make("Flatten", [moved], axis=1))
    return step.result(step.make("Flatten", [value.name], axis=1))


def reshape(step: Step) -> Value:
    value = step.plain(step.value())
    given = step.get("target_shape", "dims")
    if not isinstance(given, list) or len(given) > 8 or [n for n in given if n in (-1, None)][1:]:
        raise step.damaged("target_shape is no list of sizes")
    known = [None if n in (-1, None) else step.count(n, "target_shape") for n in given]
    rest = math.prod(value.shape) // math.prod(n for n in known if n is not None)
    shape = tuple(rest if n is None else n for n in known)
    if len(shape) == 3 and shape[:2] == (1, 1):  # a vector becomes a map of one pixel
        return step.result(step.make("Reshape", [value.name], shape=(0, shape[2], 1, 1)), image=True)
    return step.result(step.make("Reshape", [value.name], shape=(0, *shape)))


def permute(step: Step) -> Value:
    value = step.plain(step.value())
    dims = step.get("dims")
    if not isinstance(dims, list) or sorted(map(str, dims)) != [str(i) for i in range(1, len(value.shape) + 1)]:
        raise step.damaged(f"dims do not order {len(value.shape)} axes")
    return step.result(step.make("Transpose", [value.name], perm=(0, *dims)))


# Merging


def aligned(step: Step) -> list[Value]:
    """Returns the values that a layer combines, with the Graph's axes in one order."""
    values = step.values
    if not values:
        raise step.unsupported("is called with no value")
    if len({len(value.shape) for value in values}) != 1:
        raise step.unsupported(f"combines {[value.shape for value in values[:4]]} (without the batch)")
    image = any(value.image for value in values)
    return [step.state.transposed(value, image=image) if image else value for value in values]


def merge(two: str, many: str | None) -> Op:
    """Returns the translation of a layer that combines values number by number.

    Args:
        two: operator for two of them.
        many: operator for more; None to apply that for two one after the other.
    """

    def translate(step: Step) -> Value:
        values = aligned(step)
        names = [value.name for value in values]
        if len(names) == 1:
            return values[0]
        if len(names) == 2 or many is not None:
            return step.result(step.make(two if len(names) == 2 else many or two, names), image=values[0].image)
        name = names[0]
        for i, other in enumerate(names[1:]):
            name = step.make(two, [name, other], suffix="" if i == len(names) - 2 else str(i))
        return step.result(name, image=values[0].image)

    return translate


def concatenate(step: Step) -> Value:
    values = aligned(step)
    place = step.axis(step.get("axis", "concat_axis", default=-1), values[0])
    if values[0].image:
        place = {1: 2, 2: 3, 3: 1}[place]
    return step.result(step.make("Concat", [value.name for value in values], axis=place), image=values[0].image)


def old_merge(step: Step) -> Value:
    """Keras 1's Merge, which says in `mode` what it does."""
    mode = step.word("mode", default="sum")
    if mode not in _MODES:
        raise step.unsupported(f"mode {mode[:20]!r}")
    return _MODES[mode](step)


_MODES: dict[str, Op] = {
    "sum": merge("Add", "Sum"),
    "mul": merge("Mul", None),
    "ave": merge("Mean", "Mean"),
    "max": merge("Max", "Max"),
    "concat": concatenate,
}


def scaled_sum(step: Step) -> Value:
    """keras.applications' CustomScaleLayer of Inception-ResNet: x + scale * y."""
    values = aligned(step)
    if len(values) != 2:
        raise step.unsupported(f"is called with {len(values)} values; expected two")
    factor = step.constant("scale", step.number("scale"))
    scaled = step.make("Mul", [values[1].name, factor], suffix="scaled")
    return step.result(step.make("Add", [values[0].name, scaled]), image=values[0].image)


def rescaling(step: Step) -> Value:
    """Rescaling: x * scale + offset, one number for all or one per channel."""
    value = step.value()
    name = value.name
    axes = 2 if value.image else 0  # behind the channels
    parts = [(op, key) for op, key in (("Mul", "scale"), ("Add", "offset")) if spread(step.layer.config, key)]
    if not parts:
        return value
    for op, key in parts:
        numbers = spread(step.layer.config, key)
        if len(numbers) not in (1, value.shape[-1]):
            raise step.damaged(f"{key} has {len(numbers)} numbers for {value.shape[-1]} channels")
        array = numbers[0] if len(numbers) == 1 else [_nested(n, axes) for n in numbers]
        last = key == parts[-1][1]
        name = step.make(op, [name, step.constant(key, array)], suffix="" if last else "scaled")
    return step.result(name, image=value.image)


def _nested(number: float, depth: int) -> Any:
    return [_nested(number, depth - 1)] if depth else number


def dropout(step: Step) -> Value:
    """Dropout; with `noise_shape` it drops whole branches, which training alone does."""
    value = step.value()
    rate = step.number("rate", "p", default=0.0)
    if step.get("noise_shape") is not None or not 0 < rate < 1:
        return value
    return step.result(step.make("Dropout", [value.name], ratio=rate), image=value.image)


def nothing(step: Step) -> Value:
    """A layer that does nothing when it does not train."""
    return step.value()


# keras.ops, which stand in a description like layers


def arithmetic(op: str) -> Op:
    """Returns the translation of an operation between two values, or a value and a number."""

    def translate(step: Step) -> Value:
        if len(step.args) != 2:
            raise step.unsupported(f"has {len(step.args)} arguments; expected two")
        if len(step.values) == 2:
            return merge(op, None)(step)
        (value,) = step.values
        names = [
            value.name if isinstance(item, Value) else step.constant("number", _number(step, item))
            for item in step.args
        ]
        return step.result(step.make(op, names), image=value.image)

    return translate


def _number(step: Step, item: Any) -> float:
    if isinstance(item, bool) or not isinstance(item, (int, float)) or not math.isfinite(item):
        raise step.unsupported("combines a value with something other than a value or a number")
    return float(item)


def split(step: Step) -> list[Value]:
    """keras.ops.split into equal parts: a slice for each."""
    value, parts = step.value(), step.whole("indices_or_sections")
    axis = step.axis(step.get("axis", default=0), value)
    size = value.shape[axis - 1]
    if size % parts:
        raise step.unsupported(f"splits {size} into {parts} parts")
    place = {1: 2, 2: 3, 3: 1}[axis] if value.image else axis  # NCHW
    ends = [size // parts * (part + 1) for part in range(parts)]
    slices = [
        step.make("Slice", [value.name], suffix=str(part), starts=(end - size // parts,), ends=(end,), axes=(place,))
        for part, end in enumerate(ends)
    ]
    return [step.result(name, image=value.image) for name in slices]


def function(name: str) -> Op:
    """Returns the translation of an activation that stands in the description as an operation of keras.ops."""

    def translate(step: Step) -> Value:
        value = step.value()
        if name == "silu":
            gate = step.make("Sigmoid", [value.name], suffix="sigmoid")
            return step.result(step.make("Mul", [value.name, gate]), image=value.image)
        op, attrs = NAMED[name]
        return step.result(step.make(op, [value.name], **attrs), image=value.image)

    return translate


OPS: dict[str, Op] = {
    "Add": merge("Add", "Sum"),
    "Average": merge("Mean", "Mean"),
    "AveragePooling2D": pool("AveragePool"),
    "Concatenate": concatenate,
    "Cropping2D": cropping,
    "CustomScaleLayer": scaled_sum,
    "Dropout": dropout,
    "Flatten": flatten,
    "GlobalAveragePooling2D": global_pool("GlobalAveragePool"),
    "GlobalMaxPooling2D": global_pool("GlobalMaxPool"),
    "MaxPooling2D": pool("MaxPool"),
    "Maximum": merge("Max", "Max"),
    "Merge": old_merge,
    "Minimum": merge("Min", "Min"),
    "Multiply": merge("Mul", None),
    "Permute": permute,
    "Rescaling": rescaling,
    "Reshape": reshape,
    "Resizing": resizing,
    "Subtract": merge("Sub", None),
    "UpSampling2D": up_sampling,
    "ZeroPadding2D": zero_padding,
    **dict.fromkeys(
        (
            "ActivityRegularization", "AlphaDropout", "GaussianDropout", "GaussianNoise", "Identity",
            "RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom",
            "SpatialDropout2D",
        ),
        nothing,
    ),
}  # fmt: skip
KERAS_OPS: dict[str, Op | Several] = {
    "Add": arithmetic("Add"),
    "Divide": arithmetic("Div"),
    "Split": split,
    "Multiply": arithmetic("Mul"),
    "Subtract": arithmetic("Sub"),
    "TrueDivide": arithmetic("Div"),
    **{kind: function(name) for kind, name in {
        "Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Silu": "silu", "Tanh": "tanh", "HardSilu": "hard_silu",
    }.items()},
}  # fmt: skip
