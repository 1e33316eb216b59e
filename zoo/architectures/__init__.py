"""Graphs for weight files that carry no graph: one module per family.

A variant is a network (`resnet50`); a dialect is how one publisher wrote it down: parameter names, padding, epsilon,
place of the stride. Tensor names and shapes alone do not tell all dialects apart, and a wrong one gives wrong numbers
silently: a card states it.

A family's module has `PUBLISHED` (dialect -> the variants that its publisher has), `build(variant, dialect, classes,
size)` and, where timm has the family, `TIMM` (timm's name of a network -> variant and dialect). Its networks are
written with `zoo.architectures.net`.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from zoo.architectures.trunk import trunks
from zoo.errors import FormatError, UsageError
from zoo.graph import Graph, Param

if TYPE_CHECKING:
    import numpy as np

FAMILIES = (
    "alexnet",
    "byobnet",
    "condensenet",
    "convnext",
    "cspnet",
    "darknet",
    "densenet",
    "dla",
    "dpn",
    "efficientnet",
    "gluon",
    "gluoncv",
    "gluoncv2",
    "ghostnet",
    "googlenet",
    "hbonet",
    "hrnet",
    "inception_next",
    "inception_resnet_v1",
    "inception_resnet_v2",
    "inception_v2",
    "inception_v3",
    "inception_v4",
    "keras_applications",
    "keras_dense",
    "keras_efficientnet",
    "keras_inception",
    "keras_plain",
    "keras_resnet",
    "kerashub",
    "mnasnet",
    "mobilenet",
    "mobilenet_v1",
    "mobileone",
    "mtcnn",
    "nasnet",
    "nfnet",
    "nin",
    "overfeat",
    "polynet",
    "pytorchcv_dense",
    "pytorchcv_inception",
    "pytorchcv_mobile",
    "pytorchcv_nas",
    "pytorchcv_residual",
    "pytorchcv_resnet",
    "pytorchcv_shuffle",
    "pytorchcv_twins",
    "qubvel",
    "regnet",
    "repvgg",
    "res2net",
    "resnest",
    "resnet",
    "resnet_tf",
    "resnetv2",
    "rexnet",
    "selecsls",
    "senet",
    "shufflenet",
    "sknet",
    "squeezenet",
    "tresnet",
    "vgg",
    "vovnet",
    "xception",
)
"""Modules of this folder."""
_CUT = "not in the file; the network gives the features that enter it"


FORMER = (
    (r"^(?:tv|ssl|swsl|ig|gluon)_", ""),
    (r"_v1b$", ""),
    (r"_v1([cds])$", r"\1"),
    (r"(?:_384)?_in2[12](?:ft1)?k$", ""),
    (r"^(tf_efficientnet_.+)_(?:ap|ns|ns_475)$", r"\1"),
    (r"_miil$", ""),
    (r"^(tresnet_.+)_448$", r"\1"),
    (r"_bitm$", "_bit"),
    (r"_bit_(?:distilled|teacher|teacher_384)$", "_bit"),
    (r"^efficientnet_b([23])a$", r"efficientnet_b\1"),
    (r"^mnasnet_a1$", "semnasnet_100"),
    (r"^mnasnet_b1$", "mnasnet_100"),
    (r"^regnetz_040h$", "regnetz_040_h"),
    (r"^seresnext26tn_32x4d$", "seresnext26t_32x4d"),
)
"""What timm called networks before 0.9 -> what it calls them now (`register_model_deprecations` of its modules)."""


class _Family(Protocol):
    """What a family's module has."""

    PUBLISHED: Mapping[str, Sequence[str]]
    """Dialect -> its variants."""

    def build(self, variant: str, dialect: str, classes: int, size: int | None) -> Graph:
        """Returns the Graph; `size` are rows and columns of the input, by default the publisher's."""
        ...


