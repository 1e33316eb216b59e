"""What a PyTorch network gives, for the makers of torchvision's, timm's and pretrainedmodels' cases."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from unittest import mock

import generated
import numpy as np
import torch

# torchvision's compiled operators do not load beside a CPU build of PyTorch; its models need them only to exist.
_library = torch.library.Library("torchvision", "DEF")
for _operator in ("nms", "qnms"):
    _library.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def case(
    make: Callable[[], torch.nn.Module],
    size: int,
    *,
    run: bool = True,
    quick: bool = False,
    ignored: Iterable[str] = ("num_batches_tracked",),
    scale: float = 1.0,
    at_least: float = 0.03,
    damped: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Returns a case: names and shapes of a network's tensors, and what it answers.

    Args:
        make: returns the network with 10 classes.
        size: rows and columns of the input.
        run: whether to run it; else names and shapes only, without memory for the weights.
        quick: whether `make test` compares the numbers.
        ignored: parts of names of tensors that zoo's Graph does not have.
        scale: what the image is multiplied by, for a network that depends on its range: a local response normalisation
            does next to nothing to small numbers.
        at_least: as in `generated.answers`.
        damped: as in `generated.arrays`.
    """
    if not run:
        with torch.device("meta"):
            return generated.digest(_shapes(make(), ignored))
    model = make().eval()
    shapes = _shapes(model, ignored)
    wide = None

    def forward(gain: float, flipped: bool) -> tuple[np.ndarray, np.ndarray | None]:
        nonlocal wide
        loaded = {key: torch.from_numpy(value) for key, value in generated.arrays(shapes, gain, damped).items()}
        _, unexpected = model.float().load_state_dict(loaded, strict=False)
        assert not unexpected, unexpected
        pixels = generated.image(size)[:, :, :: -1 if flipped else 1] * np.float32(scale)
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        with torch.no_grad():
            single = None if flipped else _first(model(x)).numpy()
            return _first(model.double()(x.double())).numpy(), single

    found = {**generated.digest(shapes), "size": size, **generated.answers(forward, at_least=at_least)}
    found |= {"scale": scale} if scale != 1 else {}
    found |= {"damped": dict(damped)} if damped else {}
    return {**found, "quick": True} if quick else found


def timm_network(name: str, **options: Any) -> torch.nn.Module:
    """Returns timm's network of a name, with 10 classes."""
    import timm  # behind the operators above

    return timm.create_model(name, num_classes=generated.CLASSES, **options)


def renamed_network(name: str) -> torch.nn.Module:
    """Returns one of torchvision's networks with its parts renamed by pretrainedmodels, with 10 classes."""
    from pretrainedmodels.models import torchvision_models as renaming

    name = name.replace("-", "_")
    original = getattr(renaming.models, name)
    # It makes torchvision's network itself, and takes no number of classes.
    with mock.patch.object(renaming.models, name, functools.partial(original, num_classes=generated.CLASSES)):
        network: torch.nn.Module = getattr(renaming, name)(pretrained=None)
    return network


def _shapes(model: torch.nn.Module, ignored: Iterable[str]) -> dict[str, list[int]]:
    state = model.state_dict()
    return {key: list(value.shape) for key, value in state.items() if not any(part in key for part in ignored)}


def _first(output: Any) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output[0]
