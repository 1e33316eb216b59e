"""Makes cases.json: random nodes, and the output shapes that ONNX Runtime gives them.

Run from the repository's root with onnx, onnxruntime and numpy:

    python tests/golden/shapes/make.py
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
BATCH = 3
DICE = random.Random(4)
onnxruntime.set_default_logger_severity(4)


def some(low, high, count):
    return [DICE.randint(low, high) for _ in range(count)]


def image():
    return [-1, DICE.choice([1, 2, 4, 6]), *some(3, 17, 2)]


def window(pool):
    attrs = {"kernel_shape": some(1, 4, 2), "strides": some(1, 3, 2), "dilations": some(1, 2, 2)}
    kind = DICE.random()
    if kind < 0.6:
        attrs["pads"] = some(0, 1, 4)
    else:
        attrs["auto_pad"] = "SAME_UPPER" if kind < 0.8 else "VALID"
        if pool:
            attrs["dilations"] = [1, 1]
    if pool and kind < 0.6 and DICE.random() < 0.6:
        attrs["ceil_mode"] = 1
    return attrs


def conv():
    shape, attrs = image(), window(False)
    groups = DICE.choice([g for g in (1, 2, shape[1]) if shape[1] % g == 0])
    kernel = [groups * DICE.randint(1, 3), shape[1] // groups, *attrs["kernel_shape"]]
    return "Conv", {**attrs, "group": groups}, [shape, kernel, [kernel[0]]]


def conv_transpose():
    shape, attrs = image(), window(False)
    attrs.pop("auto_pad", None)
    attrs["dilations"] = [1, 1]
    attrs["output_padding"] = [DICE.randrange(s) for s in attrs["strides"]]
    groups = DICE.choice([1, shape[1]])
    return "ConvTranspose", {**attrs, "group": groups}, [shape, [shape[1], 2, *attrs["kernel_shape"]]]


def pool():
    return DICE.choice(["MaxPool", "AveragePool"]), window(True), [image()]


def elementwise():
    shape = image()
    other = [n if DICE.random() < 0.5 else 1 for n in shape][DICE.randrange(4) :]
    other = [1 if n == -1 else n for n in other]
    shapes = [shape, other] if DICE.random() < 0.5 else [other, shape]
    return DICE.choice(["Add", "Sub", "Mul", "Div", "Pow", "Max", "Greater"]), {}, shapes


def gemm():
    k, m, flip = *some(1, 6, 2), DICE.randrange(2)
    return "Gemm", {"transB": flip}, [[-1, k], [m, k] if flip else [k, m], DICE.choice([[m], [1], [1, m]])]


def matmul():
    k, m = some(1, 6, 2)
    left = [-1, *some(1, 4, DICE.randrange(3)), k]
    right = DICE.choice([[k, m], [-1, *left[1:-2], k, m] if len(left) > 2 else [k, m]])
    return "MatMul", {}, [left, right]


def concat():
    shapes, axis = [image()], DICE.randint(1, 3)
    for _ in range(DICE.randint(0, 2)):
        shapes.append([DICE.randint(1, 5) if i == axis else n for i, n in enumerate(shapes[0])])
    return "Concat", {"axis": axis - DICE.choice([0, 4])}, shapes


def split():
    shape, axis = image(), DICE.randint(1, 3)
    first = DICE.randint(0, shape[axis] - 1)
    sizes = [first, shape[axis] - first] if first else [shape[axis]]
    return "Split", {"axis": axis, "split": sizes}, [shape]


def slices():
    shape = image()
    axes = DICE.sample([1, 2, 3, -1, -2][:3], DICE.randint(1, 3))
    steps = [DICE.choice([1, 1, 2, -1, -2]) for _ in axes]
    starts = [DICE.choice([0, 1, -2]) if s > 0 else DICE.choice([-1, 99]) for s in steps]
    ends = [DICE.choice([2**31 - 1, -1, 7, 2**63 - 1]) if s > 0 else DICE.choice([-(2**31), 0, -99]) for s in steps]
    return "Slice", {"starts": starts, "ends": ends, "axes": axes, "steps": steps}, [shape]


def gather():
    indices = DICE.choice([[], [2], [2, 3]])
    return "Gather", {"axis": DICE.randint(1, 3)}, [image(), indices]


def squeeze():
    shape = [-1, *(DICE.choice([1, 1, 3]) for _ in range(3))]
    axes = [i - DICE.choice([0, 4]) for i, n in enumerate(shape) if n == 1 and DICE.random() < 0.8]
    return "Squeeze", {"axes": axes or [i for i, n in enumerate(shape) if n == 1]}, [shape]


def unsqueeze():
    return "Unsqueeze", {"axes": DICE.choice([[1], [2, 3], [-1], [-1, 1], [1, 5]])}, [image()]


def reshape():
    shape = image()
    c, h, w = shape[1:]
    choices = [[0, -1], [0, c, -1], [0, 0, h * w], [0, h, -1, c], [-1, c * h * w], [0, 1, 0, -1, 1], [-1, c, h * w]]
    return "Reshape", {"shape": DICE.choice(choices)}, [shape]


def pad():
    mode = DICE.choice(["constant", "reflect", "edge"])
    pads = [0, *some(0, 2, 3), 0, *some(0 if mode != "constant" else -1, 2, 3)]
    return "Pad", {"pads": pads, "mode": mode}, [[-1, *some(3, 9, 3)]]


def resize():
    how = {"scales": [1, 1, *(DICE.choice([2, 1.5, 0.7, 3]) for _ in range(2))]}
    return "Resize", {**how, "mode": DICE.choice(["nearest", "linear"])}, [image()]


def resize_to_sizes():
    shape = image()
    return "Resize", {"sizes": [1, shape[1], *some(1, 20, 2)], "mode": "nearest"}, [shape]


def blocks():
    b = DICE.choice([1, 2, 3])
    c, h, w = some(1, 4, 3)
    if DICE.random() < 0.5:
        return "DepthToSpace", {"blocksize": b}, [[-1, c * b * b, h, w]]
    return "SpaceToDepth", {"blocksize": b}, [[-1, c, h * b, w * b]]


def reduce():
    op = DICE.choice(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"])
    axes = DICE.sample([1, 2, 3], DICE.randint(1, 3))
    return op, {"axes": [a - DICE.choice([0, 4]) for a in axes], "keepdims": DICE.randrange(2)}, [image()]


def others():
    shape = image()
    return DICE.choice(
        [
            ("Flatten", {"axis": 1}, [shape]),
            ("Flatten", {"axis": 3}, [[-1, 1, 1, 7]]),
            ("Transpose", {"perm": [0, *DICE.sample([1, 2, 3], 3)]}, [shape]),
            ("Expand", {"shape": [1, 4, *shape[2:]]}, [[-1, 1, *shape[2:]]]),
            ("Expand", {"shape": [5, 1]}, [[-1, 3, 1, 4]]),
            ("Tile", {"repeats": [1, *some(1, 3, 3)]}, [shape]),
            ("ArgMax", {"axis": DICE.randint(1, 3), "keepdims": DICE.randrange(2)}, [shape]),
            ("GlobalAveragePool", {}, [shape]),
            ("Softmax", {"axis": 1}, [shape]),
            ("LRN", {"size": 3}, [shape]),
            ("Clip", {}, [shape]),
            ("BatchNormalization", {}, [shape, *[[shape[1]]] * 4]),
            ("PRelu", {}, [shape, DICE.choice([[1], [shape[1], 1, 1], []])]),
            ("Where", {}, [shape, [shape[1], 1, 1], [1]]),
        ]
    )


# Attributes of a Graph that are inputs in ONNX, in ONNX's order; None stands for an input left out.
INPUTS = {
    "Reshape": ["shape"],
    "Slice": ["starts", "ends", "axes", "steps"],
    "Split": ["split"],
    "Squeeze": ["axes"],
    "Unsqueeze": ["axes"],
    "Pad": ["pads"],
    "Expand": ["shape"],
    "Tile": ["repeats"],
    **{op: ["axes"] for op in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2")},
    "Resize": [None, "scales", "sizes"],
}


def too_small(attrs, shape):
    """Whether a kernel is larger than its padded input, for which ONNX Runtime, dividing towards 0, finds a window."""
    pads = attrs.get("pads", [0] * 4)
    spans = [d * (k - 1) + 1 for k, d in zip(attrs["kernel_shape"], attrs["dilations"], strict=True)]
    padded = [n + pads[i] + pads[i + 2] for i, n in enumerate(shape[2:])]
    return not attrs.get("ceil_mode") and any(n < span for n, span in zip(padded, spans, strict=True))


def answer(op, attrs, shapes):
    attrs = dict(attrs)
    feeds, inputs, constants = {}, [], []
    for i, shape in enumerate(shapes):
        shape = [BATCH if n == -1 else n for n in shape]
        dtype = np.int64 if op == "Gather" and i == 1 else bool if op == "Where" and i == 0 else np.float32
        feeds[f"x{i}"] = np.ones(shape, dtype) if dtype is not np.int64 else np.zeros(shape, dtype)
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        inputs.append(helper.make_tensor_value_info(f"x{i}", kind, shape))
    names = list(feeds)
    for key in INPUTS.get(op, []):
        values = attrs.pop(key, None)
        if key == "sizes" and values:
            values = [BATCH, *values[1:]]
        if values is not None:
            dtype = np.float32 if key == "scales" else np.int64
            constants.append(numpy_helper.from_array(np.array(values, dtype), key))
        names.append(key if values is not None else "")
    while names[-1] == "":
        names.pop()
    count = len(constants[0].dims and numpy_helper.to_array(constants[0])) if op == "Split" else 1
    outputs = [f"y{i}" for i in range(count)]
    kind = {"ArgMax": TensorProto.INT64, "Greater": TensorProto.BOOL}.get(op, TensorProto.FLOAT)
    infos = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
    node = helper.make_node(op, names, outputs, **attrs)
    model = helper.make_model(
        helper.make_graph([node], "g", inputs, infos, constants), opset_imports=[helper.make_opsetid("", 19)]
    )
    model.ir_version = 9
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [list(result.shape) for result in session.run(None, feeds)]


def main():
    makers = [conv, conv, conv_transpose, pool, pool, pool, elementwise, gemm, matmul, concat, split, slices, gather]
    makers += [squeeze, unsqueeze, reshape, pad, resize, resize_to_sizes, blocks, reduce, others, others]
    cases, refused = [], {}
    for _ in range(24):
        for make in makers:
            op, attrs, shapes = make()
            try:
                found = answer(op, attrs, shapes)
            except Exception as error:
                refused.setdefault(op, str(error)[-200:])
                continue
            if any(0 in shape for shape in found) or (op == "MaxPool" and too_small(attrs, shapes[0])):
                continue
            assert all(shape[0] == BATCH for shape in found), (op, attrs, shapes, found)
            cases.append([op, attrs, shapes, [[-1, *shape[1:]] for shape in found]])
    print(f"{len(cases)} cases; refused by ONNX Runtime: {refused}", onnx.__version__, onnxruntime.__version__)
    (HERE / "cases.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
