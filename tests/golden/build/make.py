"""Makes cases.json and arrays.npz.xz: small Graphs and what PyTorch computes for them.

Run with PyTorch 2.13: `python tests/golden/build/make.py`. Each case is a list of nodes in ONNX terms; the outputs come
from torch.nn.functional alone. Inputs are smooth coloured patterns below and above zero; arrays are random, none is at
its default.
"""

from __future__ import annotations

import io
import json
import lzma
from pathlib import Path

import arithmetic  # noqa: F401  # these three fill CASES
import layers  # noqa: F401
import numpy as np
import shapes  # noqa: F401
import torch
from cases import CASES

HERE = Path(__file__).parent

arrays = {}
for name, (_, x, y, params) in CASES.items():
    arrays[f"{name}/input"], arrays[f"{name}/output"] = x, y
    arrays.update({f"{name}/{key}": array for key, array in params.items()})
    assert np.abs(y[0] - y[1]).max() > 0, f"{name} gives the same for other inputs"
held = io.BytesIO()
np.savez(held, **arrays)  # uncompressed inside .xz: the many small arrays share what they have in common
(HERE / "arrays.npz.xz").write_bytes(lzma.compress(held.getvalue(), preset=9 | lzma.PRESET_EXTREME))
lines = [f"{json.dumps(name)}: {json.dumps(spec)}" for name, (spec, *_) in CASES.items()]
(HERE / "cases.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
print(len(CASES), "cases by torch", torch.__version__)
