"""Makes the cases of nin.json; see README.md.

NIN.py of github.com/ProGamerGov/pytorch-nin is also in its author's package, `pip install --no-deps
neural-style==0.5.7`.
The environment variable FUNCTIONAL_ZOO is a checkout of github.com/szagoruyko/functional-zoo (0374129).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import generated
import torch
import torch_case


def nin() -> torch.nn.Module:
    from neural_style.loader import CaffeLoader

    network = CaffeLoader.NIN("max")
    layers = list(network.features)
    assert isinstance(layers.pop(), torch.nn.Softmax)
    # It has a thousand classes; the case has ten.
    last = max(index for index, layer in enumerate(layers) if isinstance(layer, torch.nn.Conv2d))
    layers[last] = torch.nn.Conv2d(layers[last].in_channels, generated.CLASSES, 1)
    network.features = torch.nn.Sequential(*layers)
    network.forward = lambda x: network.features(x).flatten(1)
    return network


class Functional(torch.nn.Module):
    """The function of a notebook, and parameters as the notebook prints them."""

    def __init__(self) -> None:
        super().__init__()
        notebook = json.loads((Path(os.environ["FUNCTIONAL_ZOO"]) / "nin-export.ipynb").read_text())
        cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
        names: dict[str, Any] = {"F": torch.nn.functional}
        exec(next(cell for cell in cells if cell.startswith("def f(")), names)
        self.function = names["f"]
        printed = ["".join(output.get("text", ())) for cell in notebook["cells"] for output in cell.get("outputs", ())]
        lines = next(text for text in printed if text.startswith("conv0.bias")).split("\n\n")[0].splitlines()
        for line in lines:
            name, _, shape = line.partition(" ")
            sizes = [int(size) for size in shape.strip("(,)").split(",") if size.strip()]
            if name.startswith("fc."):
                sizes[0] = generated.CLASSES
            layer, kind = name.split(".")
            if not hasattr(self, layer):
                self.add_module(layer, torch.nn.Module())
            getattr(self, layer).register_parameter(kind, torch.nn.Parameter(torch.zeros(sizes)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x, dict(self.named_parameters()))


MAKERS = {
    "pytorch-nin/nin": lambda: torch_case.case(nin, 224, quick=True),
    "functional-zoo/nin-fc": lambda: torch_case.case(Functional, 224, quick=True),
}

if __name__ == "__main__":
    generated.store("nin", MAKERS)
