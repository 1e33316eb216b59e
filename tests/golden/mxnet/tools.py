"""What all cases are made with: pictures, weights, a run in MXNet, a zip."""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from pathlib import Path

# MXNet's own operators, not those of a library for one kind of processor, which refuse some sound networks.
os.environ.update(MXNET_SUBGRAPH_BACKEND="NONE", MXNET_MKLDNN_ENABLED="0")

import mxnet as mx
import numpy as np

HERE = Path(__file__).parent
S = mx.sym
d = S.var("data")


def conv(data: mx.sym.Symbol, name: str, filters: int, kernel: int = 1, **more: object) -> mx.sym.Symbol:
    return S.Convolution(data, name=name, num_filter=filters, kernel=(kernel, kernel), **more)


def rng_of(name: str) -> np.random.Generator:
    return np.random.default_rng(sum(map(ord, name)))


def picture(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Smooth coloured patterns: white noise drives every random network to one answer."""
    count, channels, *size = shape
    grid = np.meshgrid(*(np.linspace(0, 1, n) for n in size), indexing="ij") if size else []
    made = np.zeros(shape)
    for image in range(count):
        for channel in range(channels):
            wave = sum(np.sin(rng.uniform(1, 9) * axis + rng.uniform(0, 6)) for axis in grid) + rng.normal()
            made[image, channel] = wave
    low, high = made.min(), made.max()
    return np.round((made - low) / (high - low) * 255).astype(np.uint8)


def weights(sym: mx.sym.Symbol, shapes: dict[str, tuple[int, ...]], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random arrays; gamma, beta, mean and variance all differ from their defaults."""
    arguments, _, auxiliary = sym.infer_shape(**shapes)
    names = [
        *zip(sym.list_arguments(), arguments, strict=True),
        *zip(sym.list_auxiliary_states(), auxiliary, strict=True),
    ]
    found = {}
    for name, shape in names:
        if name in shapes or name.endswith("label"):
            continue
        if name.endswith(("gamma", "var")):
            array = rng.uniform(0.5, 1.5, shape)
        elif name.endswith(("beta", "mean", "bias")):
            array = rng.normal(0, 0.3, shape)
        else:
            array = rng.normal(0, np.sqrt(2 / max(np.prod(shape[1:]), 1)), shape)
        found[name] = array.astype(np.float32)
    return found


def run(sym: mx.sym.Symbol, arrays: dict[str, np.ndarray], x: np.ndarray, train: bool = False) -> list[np.ndarray]:
    executor = sym.simple_bind(mx.cpu(), grad_req="null", data=x.shape)
    for name, array in [*executor.arg_dict.items(), *executor.aux_dict.items()]:
        if name in arrays:
            array[:] = arrays[name]
    executor.arg_dict["data"][:] = x
    return [out.asnumpy() for out in executor.forward(is_train=train)]


def prefixed(sym: mx.sym.Symbol, arrays: dict[str, np.ndarray]) -> dict[str, mx.nd.NDArray]:
    auxiliary = set(sym.list_auxiliary_states())
    return {("aux:" if k in auxiliary else "arg:") + k: mx.nd.array(v, dtype=v.dtype) for k, v in arrays.items()}


def store(name: str, text: str, arrays: dict[str, mx.nd.NDArray], values: dict[str, np.ndarray], to: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/net.params"
        mx.nd.save(path, arrays)
        stream = io.BytesIO()
        np.savez_compressed(stream, **values)
        with zipfile.ZipFile(to / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for member, raw in (
                ("symbol.json", text.encode()),
                ("net.params", Path(path).read_bytes()),
                ("values.npz", stream.getvalue()),
            ):
                archive.writestr(zipfile.ZipInfo(member, (2020, 1, 1, 0, 0, 0)), raw, zipfile.ZIP_DEFLATED)


def compact(text: str) -> str:
    return json.dumps(json.loads(text), separators=(",", ":"))


def seen(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.float32) - 128) / 64
