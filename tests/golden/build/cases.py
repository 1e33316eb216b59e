"""How a case is made: its input, its arrays, and the Graph that is compared with PyTorch's answer."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

RANDOM = np.random.default_rng(20261123)


def pattern(channels: int, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    planes = [np.sin(0.7 * (c + 1) * x / 3 + c) * np.cos(0.5 * y + 0.3 * c) - 0.4 for c in range(channels)]
    batch = np.stack([np.stack(planes), np.stack(planes[::-1]) * 0.5])
    return batch.astype(np.float32)


def random(*shape: int, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    return RANDOM.uniform(low, high, shape).astype(np.float32)


def sides(pads: list[int]) -> tuple[int, int, int, int]:
    top, left, bottom, right = pads
    return left, right, top, bottom


def same(x: torch.Tensor, kernel: int, stride: int, value: float) -> torch.Tensor:
    """TensorFlow's SAME for a square kernel: the odd row and column at the end."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


CASES: dict = {}


def case(name, shape, nodes, params, compute):
    x = pattern(*shape)
    params = {key: np.asarray(array, np.float32) for key, array in params.items()}
    tensors = {key: torch.from_numpy(array) for key, array in params.items()}
    with torch.no_grad():
        y = compute(torch.from_numpy(x), tensors).numpy()
    CASES[name] = ({"shape": list(shape), "nodes": nodes, "params": list(params)}, x, y, params)


def one(name, op, compute, *, shape=(3, 4, 5), attrs=None, inputs=("x",), outputs=None, **params):
    """A case of one node; `inputs` names values and parameters."""
    nodes = [[op, "node", list(inputs), attrs or {}, *([outputs] if outputs else [])]]
    case(name, shape, nodes, params, compute)
