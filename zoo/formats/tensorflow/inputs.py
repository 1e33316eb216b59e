"""Where a network begins: placeholders, and the end of what decodes images."""

from __future__ import annotations

import math
import re

import numpy as np

from zoo.errors import UsageError
from zoo.formats.tensorflow import tensors
from zoo.formats.tensorflow.flat import Flat
from zoo.formats.tensorflow.values import DEAD, REFUSED, Const, Item, Loose, Op, Step, Value

# Ops that make images of bytes, or of records of any kind.
DECODERS = frozenset(
    (
        *("DecodeJpeg", "DecodePng", "DecodeBmp", "DecodeGif", "DecodeImage", "DecodeAndCropJpeg", "DecodeRaw"),
        *("ParseExample", "ParseExampleV2", "ParseSingleExample", "ReadFile", "ReaderReadV2", "IteratorGetNext"),
        *("QueueDequeueV2", "QueueDequeueManyV2", "QueueDequeueUpToV2", "DecodePaddedRaw"),
    )
)
PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
BEGIN = "_Begin"
"""Op of the node that the caller named as the network's input."""
BEGINS = (*PLACEHOLDERS, *sorted(DECODERS), BEGIN)
# What may be done to an image before it has a size.
BEFORE = frozenset(
    (
        *(
            "Cast",
            "Identity",
            "Mul",
            "Sub",
            "Add",
            "AddV2",
            "RealDiv",
            "Div",
            "Reshape",
            "Squeeze",
            "ExpandDims",
            "Pack",
        ),
        *("Pack", "StridedSlice", "Slice", "Transpose", "ReverseV2", "ResizeBilinear", "ResizeNearestNeighbor"),
        *("ResizeBicubic", "ResizeArea", "CropAndResize", "ConcatV2", "Maximum", "Minimum", "Shape"),
    )
)
RESIZES = ("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea")
_TRAINING = re.compile(r"train|phase|learning|is_test|mode|keep|drop|rate|prob", re.IGNORECASE)
_GIVE = "give input_shape= (--input-shape 3,224,224)"


def placeholder(step: Step) -> Item:
    """A placeholder: an input of the network, a switch for training, or an image without a size."""
    state, kind = step.state, step.dtype("dtype")
    default = step.items[0] if step.node.op == "PlaceholderWithDefault" else None
    if default is not None and not (isinstance(default, Const) and default.array.dtype == bool):
        return default
    if kind == "bool":
        if default is not None:
            return default
        if not _TRAINING.search(step.name):
            raise step.unsupported("a switch is given from outside; freeze the graph with its value")
        return Const(np.array(False), step.name)
    if kind == "string":
        return Loose(None, step.name, True)
    if kind == "resource" or kind.startswith("dtype"):
        raise step.unsupported(f"takes {kind} from outside")
    shape = state.stated.get(step.name)
    if shape is None and "shape" in step.node.attrs:
        shape = tensors.dims(step.attr("shape").shape, f"{state.flat.file}: node {step.name!r}")
    if not shape and _TRAINING.search(step.name):
        raise step.unsupported("a number is given from outside; freeze the graph with its value")
    return entrance(step, shape or None, kind)


def begin(step: Step) -> Item:
    """The node that the caller named as the network's input."""
    item = entrance(step, step.node.extra["shape"], step.node.extra["dtype"])
    if isinstance(item, Loose):
        raise UsageError(f"{step.state.flat.file}: nothing says the size of {step.name!r}; {_GIVE}")
    return item


def entrance(step: Step, shape: tuple[int | None, ...] | None, kind: str) -> Item:
    """Returns an input of the Graph for a value of some shape, in TensorFlow's order and with its batch."""
    state, given = step.state, step.state.options.input_shape
    image = shape is None or len(shape) == 4 or _alone(shape)
    inner = step.node.op == BEGIN  # perhaps no image: its number of channels tells nothing
    first = shape is not None and len(shape) == 4 and (state.nchw if inner else _channels_first(shape, state.nchw))
    if given is not None and image and not any(len(dims) == 3 for dims in state.inputs.values()):
        channels, height, width = given
        if shape is not None and len(shape) == 3:
            shape = (height, width, channels)
        elif shape is not None and first:
            shape = (shape[0], channels, height, width)
        else:
            shape = (shape[0] if shape else None, height, width, channels)
    if shape is None:
        return Loose(None, step.name, False)
    batched = not _alone(shape)
    sizes = shape[1:] if batched else shape
    if None in sizes:
        return Loose(shape, step.name, False)
    known = tuple(n or 0 for n in sizes)
    if any(n < 1 for n in known) or math.prod(known) >= 1 << 40:
        raise step.damaged(f"takes the impossible shape {shape}")
    state.batch = shape[0] if batched else 1
    flipped = len(known) == 3 and not (batched and first)
    name = state.unique(step.name)
    state.inputs[name] = (known[2], *known[:2]) if flipped else known
    state.shapes[name] = (-1, *state.inputs[name])
    return Value(name, known, flipped, batched, kind)


