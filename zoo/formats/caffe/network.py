"""What Caffe does to a network definition before it runs: pick the phase, upgrade old layers, tell values apart."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import FormatError, UsageError
from zoo.formats.caffe import legacy, prototxt
from zoo.formats.options import Options

MAX_LAYERS = 10_000
MAX_SIZE = 1 << 31
MAX_NAME = 200

# What reads training data has no bottom: Caffe's own layers, forks' (ImageSegData), and Python.
_DATA = re.compile(r"\w*Data|Python")
# Layers whose tops lie in their bottom's memory, and those that change nothing when they run in place at test time.
SHARING = frozenset({"Split", "Flatten", "Reshape"})
UNCHANGING = frozenset({"Split", "Flatten", "Reshape", "Dropout"})
# A loss with a counterpart at inference, and that counterpart; any other loss or measurement leaves its first input.
LOSSES = {"SoftmaxWithLoss": "Softmax", "SoftmaxLoss": "Softmax", "SigmoidCrossEntropyLoss": "Sigmoid"}
_MEASURES = re.compile(r"\w*Accuracy|Silence|HDF5Output|\w*Loss")


@dataclass(frozen=True)
class Layer:
    """One layer as Caffe would run it at test time.

    Args:
        name: unique among the layers.
        type: Caffe's current name of the type (`InnerProduct`, never `INNER_PRODUCT`).
        spec: its message, with the parameters.
        bottoms: the values it reads; a value is a number, since one blob name has several where layers run in place.
        tops: the values it makes.
        where: file, line, name and type, for messages.
        unknown: its fields that no table knows and that may matter.
        blobs: names of the tops.
        torn: says which bottom another layer has changed in place through memory that the two share.
    """

    name: str
    type: str
    spec: Any
    bottoms: tuple[int, ...]
    tops: tuple[int, ...]
    where: str
    unknown: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()
    torn: str = ""


@dataclass(frozen=True)
class Network:
    """A network ready to translate.

    Args:
        name: as the file has it, or the file's name.
        inputs: blob name -> (its value, shape without the batch; None where the file does not say).
        layers: in the order in which they run.
        outputs: the values that the network returns.
        dropped: layer name -> why inference does without it.
        batch: the batch that the first input states; 0 if none. It means nothing, but reshapes may be written for it.
    """

    name: str
    inputs: Mapping[str, tuple[int, tuple[int, ...] | None]]
    layers: tuple[Layer, ...]
    outputs: tuple[int, ...]
    dropped: Mapping[str, str]
    batch: int = 0


def read(path: Path, options: Options) -> Network:
    """Reads a prototxt.

    Args:
        path: the network definition, for deployment or training, in the spelling of any of Caffe's generations.
        options: the input's shape, and where to end.

    Raises:
        FormatError: the file is damaged or contradicts itself.
        UsageError: there is nothing of the name where the network is to end.
    """
    net, scan = prototxt.parse(path)
    if not net.layer:
        raise FormatError(f"{path.name}: holds no layers; expected a Caffe network definition")
    if len(net.layer) > MAX_LAYERS:
        raise FormatError(f"{path.name}: has {len(net.layer):,} layers; at most {MAX_LAYERS:,} are read")
    return _Reader(path.name, net, scan, options).network()


class _Reader:
    """State of one pass over the layers: which value each blob name stands for at this point."""

    def __init__(self, file: str, net: Any, scan: prototxt.Scan, options: Options) -> None:
        self.file, self.net, self.scan, self.options = file, net, scan, options
        self.batch = 0
        self.memory = _Memory()
        self.values: dict[str, int] = {}  # blob name -> its value now
        self.count = 0
        self.inputs: dict[str, tuple[int, tuple[int, ...] | None]] = {}
        self.layers: list[Layer] = []
        self.losses: list[tuple[Layer, float]] = []
        self.dropped: dict[str, str] = {}

    def network(self) -> Network:
        _check_names((self.net.name, *self.net.input), self.file)
        for blob, shape in _declared_inputs(self.net, self.file):
            self._add_input(blob, shape, self.file)
        declared = [*self.net.input_dim[:1], *(shape.dim[0] for shape in self.net.input_shape[:1] if shape.dim)]
        self.batch = declared[0] if declared else 0
        for index, spec in enumerate(self.net.layer):
            spec = legacy.upgrade(spec)
            _check_names((spec.name, spec.type, *spec.bottom, *spec.top), f"{self.file}:{self.scan.lines[index]}")
            where = f"{self.file}:{self.scan.lines[index]}: layer {spec.name!r} ({spec.type or 'no type'})"
            if not runs_in_test(spec):
                self.dropped.setdefault(spec.name, "runs in training only")
            elif spec.type == "Input" or (not spec.bottom and _DATA.fullmatch(spec.type)):
                self._add_data(spec, where)
            else:
                self._add_layer(spec, where, tuple(self.scan.unknown.get(index, ())))
        self._end_in_losses()
        layers = legacy.without_padding_layers(self.layers)
        ends = None
        if self.options.until is not None:
            ends = self._value_of(self.options.until, layers)
            layers = self._needed_for(ends, layers)
        read = {value for layer in layers for value in layer.bottoms}
        made = {value: None for layer in layers for value in layer.tops if value not in read}
        used = {blob: entry for blob, entry in self.inputs.items() if entry[0] in read}
        if self.options.input_shape is not None:
            used = _with_shape(used, self.options.input_shape)
        name = self.net.name or self.file.rsplit(".", 1)[0]
        outputs = tuple(made) if ends is None else (ends,)
        return Network(name, used, tuple(layers), outputs, self.dropped, self.batch)

    def _value_of(self, name: str, layers: Sequence[Layer]) -> int:
        """The value to end at: what a layer of that name makes, else the last that a blob of that name holds."""
        for layer in layers:
            if layer.name == name and layer.tops:
                return layer.tops[0]
        made = {value for layer in layers for value in layer.tops}
        if self.values.get(name) in made:
            return self.values[name]
        known = {layer.name for layer in layers} | {blob for blob, value in self.values.items() if value in made}
        nearest = difflib.get_close_matches(name[:MAX_NAME], sorted(known), n=3)
        hint = f"; the nearest: {', '.join(nearest)}" if nearest else ""
        raise UsageError(f"{self.file}: has no layer or blob named {name[:MAX_NAME]!a} to end at (until=){hint}")

    def _needed_for(self, end: int, layers: Sequence[Layer]) -> list[Layer]:
        needed, kept = {end}, []
        for layer in reversed(layers):
            if needed.isdisjoint(layer.tops):
                self.dropped.setdefault(layer.name, f"is not needed for {self.options.until!r}, where reading ends")
                continue
            kept.append(layer)
            needed.update(layer.bottoms)
        return kept[::-1]

    def _new_value(self, blob: str) -> int:
        self.count += 1
        self.values[blob] = self.count
        return self.count

    def _add_input(self, blob: str, shape: tuple[int, ...] | None, where: str) -> None:
        if shape is not None and any(not 0 < n < MAX_SIZE for n in shape):
            raise FormatError(f"{where}: input {blob!r} has the impossible shape {shape} (without the batch)")
        if blob in self.inputs:  # `input:` and an Input layer for the same blob
            value, known = self.inputs[blob]
            self.values[blob], self.inputs[blob] = value, (value, known if shape is None else shape)
        else:
            self.inputs[blob] = (self._new_value(blob), shape)

    def _add_data(self, spec: Any, where: str) -> None:
        """An Input layer, or one that reads a data base: its first top is the image, others are labels."""
        if spec.type in ("Input", "DummyData"):
            shapes = list(spec.input_param.shape if spec.type == "Input" else spec.dummy_data_param.shape)
            if len(shapes) not in (0, 1, len(spec.top)):
                raise FormatError(f"{where}: {len(shapes)} shapes for {len(spec.top)} tops; expected one or as many")
            for i, top in enumerate(spec.top):
                dims = list(shapes[i if len(shapes) > 1 else 0].dim) if shapes else []
                shape = tuple(dims[1:]) if shapes else None
                if spec.type == "DummyData" and not shapes:
                    shape = _data_shape(spec)
                self.batch = self.batch or (dims[0] if dims else 0)
                self._add_input(top, shape, where)
            return
        self.dropped[spec.name] = "reads training data"
        for i, top in enumerate(spec.top):
            self._add_input(top, _data_shape(spec) if i == 0 else None, where)

    def _add_layer(self, spec: Any, where: str, unknown: tuple[str, ...]) -> None:
        loss = _MEASURES.fullmatch(spec.type) is not None
        if loss and spec.type not in LOSSES:
            self.dropped[spec.name] = "measures, which inference does without"
            return
        missing = [blob for blob in spec.bottom if blob not in self.values]
        if missing:
            raise FormatError(
                f"{where}: reads {missing[0]!r}, which {self._maker(missing[0])}; expected the top of a layer above it"
            )
        bottoms = tuple(self.values[blob] for blob in spec.bottom)
        doubled = [blob for blob, times in Counter(spec.top).items() if times > 1]
        if not spec.name:
            raise FormatError(f"{where}: has no name; weights are found by it")
        if doubled or not (bottoms if loss else spec.top):
            raise FormatError(
                f"{where}: has bottoms {list(spec.bottom)[:8]} and tops {list(spec.top)[:8]}; expected both"
            )
        if loss:
            weight = spec.loss_weight[0] if spec.loss_weight else 1.0
            layer = Layer(spec.name, LOSSES[spec.type], spec, bottoms[:1], (self._new_value(spec.name),), where)
            self.losses.append((layer, weight))
            return
        torn = self.memory.step(spec)
        tops = tuple(self._new_value(blob) for blob in spec.top)
        self.layers.append(Layer(spec.name, spec.type, spec, bottoms, tops, where, unknown, tuple(spec.top), torn))

    def _maker(self, blob: str) -> str:
        makers = [other for other in self.net.layer if blob in other.top]
        if not makers:
            return "no layer makes"
        if not any(runs_in_test(other) for other in makers):
            return "only layers make that do not run at test time"
        return "a layer after it makes: the order is wrong, or a cycle"

    def _end_in_losses(self) -> None:
        """Turns losses into what they compute at inference; heads with a smaller weight only help training."""
        main = max((weight for _, weight in self.losses), default=0.0)
        if self.options.until is not None:
            main = min((weight for _, weight in self.losses), default=0.0)  # it may be an auxiliary head that is wanted
        kept = [layer for layer, weight in self.losses if weight >= main]
        for layer, weight in self.losses:
            if weight < main:
                self._drop_branch(layer.bottoms[0], kept)
        for layer in kept:
            if not any(other.type == layer.type and other.bottoms == layer.bottoms for other in self.layers):
                self.layers.append(layer)

    def _drop_branch(self, end: int, kept: Sequence[Layer]) -> None:
        """Drops the layers that make a value and whatever only they read."""
        unread = {end}
        reads = Counter(value for layer in (*self.layers, *kept) for value in layer.bottoms)
        for layer in reversed(self.layers[:]):
            if unread.issuperset(layer.tops) and not any(reads[value] for value in layer.tops):
                self.layers.remove(layer)
                self.dropped[layer.name] = "belongs to an auxiliary head, which only helps training"
                reads.subtract(layer.bottoms)
                unread.update(layer.bottoms)


class _Memory:
    """Which blobs lie in one memory: Caffe does not copy them, so a layer that works in place changes them all."""

    def __init__(self) -> None:
        self.shared: dict[str, set[str]] = {}  # blob -> all blobs in its memory
        self.torn: dict[str, str] = {}  # blob -> the layer that changed it under another name

    def step(self, spec: Any) -> str:
        """Follows one layer; returns what is wrong with the blobs that it reads, or nothing."""
        torn = [blob for blob in spec.bottom if blob in self.torn]
        told = f"reads {torn[0]!r}, which {self.torn[torn[0]]!r} changed in place in shared memory" if torn else ""
        for top in spec.top:
            self.torn.pop(top, None)
            if top not in spec.bottom:
                self._leave(top)
                if spec.type in SHARING and spec.bottom:
                    self._join(top, spec.bottom[0])
            elif spec.type not in UNCHANGING:
                self.torn.update({blob: spec.name for blob in self.shared.get(top, ()) if blob != top})
                self._leave(top)
        return told

    def _leave(self, blob: str) -> None:
        self.shared.pop(blob, set()).discard(blob)

    def _join(self, blob: str, other: str) -> None:
        together = self.shared.setdefault(other, {other})
        together.add(blob)
        self.shared[blob] = together


def runs_in_test(spec: Any) -> bool:
    """Returns whether a layer's include and exclude rules let it into a network that is deployed (phase TEST)."""
    if spec.include:
        return any(_meets(rule) for rule in spec.include)
    return not any(_meets(rule) for rule in spec.exclude)


