"""A Caffe network of 8 x 8 pixels and four classes, with its card: what a registry needs to be tried."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from zoo.formats.caffe import schema

SIDE = 8
KERNEL = np.random.default_rng(3).normal(0, 0.05, (4, 3, 3, 3)).astype(np.float32)
BIAS = np.array([0.1, -0.2, 0.3, 0.0], np.float32)
RULES: dict[str, Any] = {
    "height": SIDE,
    "width": SIDE,
    "channel_order": "BGR",
    "value_range": [0, 255],
    "mean": [104, 117, 123],
    "std": "none",
    "resize": {"kind": "square", "size": SIDE},
    "interpolation": "bilinear",
    "library": "unknown",
    "antialias": "unknown",
}


def kernel(channels: int) -> np.ndarray:
    return KERNEL[:, :channels]


def write(folder: Path, channels: int = 3) -> dict[str, Any]:
    """Writes the network's two files; returns the `files` of its card, whose places nobody can reach."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.prototxt").write_text(
        'name: "net"\n'
        'layer { name: "data" type: "Input" top: "data" input_param { shape '
        f"{{ dim: 1 dim: {channels} dim: {SIDE} dim: {SIDE} }} }} }}\n"
        'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"'
        " convolution_param { num_output: 4 kernel_size: 3 } }\n"
        'layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"'
        " pooling_param { pool: AVE global_pooling: true } }\n"
        'layer { name: "prob" type: "Softmax" bottom: "pool" top: "prob" }\n'
    )
    net: Any = schema.messages("small_model", schema.BINARY)["Net"]()
    layer = net.layer.add(name=b"conv")
    for array in (kernel(channels), BIAS):
        blob = layer.blobs.add()
        blob.shape.dim.extend(array.shape)
        blob.data.append(np.ascontiguousarray(array, "<f4").tobytes())
    (folder / "net.caffemodel").write_bytes(net.SerializeToString())
    return {"graph": stated(folder / "net.prototxt"), "weights": stated(folder / "net.caffemodel")}


def write_mean(path: Path, image: np.ndarray) -> dict[str, Any]:
    """Writes a mean image (C, H, W) as Caffe does; returns the file as a card states it."""
    blob: Any = schema.messages("small_mean", schema.BINARY)["Blob"]()
    blob.shape.dim.extend((1, *image.shape))
    blob.data.append(np.ascontiguousarray(image, "<f4").tobytes())
    path.write_bytes(blob.SerializeToString())
    return stated(path)


def stated(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    place = {"kind": "url", "url": f"https://127.0.0.1:9/{path.name}"}
    return {"name": path.name, "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest(), "places": [place]}


def card(files: dict[str, Any], name: str = "small-net", **changes: Any) -> dict[str, Any]:
    """A whole card; `preprocessing` is merged over RULES."""
    facts = {
        "name": name,
        "origin": "caffe",
        "family": "small",
        "architecture": "small",
        "summary": "four classes of 8x8 pixels",
        "source": {"format": "caffe", "graph": "graph", "weights": "weights"},
        "files": files,
        "paper": "unknown",
        "dataset": "unknown",
        "labels": {"count": 4, "list": "unknown"},
        "metrics": [],
        "parameters": "unknown",
        "license": {"code": "not stated", "weights": "MIT", "training_data": "not stated"},
        "training": "unknown",
        "status": "unverified",
        "sources": {"files": "made", "labels": "made", "preprocessing": "made", "license": "made"},
    }
    preprocessing = {**RULES, **changes.pop("preprocessing", {})}
    return {**facts, "preprocessing": preprocessing, **changes}


def toml(*cards: dict[str, Any], origin: str = "caffe", family: str = "small") -> str:
    """A family file of these cards."""
    lines = [f'origin = "{origin}"', f'family = "{family}"']
    for found in cards:
        lines.append(f'[models."{found["name"]}"]')
        lines += [f"{key} = {_value(value)}" for key, value in found.items() if key not in ("name", "origin", "family")]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {_value(part)}' for key, part in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(part) for part in value) + "]"
    return json.dumps(value)


def probabilities(x: np.ndarray) -> np.ndarray:
    """What the network gives for what it takes: (N, 8, 8, C) in its own order."""
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (3, 3), axis=(1, 2))
    maps = np.einsum("nhwcij,ocij->nhwo", windows, kernel(x.shape[-1])) + BIAS
    scores = maps.mean((1, 2))
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))
