"""What a PyTorch pickle may mention, and the arrays its descriptions of tensors stand for.

In the file a tensor is a call such as `_rebuild_tensor_v2(storage, offset, shape, strides, ...)`. Here such a call
gives a `Tensor`, a plain description; `Storages.array` then checks it against the bytes the file holds.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from zoo.errors import FormatError, UnsupportedError
from zoo.formats.pickles import Constructor, Global, opaque, ordered_dict, shown

MAX_RANK = 32  # dimensions; numpy 1 allows no more
MAX_NUMBER = 2**63  # sizes and offsets are signed 64-bit in PyTorch
MAX_NAME = 500  # characters
PREFIXES = ("module.", "_orig_mod.")

T = TypeVar("T")

BFLOAT16 = "bfloat16"  # numpy has none
STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
    "UntypedStorage": "|u1",
}
DTYPES = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": BFLOAT16,
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "|i1",
    "uint8": "|u1",
    "uint16": "<u2",
    "uint32": "<u4",
    "uint64": "<u8",
    "bool": "|b1",
}
# Types that published checkpoints keep beside their weights; they become marks that nobody looks into.
TRAINING_RUN = (
    "__builtin__.set",
    "_codecs.encode",
    "argparse.Namespace",
    "builtins.set",
    "collections.Counter",
    "collections.defaultdict",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "torch.device",
    "torch.serialization._get_layout",
)
# Types that are named only so that the message can say what the file holds.
UNREAD_STORAGES = ("ComplexDoubleStorage", "ComplexFloatStorage", "QInt32Storage", "QInt8Storage", "QUInt8Storage")
UNREAD_DTYPES = ("complex64", "complex128", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the file."""

    key: str
    dtype: str
    size: int
    """Elements of `dtype`."""
    start: int = 0
    """First element inside the run `key`: files of PyTorch 0.x share one run out in parts."""


@dataclass(frozen=True)
class Tensor:
    """A tensor as the pickle describes it, not yet checked against the bytes."""

    storage: Storage
    dtype: str
    offset: int
    """Elements of `dtype` from the storage's start."""
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """Elements of `dtype`."""