def _meets(rule: Any) -> bool:
    stages = {"deploy"}  # the stage NVIDIA DIGITS gives layers that only a deployed network has
    phase_of_test = 1
    return (
        (not rule.HasField("phase") or rule.phase == phase_of_test)
        and (not rule.HasField("min_level") or rule.min_level <= 0)
        and (not rule.HasField("max_level") or rule.max_level >= 0)
        and stages.issuperset(rule.stage)
        and stages.isdisjoint(rule.not_stage)
    )


def _check_names(names: Iterable[str], where: str) -> None:
    """Refuses what could not stand in a one-line message."""
    for name in names:
        if len(name) > MAX_NAME or not name.isprintable():
            raise FormatError(f"{where}: {name[:40]!a}... is no name; expected up to {MAX_NAME} printable characters")


def _declared_inputs(net: Any, file: str) -> Iterator[tuple[str, tuple[int, ...] | None]]:
    """`input:` with `input_shape` or four `input_dim` each; yields shapes without the batch."""
    count = len(net.input)
    dims = list(net.input_dim)
    if net.input_shape and len(net.input_shape) != count:
        raise FormatError(f"{file}: {count} inputs but {len(net.input_shape)} input_shape; expected one each")
    if not net.input_shape and dims and len(dims) != 4 * count:
        raise FormatError(f"{file}: {count} inputs but {len(dims)} input_dim; expected four each")
    for i, blob in enumerate(net.input):
        if net.input_shape:
            yield blob, tuple(net.input_shape[i].dim[1:])
        else:
            yield blob, tuple(dims[4 * i + 1 : 4 * i + 4]) or None


