"""Writes narrow networks of torchvision's families as ONNX files, for make.py.

Run with torch, torchvision, onnx and onnxscript:

    python tests/golden/onnx/export.py FOLDER

Families are torchvision's own definitions at full depth (DenseNet and ConvNeXt: fewer blocks) with channels divided.
Weights have few bits, so that the files compress. Half of the files have a fixed batch, as `torch.onnx.export` makes
them by default; those named `*_dynamo` come from torch's newer exporter.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

stub = ModuleType("torchvision.extension")  # its compiled operators do not load beside every torch
stub._HAS_OPS = False
stub._has_ops = lambda: False
stub._assert_has_ops = lambda: None
stub._check_cuda_version = lambda: -1
stub._load_library = lambda name: False
sys.modules["torchvision.extension"] = stub
sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")

import torch  # noqa: E402
from torch import nn  # noqa: E402


@contextmanager
def narrow(k):
    """Divides the channels of layers that are made meanwhile."""
    kept = {kind: kind.__init__ for kind in (nn.Conv2d, nn.BatchNorm2d, nn.Linear)}

    def less(n):
        return n if n <= 3 else max(1, n // k)

    def conv(self, inputs, outputs, *args, groups=1, **more):
        inputs_, outputs_ = less(inputs), less(outputs)
        if groups == inputs:
            groups = inputs_
        elif groups > 1:
            groups = 2 if inputs_ % 2 == outputs_ % 2 == 0 else 1
        kept[nn.Conv2d](self, inputs_, outputs_, *args, groups=groups, **more)

    nn.Conv2d.__init__ = conv
    nn.BatchNorm2d.__init__ = lambda self, n, *a, **m: kept[nn.BatchNorm2d](self, less(n), *a, **m)
    nn.Linear.__init__ = lambda self, in_features, out_features, *a, **m: kept[nn.Linear](
        self, less(in_features), less(out_features), *a, **m
    )
    try:
        yield
    finally:
        for kind, init in kept.items():
            kind.__init__ = init


def pattern(channels, height, width, batch=2):
    """A smooth coloured pattern of whole numbers, the same in tests/formats/test_onnx.py."""
    n, c, y, x = torch.meshgrid(*(torch.arange(k) for k in (batch, channels, height, width)), indexing="ij")
    waves = (x * (7 + 3 * c) + y * (11 - 2 * c) + 40 * c + 90 * n) % 512 - 256
    return (waves.abs() - 128).float() / 64


def coarse(tensor, bits=5):
    scale = 2.0 ** torch.floor(torch.log2(tensor.abs().max().clamp(min=1e-9)) - bits)
    return (tensor / scale).round() * scale


def randomise(model, x, seed):
    """Random weights; running statistics from one batch, then shifted."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            module.weight.data = coarse(module.weight.data)
            if module.bias is not None:
                module.bias.data = coarse(torch.rand_like(module.bias) * 0.1)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            module.weight.data = coarse(1 + torch.rand_like(module.weight))
            module.bias.data = coarse(torch.randn_like(module.bias) * 0.3)
        elif isinstance(module, nn.LayerNorm):
            module.weight.data = coarse(1 + torch.rand_like(module.weight))
            module.bias.data = coarse(torch.randn_like(module.bias) * 0.3)
        elif type(module).__name__ == "CNBlock":
            module.layer_scale.data = coarse(0.5 + torch.rand_like(module.layer_scale))
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout) or type(module).__name__ == "StochasticDepth":
            module.eval()
    with torch.no_grad():
        model(x)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = coarse(module.running_mean + 0.1 * torch.randn_like(module.running_mean), 8)
            module.running_var = coarse(module.running_var * (0.8 + 0.4 * torch.rand_like(module.running_var)), 8)
    return model.eval()


def families():
    from torchvision import models
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt
    from torchvision.models.densenet import DenseNet

    heads = {"aux_logits": False, "init_weights": False}
    return {  # name -> (divisor, input size, fixed batch, made)
        "alexnet": (32, 224, True, lambda: models.alexnet(num_classes=320)),
        "vgg11_bn": (64, 224, False, lambda: models.vgg11_bn(num_classes=640)),
        "resnet18": (16, 64, True, lambda: models.resnet18(num_classes=160)),
        "resnext50": (32, 64, False, lambda: models.resnext50_32x4d(num_classes=320)),
        "densenet": (8, 64, True, lambda: DenseNet(32, (2, 3, 2, 2), 64, num_classes=80)),
        "squeezenet1_0": (8, 96, False, lambda: models.squeezenet1_0(num_classes=80)),
        "mobilenet_v2": (8, 64, True, lambda: models.mobilenet_v2(num_classes=80)),
        "mobilenet_v3_small": (8, 64, False, lambda: models.mobilenet_v3_small(num_classes=80)),
        "shufflenet_v2": (8, 64, False, lambda: models.shufflenet_v2_x0_5(num_classes=80)),
        "shufflenet_v2_fixed": (8, 64, True, lambda: models.shufflenet_v2_x0_5(num_classes=80)),
        "googlenet": (16, 96, False, lambda: models.googlenet(num_classes=160, transform_input=True, **heads)),
        "inception_v3": (16, 107, True, lambda: models.inception_v3(num_classes=160, **heads)),
        "efficientnet_b0": (8, 64, False, lambda: models.efficientnet_b0(num_classes=80)),
        "regnet_y": (4, 64, True, lambda: models.regnet_y_400mf(num_classes=40)),
        "mnasnet": (8, 64, False, lambda: models.mnasnet0_5(num_classes=80)),
        "convnext": (
            1,
            64,
            False,
            lambda: ConvNeXt(
                [CNBlockConfig(12, 24, 1), CNBlockConfig(24, 48, 1), CNBlockConfig(48, None, 2)], 0.1, num_classes=10
            ),
        ),
    }


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    newer = ("resnet18", "convnext", "mobilenet_v3_small", "shufflenet_v2_fixed")
    for seed, (name, (k, size, fixed, make)) in enumerate(families().items()):
        if (folder / f"{name}.onnx").exists():
            continue
        with narrow(k):
            model = make()
        x = pattern(3, size, size)
        randomise(model, x, seed)
        with torch.no_grad():
            a, b = model(x), model(x.flip(1) * 0.5)
        moved = ((a - b).abs().max() / a.abs().max()).item()
        assert moved > 0.01, f"{name}: the output hardly depends on the input ({moved})"
        axes = None if fixed else {"input": {0: "batch"}, "output": {0: "batch"}}
        path = folder / f"{name}.onnx"
        common = {"input_names": ["input"], "output_names": ["output"]}
        torch.onnx.export(
            model, (x[:1],), str(path), dynamo=False, dynamic_axes=axes, do_constant_folding=fixed, **common
        )
        if name in newer:
            program = torch.onnx.export(model, (x[:1],), dynamo=True, **common)
            program.save(str(folder / f"{name}_dynamo.onnx"), external_data=False)
        print(name, path.stat().st_size)


if __name__ == "__main__":
    main()