def _alone(shape: tuple[int | None, ...]) -> bool:
    """Whether a shape is one image's, without a batch: (H, W, C)."""
    return len(shape) == 3 and shape[2] in (1, 3, 4) and (shape[0] is None) == (shape[1] is None)


def _channels_first(shape: tuple[int | None, ...], nchw: bool) -> bool:
    if shape[3] in (1, 3) and shape[1] not in (1, 3):
        return False
    if shape[1] in (1, 3) and shape[3] not in (1, 3):
        return True
    return nchw


def decoder(step: Step) -> Item:
    """An op that decodes images: they have no size yet."""
    channels = int(step.attr("channels").i) or None
    image = step.node.op in ("DecodeJpeg", "DecodePng", "DecodeBmp", "DecodeAndCropJpeg")
    return Loose((None, None, channels) if image else None, step.name, True)


def before(step: Step) -> Item:
    """What happens to an image before it has a size; where it first gets one, the network's input is."""
    loose = next(item for item in step.items if isinstance(item, Loose))
    if step.node.op not in BEFORE:
        raise needs_size(step, loose)
    shape = _grown(step, loose)
    if shape is not None and len(shape) == 4 and None not in shape[1:]:
        what = "decodes images" if loose.decoded else "takes images of any size"
        step.state.notes[loose.source] = f"no array: {what}; the network's input is what {step.name} gives"
        return entrance(step, shape, "float32")
    return Loose(shape, loose.source, loose.decoded)


def _grown(step: Step, loose: Loose) -> tuple[int | None, ...] | None:
    """The shape behind an op, as far as it is known."""
    shape, op = loose.shape, step.node.op
    second = step.items[1] if len(step.items) > 1 else None
    known = second.array.ravel().tolist() if isinstance(second, Const) and second.array.dtype.kind in "iu" else []
    if op in RESIZES:
        if len(known) != 2:
            return None
        given = step.state.options.input_shape
        channels = shape[-1] if shape else None
        channels = channels or (given[0] if given else None)
        return (shape[0] if shape and len(shape) == 4 else 1, *known, channels)
    if op == "Reshape":
        return tuple(None if n == -1 else n for n in known) or None
    if op == "ExpandDims" and shape is not None and len(known) == 1 and -len(shape) - 1 <= known[0] <= len(shape):
        place = known[0] % (len(shape) + 1)
        return (*shape[:place], 1, *shape[place:])
    if op in ("Cast", "Identity", "Mul", "Sub", "Add", "AddV2", "RealDiv", "Div", "Maximum", "Minimum"):
        return shape
    return None


def needs_size(step: Step, loose: Loose) -> Exception:
    """Returns the error for an op that has to know its input's size."""
    if loose.decoded:
        return step.unsupported(f"reads images of any size from {loose.source}; take the network from behind it")
    file = step.state.flat.file
    return UsageError(f"{file}: input {loose.source!r} has the shape {loose.shape or 'unknown'}; {_GIVE}")


def uses_nchw(flat: Flat) -> bool:
    """Whether feature maps have their channels first in this graph."""
    forms = (node.attrs["data_format"] for node in flat.nodes if "data_format" in node.attrs)
    return any(bytes(form.s) == b"NCHW" for form in forms)


def switch(step: Step) -> list[Item]:
    """Switch: the branch that a known switch does not choose is dead."""
    item, chosen = step.item(0), step.item(1)
    if not isinstance(chosen, Const) or chosen.array.size != 1 or chosen.array.dtype != bool:
        raise step.unsupported("chooses by what depends on the image")
    return [DEAD, item] if bool(chosen.array.reshape(())) else [item, DEAD]


def merge(step: Step) -> list[Item]:
    """Merge: the one input that is not dead."""
    living = [(i, item) for i, item in enumerate(step.items) if item != DEAD]
    if not living:
        return [DEAD, DEAD]
    if any(item == REFUSED for _, item in living):
        return [REFUSED, REFUSED]
    if len(living) > 1:
        raise step.unsupported("joins branches of which more than one runs")
    return [living[0][1], Const(np.array(living[0][0]), step.name)]


OPS: dict[str, Op] = {
    **dict.fromkeys(PLACEHOLDERS, placeholder),
    **dict.fromkeys(sorted(DECODERS), decoder),
    BEGIN: begin,
    "Switch": switch,
    "RefSwitch": switch,
    "Merge": merge,
    "RefMerge": merge,
}
