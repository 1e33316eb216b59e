"""`nobuco_convert.py PTH FOLDER`: nobuco makes a Keras 2 model of a PyTorch VGG-16 and saves it, after the imports."""

from __future__ import annotations

import sys
import time

import torch
from protocol import forget_peak, resident, tell
from torch import nn
from torch_vision import operators

declared = operators()
import nobuco  # noqa: E402


def vgg16() -> nn.Module:
    """torchvision's VGG-16 as one Sequential."""
    layers: list[nn.Module] = []
    channels = 3
    for widths in ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)):
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers)


with torch.device("meta"):
    network = vgg16()
forget_peak()
before, start = resident("VmRSS"), time.perf_counter()
state = torch.load(sys.argv[1])
network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)), assign=True)
model = nobuco.pytorch_to_keras(
    network.eval(),
    args=[torch.zeros(1, 3, 224, 224)],
    inputs_channel_order=nobuco.ChannelOrder.TENSORFLOW,
    outputs_channel_order=nobuco.ChannelOrder.TENSORFLOW,
)
model.save(f"{sys.argv[2]}/vgg16.keras")
tell(seconds=time.perf_counter() - start, memory=resident("VmHWM") - before)
