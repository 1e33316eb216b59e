"""Makes the cases of mtcnn.json; see README.md.

`pip install --no-deps facenet-pytorch==2.6.0`; its file models/mtcnn.py is run by itself, the package imports more.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import generated
import torch
import torch_case


def network(kind: str) -> torch.nn.Module:
    found = importlib.util.find_spec("facenet_pytorch")
    assert found is not None
    text = (Path(str(found.origin)).parent / "models" / "mtcnn.py").read_text()
    text = "\n".join(line for line in text.splitlines() if not line.startswith("from .utils"))
    names: dict[str, type[torch.nn.Module]] = {}
    exec(text, names)
    made = names[kind](pretrained=False)
    head, wide = {"PNet": "conv4", "RNet": "dense5", "ONet": "dense6"}[kind], generated.CLASSES
    layer = getattr(made, f"{head}_1")
    # It knows faces and others; the case has ten classes, before the softmax.
    other = torch.nn.Conv2d(32, wide, 1) if kind == "PNet" else torch.nn.Linear(layer.in_features, wide)
    setattr(made, f"{head}_1", other)
    setattr(made, f"softmax{head[-1]}_1", torch.nn.Identity())
    answers = made.forward
    made.forward = lambda x: answers(x)[-1].flatten(1)
    return made


HEADS = ("conv4_2", "dense5_2", "dense6_2", "dense6_3")
MAKERS = {
    f"facenet-pytorch/mtcnn-{kind.lower()}": lambda kind=kind, size=size: torch_case.case(
        lambda: network(kind), size, quick=True, ignored=("num_batches_tracked", *HEADS)
    )
    for kind, size in (("PNet", 12), ("RNet", 24), ("ONet", 48))
}

if __name__ == "__main__":
    generated.store("mtcnn", MAKERS)
