"""torchvision and timm beside a CPU build of PyTorch, where torchvision's compiled operators may not load."""

from __future__ import annotations

from typing import Any


def operators() -> Any:
    """Declares the operators that `import torchvision` asks for, where its compiled ones do not load.

    The declaration lasts as long as what is returned.
    """
    import importlib.util
    import pathlib

    import torch

    found = importlib.util.find_spec("torchvision")
    assert found is not None
    assert found.origin is not None
    for path in pathlib.Path(found.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(path))
        except OSError:
            continue
        return None
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library