@runtime_checkable
class _Naming(Protocol):
    """What the module of a family has whose files name arrays in ways that a Graph's `renamed` cannot tell."""

    def named(self, graph: Graph, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns a file's arrays under the Graph's names, as far as they can be told."""
        ...


def variants() -> list[str]:
    """Returns the names of all networks that `build` knows, in natural order."""
    return sorted(_published(), key=lambda name: re.sub(r"\d+", lambda digits: digits[0].zfill(6), name))


def dialects(variant: str) -> list[str]:
    """Returns the dialects of a variant.

    Raises:
        UsageError: there is no such variant.
    """
    return list(_of(variant))


def build(variant: str, dialect: str, *, classes: int = 1000, size: int | None = None) -> Graph:
    """Returns the Graph of a network whose parameters are shapes, to be filled by `Graph.bind`.

    Args:
        variant: one of `variants()`.
        dialect: one of `dialects(variant)`.
        classes: outputs of the classifier.
        size: rows and columns of the input, pixels; default: those it was published for.

    Raises:
        UsageError: there is no such variant or dialect, or no classes; the message names those there are.

    >>> build("vgg16", "torchvision").params["classifier.6.weight"].shape
    (1000, 4096)
    """
    families = _of(variant)
    if dialect not in families:
        raise UsageError(f"{variant}: no dialect {dialect!r}{_known(dialect, list(families))}")
    if classes < 1:
        raise UsageError(f"{variant}: classes={classes}; expected 1 or more")
    return families[dialect].build(variant, dialect, classes, size).check()


def timm(architecture: str) -> tuple[str, str]:
    """Returns variant and dialect of a network that timm knows by `architecture`, as a hub's config.json has it.

    Names from before timm 0.9, which told the weights too (`gluon_resnet50_v1d`), are taken as well.

    Raises:
        UsageError: no family has it.
    """
    given, known = architecture, dict[str, tuple[str, str]]()
    for family in _modules():
        known |= getattr(family, "TIMM", {})
    if architecture not in known:
        for pattern, replacement in FORMER:
            architecture = re.sub(pattern, replacement, architecture)
    if architecture not in known:
        raise UsageError(f"timm's architecture {given!r} is not among those that zoo can build")
    return known[architecture]


def fit(
    architecture: str, arrays: Mapping[str, np.ndarray], *, where: str, ignore: Mapping[str, str] | None = None
) -> Graph:
    """Returns the Graph that arrays without a card belong to, bound; dialect and classes are read off the arrays.

    Where a file holds no weights of a classifier, or nothing but NaN for them, the Graph is without it, and gives the
    features that entered it.

    Args:
        architecture: a variant, or `variant/dialect` where names alone cannot tell two dialects apart.
        arrays: name in the origin -> array.
        where: the file's name, for messages.
        ignore: pattern of names -> reason, as for `Graph.bind`.

    Raises:
        UsageError: there is no such architecture, or several dialects have these names.
        FormatError: the arrays are not those of the architecture in any dialect.
    """
    variant, _, dialect = architecture.partition("/")
    held = {name: array for name, array in arrays.items() if not _is_empty(array)}
    nearest: dict[str, Graph] = {}
    found: dict[str, Mapping[str, np.ndarray]] = {}
    cut: set[str] = set()
    best = (len(arrays) + 1, 0)
    for key in [dialect] if dialect else dialects(variant):
        graph, found[key], shortened = _fitted(variant, key, arrays, held, ignore or {})
        cut |= {key} if shortened else set()
        distance = _distance(graph, found[key])
        if not nearest or distance <= best:
            nearest = {**(nearest if distance == best else {}), key: graph}
            best = distance
    different = {_computation(graph): key for key, graph in reversed(nearest.items())}
    if best == (0, 0) and len(different) > 1:
        choices = " or ".join(f"{variant}/{key}" for key in reversed(different.values()))
        raise UsageError(f"{where}: its names fit several publishers' {variant}; give architecture={choices}")
    chosen = next(iter(nearest))
    bound = nearest[chosen].bind(found[chosen], where=where, ignore=ignore)
    if chosen not in cut:
        return bound
    empty = {name: "holds no number" for name in arrays if name not in held}
    return replace(bound, unused={**bound.unused, **empty, "the classifier": _CUT})


def _fitted(
    variant: str, dialect: str, arrays: Mapping[str, np.ndarray], held: Mapping[str, np.ndarray],
    ignore: Mapping[str, str],
) -> tuple[Graph, Mapping[str, np.ndarray], bool]:  # fmt: skip
    """A network of as many classes as a file has, or without its classifier if that is what fits; its arrays; which.

    Args:
        variant: as in `build`.
        dialect: as in `build`.
        arrays: of the file.
        held: those of them that hold numbers.
        ignore: as for `Graph.bind`.
    """
    graph = build(variant, dialect)
    found = named(variant, dialect, graph, arrays)
    classes = classes_of(graph, found) or 1000
    whole = graph if classes == 1000 else build(variant, dialect, classes=classes)
    if _distance(whole, found) != (0, 0) or len(held) < len(arrays):
        for trunk in trunks(graph):
            features = named(variant, dialect, trunk, held)
            with contextlib.suppress(FormatError):
                trunk.bind(features, where=variant, ignore=ignore)
                return trunk, features, True
    return whole, found, False


def _is_empty(array: np.ndarray) -> bool:
    """Whether an array of numbers holds nothing but NaN."""
    if array.dtype.kind != "f" or not array.size or not math.isnan(array.flat[0]):
        return False
    return bool((array != array).all())  # nothing but NaN differs from itself


def named(variant: str, dialect: str, graph: Graph, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Returns arrays under the names of a Graph of `build`, where a family's files have many names for them.

    Args:
        variant: as in `build`.
        dialect: as in `build`.
        graph: what that gave.
        arrays: as the format's reader gives them.
    """
    family = _of(variant)[dialect]
    return family.named(graph, arrays) if isinstance(family, _Naming) else arrays


def classes_of(graph: Graph, arrays: Mapping[str, np.ndarray]) -> int | None:
    """Returns how many outputs the stored kernel of a Graph's classifier has; None where there is no telling."""
    kernels = (node.inputs[1] for node in reversed(graph.nodes) if node.op in ("Gemm", "Conv", "MatMul"))
    name = next(kernels, "")
    param, array = graph.params.get(name), graph.named(arrays).get(name)
    if not isinstance(param, Param) or array is None or array.ndim != len(param.shape) or not array.size:
        return None
    return int(param.of(array).shape[0])


def _distance(graph: Graph, arrays: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """How many names a Graph lacks, and how many of those it shares have another shape."""
    shapes = {name: param.shape_in_file for name, param in graph.params.items() if isinstance(param, Param)}
    shapes = {name: shape for name, shape in shapes.items() if shape is not None}
    arrays = graph.named(arrays)
    lacking = [name for name in shapes if name not in arrays]
    other = [name for name, shape in shapes.items() if name in arrays and tuple(arrays[name].shape) != shape]
    return len(lacking), len(other)


def _computation(graph: Graph) -> str:
    """What a Graph does, whatever its nodes are named: two publishers' names may stand for the same numbers."""
    numbers: dict[str, str] = {}
    steps = []
    for node in graph.nodes:
        steps.append((node.op, [numbers.get(value, value) for value in node.inputs], sorted(node.attrs.items())))
        numbers |= {value: f"{len(steps)}:{index}" for index, value in enumerate(node.outputs)}
    return repr(steps)


def _modules() -> list[_Family]:
    return [cast(_Family, importlib.import_module(f"zoo.architectures.{name}")) for name in FAMILIES]


@functools.cache
def _published() -> dict[str, dict[str, _Family]]:
    """Variant -> dialect -> its family."""
    found: dict[str, dict[str, _Family]] = {}
    for family in _modules():
        for dialect, names in family.PUBLISHED.items():
            for name in names:
                found.setdefault(name, {})[dialect] = family
    return found


def _of(variant: str) -> dict[str, _Family]:
    if variant not in _published():
        raise UsageError(f"no architecture {variant!r}{_known(variant, variants())}")
    return _published()[variant]


def _known(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name.lower().replace("_", "-"), names, 3)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    more = f" and {len(names) - 12} more (`zoo architectures`)" if len(names) > 12 else ""
    return f"; there are: {', '.join(names[:12])}{more}"
