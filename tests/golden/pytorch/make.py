"""Makes the small PyTorch files of this folder and the numbers PyTorch itself sees in them.

Run in an environment of its own, with PyTorch: `pip install torch==2.13.0 numpy`, then `python make.py`.
Every case gives NAME.pth (as torch.save wrote it) and its arrays in NAME.npz (bfloat16 widened to float32 by PyTorch).
"""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent


def state(seed: int = 0) -> OrderedDict[str, torch.Tensor]:
    made = torch.Generator().manual_seed(seed)
    return OrderedDict(
        {
            "conv.weight": torch.randn(4, 3, 3, 3, generator=made),
            "conv.bias": torch.randn(4, generator=made),
            "bn.running_var": torch.rand(4, generator=made) + 0.5,
            "bn.num_batches_tracked": torch.tensor(7),
        }
    )


def cases() -> dict[str, tuple[object, dict[str, torch.Tensor], dict[str, object]]]:
    """Returns name -> what is saved, the state dict inside it, keywords of torch.save."""
    plain = state()
    net = torch.nn.Sequential(OrderedDict(conv=torch.nn.Conv2d(3, 4, 3), bn=torch.nn.BatchNorm2d(4)))
    net.load_state_dict(state(1), strict=False)
    half = {name: value.half() if value.is_floating_point() else value for name, value in plain.items()}
    brain = {name: value.bfloat16() if value.is_floating_point() else value for name, value in plain.items()}
    base = torch.arange(24, dtype=torch.float32)
    views = {
        "whole": base,
        "transposed": base.view(4, 6).t(),
        "part": base[5:11],
        "stepped": base[1::3],
        "kernel": base.view(2, 3, 2, 2).permute(3, 2, 0, 1),
        "scalar": base[13],
    }
    kinds = {
        "float64": torch.linspace(-1, 1, 5, dtype=torch.float64),
        "int64": torch.tensor([-(2**62), 0, 2**62]),
        "int32": torch.tensor([-5, 5], dtype=torch.int32),
        "int16": torch.tensor([-300, 300], dtype=torch.int16),
        "int8": torch.tensor([-128, 127], dtype=torch.int8),
        "uint8": torch.tensor([0, 255], dtype=torch.uint8),
        "uint16": torch.tensor([0, 65535], dtype=torch.uint16),
        "bool": torch.tensor([True, False, True]),
        "empty": torch.zeros(0, 3),
    }
    ema = state(3)
    checkpoint = {
        "epoch": 90,
        "arch": "tiny",
        "best": 0.75,
        "args": argparse.Namespace(lr=0.1, name="run"),
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "state_dict": {f"module.{name}": value for name, value in plain.items()},
    }
    legacy = {"_use_new_zipfile_serialization": False}
    return {
        "zip": (plain, plain, {}),
        "legacy": (plain, plain, legacy),
        "module-state": (net.state_dict(), dict(net.state_dict()), {}),
        "half": (half, half, {}),
        "bfloat16": (brain, brain, {}),
        "bfloat16-legacy": (brain, brain, legacy),
        "views": (views, views, {}),
        "views-legacy": (views, views, legacy),
        "kinds": (kinds, kinds, {}),
        "parameter": ({"w": torch.nn.Parameter(base[:6])}, {"w": base[:6]}, {}),
        "checkpoint": (checkpoint, plain, {}),
        "checkpoint-legacy": (checkpoint, plain, legacy),
        "ema": ({"state_dict": plain, "state_dict_ema": ema}, ema, {}),
        "nested-model": ({"model": {"state_dict": plain}, "iteration": 3}, plain, {}),
        "model-state": ({"epoch": 99, "test_err": 22.0, "model_state": plain}, plain, {}),  # pycls
        "protocol4": (plain, plain, {"pickle_protocol": 4}),
        "protocol5-legacy": (plain, plain, legacy | {"pickle_protocol": 5}),
    }


def numbers(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def refused() -> None:
    """Makes sound files that are no state dicts zoo reads."""
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(HERE / "refused-torchscript.pth"))
    torch.save({"w": torch.eye(3).to_sparse()}, HERE / "refused-sparse.pth")
    torch.save({"w": torch.zeros(2, dtype=torch.complex64)}, HERE / "refused-complex.pth")
    torch.save({"w": torch.zeros(2, dtype=torch.float8_e4m3fn)}, HERE / "refused-float8.pth")
    torch.save({"w": torch.ones(1).expand(1000, 1000)}, HERE / "refused-expanded.pth")
    torch.save(torch.nn.Linear(2, 2), HERE / "refused-module.pth")
    torch.save(torch.ones(3), HERE / "refused-tensor.pth")
    torch.save({"epoch": 3, "arch": "tiny"}, HERE / "refused-nothing.pth")


if __name__ == "__main__":
    for name, (saved, tensors, keywords) in cases().items():
        torch.save(saved, HERE / f"{name}.pth", **keywords)
        np.savez_compressed(HERE / f"{name}.npz", **{key: numbers(value) for key, value in tensors.items()})
    refused()