class Storages:
    """The storages of one file, by key, as read-only arrays over the mapped bytes.

    Args:
        data: the mapped file.
        where: the file's name, for messages.
        places: key -> first byte in the file, number of bytes; the container has checked that they lie inside.
    """

    def __init__(self, data: mmap.mmap, where: str, places: Mapping[str, tuple[int, int]]) -> None:
        self._data = data
        self._where = where
        self._places = places
        self._made: dict[tuple[str, str], np.ndarray] = {}

    def array(self, tensor: Tensor, name: str) -> np.ndarray:
        """Returns the tensor called `name` as a read-only array; bfloat16 as float32.

        Raises:
            FormatError: the tensor reaches outside its storage, or the storage outside the file.
        """
        storage, size = tensor.storage, itemsize(tensor.dtype)
        where = f"{self._where}: {shown(name)}"
        if storage.key not in self._places:
            raise FormatError(f"{where}: its storage {shown(storage.key)!r} is missing; fetch the file again")
        first = storage.start * itemsize(storage.dtype)
        end = first + storage.size * itemsize(storage.dtype)
        if end > self._places[storage.key][1]:
            raise FormatError(
                f"{where}: its storage should have {end} bytes, the file holds {self._places[storage.key][1]}; "
                "fetch the file again"
            )
        elements = 1
        for length in tensor.shape:
            elements *= length
        if elements == 0:
            return self._empty(tensor, where)
        last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
        if first % size or (last + 1) * size > end - first:
            raise FormatError(f"{where}: the tensor reaches outside its storage; fetch the file again")
        if elements * size > end - first:
            # A stride of 0 repeats numbers without holding them: a few bytes could claim any amount of memory.
            raise UnsupportedError(
                f"{where}: an expanded tensor, larger than its storage; save tensor.contiguous() in PyTorch"
            )
        flat = self._flat(storage.key, tensor.dtype)
        # The stride of a dimension of length 1 is never walked, and may be too large for numpy.
        strides = [step * flat.itemsize if n > 1 else 0 for n, step in zip(tensor.shape, tensor.strides, strict=True)]
        offset = (first // size + tensor.offset) * flat.itemsize
        return np.ndarray(tensor.shape, flat.dtype, buffer=flat, offset=offset, strides=strides)

    def _empty(self, tensor: Tensor, where: str) -> np.ndarray:
        try:
            empty = np.empty(tensor.shape, "<f4" if tensor.dtype == BFLOAT16 else tensor.dtype)
        except (ValueError, OverflowError):
            raise FormatError(f"{where}: an impossible shape; fetch the file again") from None
        empty.flags.writeable = False
        return empty

    def _flat(self, key: str, dtype: str) -> np.ndarray:
        """Returns a whole storage; widened once, however many tensors share it, so that memory stays bounded."""
        if (key, dtype) not in self._made:
            start, length = self._places[key]
            raw = np.dtype("<u2" if dtype == BFLOAT16 else dtype)
            flat = np.frombuffer(self._data, raw, length // raw.itemsize, start)
            self._made[key, dtype] = widened(flat) if dtype == BFLOAT16 else flat
        return self._made[key, dtype]


def widened(bits: np.ndarray) -> np.ndarray:
    """Returns bfloat16 numbers, given as uint16, as float32, of which they are the upper half."""
    numbers: np.ndarray = (bits.astype("<u4") << np.uint32(16)).view("<f4")
    numbers.flags.writeable = False
    return numbers


def bare_names(tensors: Mapping[str, T], where: str) -> dict[str, T]:
    """Returns tensors without the prefix that DataParallel or torch.compile puts before every name.

    Raises:
        FormatError: a name could not stand in a one-line message.
    """
    for name in tensors:
        if len(name) > MAX_NAME or not name.isprintable():
            raise FormatError(f"{where}: {shown(name, 40)!r} is no tensor's name; the file is damaged")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return dict(tensors)


def itemsize(dtype: str) -> int:
    """Returns the bytes of one number of a dtype of `STORAGES` or `DTYPES`."""
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def storage_ids(where: str, seen: dict[str, Storage] | None = None) -> Callable[[Any], Storage]:
    """Returns the reader of persistent ids: ('storage', type, key, location, elements[, part of another storage]).

    Args:
        where: the file's name, for messages.
        seen: filled with key -> whole storage; the legacy container needs the types before it reaches the bytes.
    """

    def read_id(value: Any) -> Storage:
        match value:
            case ("storage", Global(name), str(key), _, int(size), *rest) if 0 <= size < MAX_NUMBER:
                dtype = STORAGES.get(name.rsplit(".", 1)[-1])
            case ("module", *_):
                raise UnsupportedError(f"{where}: a whole pickled module, not a state dict; save model.state_dict()")
            case _:
                raise FormatError(f"{where}: a storage is described in an unknown way; fetch the file again")
        if dtype is None:
            raise UnsupportedError(f"{where}: numbers of type {shown(name)}, which zoo does not read")
        whole = Storage(key, dtype, size)
        if seen is not None and seen.setdefault(key, whole).dtype != dtype:
            raise FormatError(f"{where}: storage {shown(key)!r} is described as two types; fetch the file again")
        match rest:
            case [] | [None]:
                return whole
            case [(_, int(start), int(part))] if min(start, part) >= 0 and start + part <= size:
                return Storage(key, dtype, part, start)
        raise FormatError(f"{where}: a part of storage {shown(key)!r} lies outside it; fetch the file again")

    return read_id


def allowed(where: str) -> dict[str, Constructor | None]:
    """Returns every name a state dict may mention -> our own constructor, or None for a type that is only named."""

    def rebuild(args: tuple[Any, ...]) -> Tensor:
        storage, offset, shape, strides = args[:4]
        return _describe(where, storage, None, offset, shape, strides)

    def rebuild_v3(args: tuple[Any, ...]) -> Tensor:
        storage, offset, shape, strides, _, _, dtype = args[:7]
        name = dtype.name.removeprefix("torch.") if isinstance(dtype, Global) else "unknown"
        if name not in DTYPES:
            raise UnsupportedError(f"{where}: numbers of type {shown(name)}, which zoo does not read")
        return _describe(where, storage, DTYPES[name], offset, shape, strides)

    def refuse(what: str) -> Constructor:
        def construct(_args: tuple[Any, ...]) -> Any:
            raise UnsupportedError(f"{where}: holds a {what} tensor, which zoo does not read; save it dense in PyTorch")

        return construct

    named = [*STORAGES, *UNREAD_STORAGES, *DTYPES, *UNREAD_DTYPES, "sparse_coo", "sparse_csr", "strided"]
    return {
        **{f"torch.{name}": None for name in named},
        **{f"torch.cuda.{name}": None for name in (*STORAGES, *UNREAD_STORAGES)},
        **{name: opaque(name) for name in TRAINING_RUN},
        "torch.storage.UntypedStorage": None,
        "collections.OrderedDict": ordered_dict,
        "torch.Size": lambda args: args[0],
        "torch._utils._rebuild_tensor": rebuild,
        "torch._utils._rebuild_tensor_v2": rebuild,
        "torch._utils._rebuild_tensor_v3": rebuild_v3,
        "torch._utils._rebuild_parameter": lambda args: args[0],
        "torch._utils._rebuild_parameter_with_state": lambda args: args[0],
        "torch._utils._rebuild_sparse_tensor": refuse("sparse"),
        "torch._utils._rebuild_sparse_csr_tensor": refuse("sparse"),
        "torch._utils._rebuild_qtensor": refuse("quantized"),
    }


def _describe(where: str, storage: Any, dtype: str | None, offset: Any, shape: Any, strides: Any) -> Tensor:
    sizes, steps, start = _numbers(shape), _numbers(strides), _numbers((offset,))
    if not isinstance(storage, Storage) or sizes is None or steps is None or start is None or len(sizes) != len(steps):
        raise FormatError(
            f"{where}: a tensor's offset, shape or strides are not numbers from 0 up, at most {MAX_RANK} of each; "
            "fetch the file again"
        )
    return Tensor(storage, dtype or storage.dtype, start[0], sizes, steps)


def _numbers(value: Any) -> tuple[int, ...] | None:
    """Returns a shape or strides as a tuple, or None where it is no such thing."""
    if not isinstance(value, tuple | list) or len(value) > MAX_RANK:
        return None
    if not all(type(number) is int and 0 <= number < MAX_NUMBER for number in value):
        return None
    return tuple(value)
