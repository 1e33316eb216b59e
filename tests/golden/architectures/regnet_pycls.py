"""Makes the authors' cases of regnet.json; see README.md.

The environment variable PYCLS is a checkout of github.com/facebookresearch/pycls (ca89a79 and later); it needs iopath,
simplejson and yacs besides.
"""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import generated
import torch
import torch_case

PYCLS = Path(os.environ["PYCLS"])
sys.path.insert(0, str(PYCLS))
sys.modules["submitit"] = types.SimpleNamespace(helpers=types.SimpleNamespace(Checkpointable=object))  # clusters
from pycls.core.config import cfg  # noqa: E402
from pycls.models.regnet import RegNet  # noqa: E402

SIZES = {"002": "200MF", "004": "400MF", "006": "600MF", "008": "800MF", "016": "1.6GF", "032": "3.2GF",
         "040": "4.0GF", "064": "6.4GF", "080": "8.0GF", "120": "12GF", "160": "16GF", "320": "32GF"}  # fmt: skip
RUN = ("x-002", "x-032", "y-002", "y-032")
"""The others' names and shapes only: their numbers are those of timm's."""


def network(kind: str, size: str) -> torch.nn.Module:
    config = PYCLS / f"configs/dds_baselines/regnet{kind}/RegNet{kind.upper()}-{SIZES[size]}_dds_8gpu.yaml"
    cfg.defrost()
    cfg.REGNET.SE_ON = False
    cfg.merge_from_file(str(config))
    cfg.MODEL.NUM_CLASSES = generated.CLASSES
    return RegNet()


def make(name: str) -> dict[str, object]:
    kind, size = name.removeprefix("regnet").split("-")
    run = f"{kind}-{size}" in RUN
    return torch_case.case(lambda: network(kind, size), 64, run=run, quick=name == "regnety-002")


if __name__ == "__main__":
    names = [f"regnet{kind}-{size}" for kind in "xy" for size in SIZES]
    generated.store("regnet", {f"pycls/{name}": lambda name=name: make(name) for name in names})
