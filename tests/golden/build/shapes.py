"""Cases of ops that move data, and of resizing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from cases import case, one, random

# Moving data
one("Transpose", "Transpose", lambda x, p: x.permute(0, 3, 1, 2), attrs={"perm": [0, 3, 1, 2]})
nodes = [
    ["Transpose", "last", ["x"], {"perm": [0, 2, 3, 1]}],
    ["Reshape", "flat", ["last"], {"shape": [-1, 60]}],
    ["Gemm", "fc", ["flat", "w"], {}],
]
case(
    "Transpose_flatten_dense",
    (3, 4, 5),
    nodes,
    {"w": random(60, 4)},
    lambda x, p: x.permute(0, 2, 3, 1).flatten(1) @ p["w"],
)
nodes = [
    ["Transpose", "turn", ["x"], {"perm": [0, 1, 3, 2]}],
    ["Conv", "conv", ["turn", "w"], {}],
    ["Relu", "act", ["turn"], {}],
    ["Concat", "both", ["conv", "act"], {"axis": 1}],
]
case(
    "Transpose_two_readers",
    (3, 4, 5),
    nodes,
    {"w": random(2, 3, 1, 1)},
    lambda x, p: torch.cat([F.conv2d(x.mT, p["w"]), F.relu(x.mT)], 1),
)
nodes = [["Reshape", "new", ["x"], {"shape": [0, 5, -1, 4]}], ["Conv", "conv", ["new", "w"], {}]]
case("Reshape_mixed", (3, 4, 5), nodes, {"w": random(2, 5, 1, 1)}, lambda x, p: F.conv2d(x.reshape(2, 5, 3, 4), p["w"]))
nodes = [["Reshape", "new", ["x"], {"shape": [0, 0, -1]}], ["Softmax", "act", ["new"], {"axis": 2}]]
case("Reshape_positions", (3, 4, 5), nodes, {}, lambda x, p: x.flatten(2).softmax(2))
nodes = [
    ["Reshape", "new", ["x"], {"shape": [0, 2, 3, 20]}],
    ["ReduceMax", "act", ["new"], {"axes": [1], "keepdims": 0}],
]
case("Reshape_maxout", (6, 4, 5), nodes, {}, lambda x, p: x.reshape(2, 2, 3, 20).amax(1))
nodes = [
    ["GlobalAveragePool", "pool", ["x"], {}],
    ["Squeeze", "vector", ["pool"], {"axes": [2, 3]}],
    ["Gemm", "fc", ["vector", "w"], {}],
    ["Unsqueeze", "map", ["fc"], {"axes": [2, -1]}],
    ["Mul", "out", ["map", "x"], {}],
]
case(
    "Squeeze_Unsqueeze",
    (3, 4, 5),
    nodes,
    {"w": random(3, 3)},
    lambda x, p: (x.mean((2, 3)) @ p["w"])[:, :, None, None] * x,
)
nodes = [
    ["ReduceMax", "row", ["x"], {"axes": [2]}],
    ["Squeeze", "gone", ["row"], {}],
    ["Unsqueeze", "back", ["gone"], {"axes": [1]}],
]
case("Squeeze_height", (3, 4, 5), nodes, {}, lambda x, p: x.amax(2)[:, None])
nodes = [
    ["Flatten", "a", ["x"], {}],
    ["MaxPool", "pool", ["x"], {"kernel_shape": [2, 2]}],
    ["Flatten", "b", ["pool"], {}],
    ["Concat", "both", ["a", "b"], {"axis": -1}],
    ["Gemm", "fc", ["both", "w"], {}],
]
case(
    "Concat_of_flattened_maps",
    (2, 3, 4),
    nodes,
    {"w": random(36, 3)},
    lambda x, p: torch.cat([x.flatten(1), F.max_pool2d(x, 2, 1).flatten(1)], 1) @ p["w"],
)
for axis in (1, 2, -1):
    nodes = [["Relu", "a", ["x"], {}], ["Concat", "out", ["a", "x", "a"], {"axis": axis}]]
    case(f"Concat_axis_{axis}", (2, 3, 4), nodes, {}, lambda x, p, a=axis: torch.cat([F.relu(x), x, F.relu(x)], a))
for name, axis, sizes in (("channels", 1, [1, 3, 2]), ("height", -2, [2, 1, 1]), ("equal", 1, None)):
    attrs = {"axis": axis} | ({"split": sizes} if sizes else {})
    nodes = [["Split", "parts", ["x"], attrs, ["p0", "p1", "p2"]], ["Concat", "out", ["p2", "p0"], {"axis": axis}]]
    case(
        f"Split_{name}",
        (6, 4, 5),
        nodes,
        {},
        lambda x, p, a=(sizes or 2, axis): torch.cat([x.split(*a)[2], x.split(*a)[0]], a[1]),
    )
one("Split_first_output", "Split", lambda x, p: x[:, :1], attrs={"axis": 1, "split": [1, 2]}, outputs=["a", "b"])
for name, attrs, compute in (
    ("channels", {"starts": [1], "ends": [3], "axes": [1]}, lambda x: x[:, 1:3]),
    ("map", {"starts": [1, -3], "ends": [2**31 - 1, -1], "axes": [2, 3]}, lambda x: x[:, :, 1:, -3:-1]),
    ("steps", {"starts": [0, 1], "ends": [9, 2**62], "axes": [-2, 3], "steps": [2, 3]}, lambda x: x[:, :, ::2, 1::3]),
    ("back", {"starts": [-1], "ends": [-(2**62)], "axes": [1], "steps": [-1]}, lambda x: x.flip(1)),
    ("all_axes", {"starts": [0, 1, 0, 2], "ends": [2**31, 3, 2, 4]}, lambda x: x[:, 1:3, 0:2, 2:4]),
):
    one(f"Slice_{name}", "Slice", lambda x, p, f=compute: f(x), attrs=attrs)
for name, axis, indices, compute in (
    ("channels", 1, [2, 0, -1], lambda x: x[:, [2, 0, -1]]),
    ("one", 1, -2, lambda x: x[:, -2]),
    ("row", 2, 1, lambda x: x[:, :, 1]),
):
    one(f"Gather_{name}", "Gather", lambda x, p, f=compute: f(x), attrs={"axis": axis}, inputs=("x", "i"), i=indices)
for name, attrs, compute in (
    ("zeros", {"pads": [0, 0, 1, 2, 0, 0, 0, 3]}, lambda x: F.pad(x, (2, 3, 1, 0))),
    ("value", {"pads": [0, 0, 1, 2, 0, 0, 0, 3], "value": -1.5}, lambda x: F.pad(x, (2, 3, 1, 0), value=-1.5)),
    ("channels", {"pads": [0, 1, 0, 0, 0, 2, 0, 0]}, lambda x: F.pad(x, (0, 0, 0, 0, 1, 2))),
    ("negative", {"pads": [0, 0, -1, 2, 0, -1, 0, -1]}, lambda x: F.pad(x, (2, -1, -1, 0, 0, -1))),
    ("reflect", {"pads": [0, 0, 2, 1, 0, 0, 1, 3], "mode": "reflect"}, lambda x: F.pad(x, (1, 3, 2, 1), "reflect")),
    ("edge", {"pads": [0, 0, 2, 1, 0, 0, 1, 3], "mode": "edge"}, lambda x: F.pad(x, (1, 3, 2, 1), "replicate")),
    ("wrap", {"pads": [0, 0, 2, 1, 0, 0, 1, 3], "mode": "wrap"}, lambda x: F.pad(x, (1, 3, 2, 1), "circular")),
):
    one(f"Pad_{name}", "Pad", lambda x, p, f=compute: f(x), attrs=attrs)
nodes = [["ReduceMean", "m", ["x"], {"axes": [1, 3]}], ["Expand", "out", ["m"], {"shape": [1, 2, 1, 3]}]]
case("Expand", (3, 4, 5), nodes, {}, lambda x, p: x.mean((1, 3), keepdim=True).expand(2, 2, 4, 3))
one("Tile", "Tile", lambda x, p: x.repeat(1, 2, 1, 3), attrs={"repeats": [1, 2, 1, 3]})
attrs = {"blocksize": 2, "mode": "CRD"}
one("DepthToSpace_CRD", "DepthToSpace", lambda x, p: F.pixel_shuffle(x, 2), shape=(8, 3, 4), attrs=attrs)
one(
    "DepthToSpace_DCR",
    "DepthToSpace",
    lambda x, p: F.pixel_shuffle(x.reshape(2, 4, 2, 3, 4).swapaxes(1, 2).flatten(1, 2), 2),
    shape=(8, 3, 4),
    attrs={"blocksize": 2},
)
one(
    "SpaceToDepth",
    "SpaceToDepth",
    lambda x, p: F.pixel_unshuffle(x, 2).reshape(2, 2, 4, 2, 3).swapaxes(1, 2).flatten(1, 2),
    shape=(2, 4, 6),
    attrs={"blocksize": 2},
)

# Resizing. torch knows half-pixel centres and aligned corners; the other rules are written out from ONNX's text
HALF = {"coordinate_transformation_mode": "half_pixel"}
CORNERS = {"coordinate_transformation_mode": "align_corners"}
ASYMMETRIC = {"coordinate_transformation_mode": "asymmetric"}
for name, size in (("up", (9, 10)), ("down", (3, 2)), ("one", (1, 7))):
    sizes = {"sizes": [1, 2, *size]}
    for mode, torch_mode in (("linear", "bilinear"), ("cubic", "bicubic")):
        for rule, attrs in (("half", HALF), ("corners", CORNERS)):
            one(
                f"Resize_{mode}_{rule}_{name}",
                "Resize",
                lambda x, p, a=(size, torch_mode, rule == "corners"): F.interpolate(
                    x, a[0], mode=a[1], align_corners=a[2]
                ),
                shape=(2, 5, 6),
                attrs={"mode": mode, **attrs, **sizes},
            )
    for rule, attrs, torch_mode in (
        ("asymmetric_floor", {**ASYMMETRIC, "nearest_mode": "floor"}, "nearest"),
        ("half_ceil", {**HALF, "nearest_mode": "round_prefer_ceil"}, "nearest-exact"),
    ):
        one(
            f"Resize_{rule}_{name}",
            "Resize",
            lambda x, p, a=(size, torch_mode): F.interpolate(x, a[0], mode=a[1]),
            shape=(2, 5, 6),
            attrs={"mode": "nearest", **attrs, **sizes},
        )
one(
    "Resize_pytorch_half_pixel_one",
    "Resize",
    lambda x, p: F.interpolate(x, (5, 9), mode="bilinear")[:, :, :1],
    shape=(2, 5, 6),
    attrs={"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel", "sizes": [1, 2, 1, 9]},
)
one(
    "Resize_scales",
    "Resize",
    lambda x, p: F.interpolate(x, scale_factor=(2, 3), mode="nearest"),
    attrs={"mode": "nearest", **ASYMMETRIC, "nearest_mode": "floor", "scales": [1, 1, 2, 3]},
)
one(
    "Resize_scales_not_whole",
    "Resize",
    lambda x, p: F.interpolate(x, scale_factor=(1.3, 0.7), mode="bilinear", recompute_scale_factor=False),
    attrs={"mode": "linear", **HALF, "scales": [1, 1, 1.3, 0.7]},
)
one(
    "Resize_asymmetric_linear",
    "Resize",
    lambda x, p: torch.lerp(
        x[:, :, [0, 0, 1, 1, 2, 2, 3, 3]], x[:, :, [0, 1, 1, 2, 2, 3, 3, 3]], torch.tensor([0, 0.5] * 4)[:, None]
    ),
    attrs={"mode": "linear", **ASYMMETRIC, "sizes": [1, 3, 8, 5]},
)
# places 0, 5/3, 10/3, 5 of corners aligned; 0.5, 1.5, ... of half-pixel centres
for nearest, rows in (("round_prefer_floor", [0, 2, 3, 5]), ("floor", [0, 1, 3, 5]), ("ceil", [0, 2, 4, 5])):
    one(
        f"Resize_corners_{nearest}",
        "Resize",
        lambda x, p, r=rows: x[:, :, r],
        shape=(2, 6, 6),
        attrs={"mode": "nearest", **CORNERS, "nearest_mode": nearest, "sizes": [1, 2, 4, 6]},
    )
for nearest, rows in (("round_prefer_floor", [0, 2, 4]), ("round_prefer_ceil", [1, 3, 5])):
    one(
        f"Resize_half_{nearest}",
        "Resize",
        lambda x, p, r=rows: x[:, :, r],
        shape=(2, 6, 6),
        attrs={"mode": "nearest", **HALF, "nearest_mode": nearest, "sizes": [1, 2, 3, 6]},
    )
one(
    "Resize_tf_half_pixel_for_nn",
    "Resize",
    lambda x, p: x[:, :, [1, 3, 5]],
    shape=(2, 6, 6),
    attrs={"coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor", "sizes": [1, 2, 3, 6]},
)