def _with_shape(
    inputs: Mapping[str, tuple[int, tuple[int, ...] | None]], shape: tuple[int, int, int]
) -> dict[str, tuple[int, tuple[int, ...] | None]]:
    """The inputs with a shape the caller gives: for the one that states none, else for the first image."""
    unknown = [blob for blob, (_, known) in inputs.items() if known is None]
    images = [blob for blob, (_, known) in inputs.items() if known is not None and len(known) == 3]
    chosen = (unknown or images)[:1]
    return {blob: (value, tuple(shape) if blob in chosen else known) for blob, (value, known) in inputs.items()}


def _data_shape(spec: Any) -> tuple[int, ...] | None:
    """The image size a training network's data layer states, if it does; its channels are 3 unless it says grey."""
    memory, dummy = spec.memory_data_param, spec.dummy_data_param
    if spec.type == "DummyData":
        sides = [list(side) for side in (dummy.channels, dummy.height, dummy.width)]
        return (sides[0][0], sides[1][0], sides[2][0]) if all(sides) else None
    if spec.type == "MemoryData":
        return (memory.channels, memory.height, memory.width)
    crop = spec.transform_param.crop_size or spec.data_param.crop_size or spec.image_data_param.crop_size
    height, width = (crop, crop) if crop else (spec.image_data_param.new_height, spec.image_data_param.new_width)
    return (1 if spec.transform_param.force_gray else 3, height, width) if height and width else None
