"""Makes the cases in this folder: small ONNX networks, and what ONNX Runtime answers.

Run from the repository's root with onnx, onnxruntime and numpy, after export.py has written networks to FOLDER:

    python tests/golden/onnx/make.py FOLDER

ops/ has one network per op and option; ops.npz.xz their inputs and answers. nets/ has export.py's networks, compressed;
nets.npz.xz their answers and those of a few nodes inside. Their input is a pattern of whole numbers made by the test.
"""

from __future__ import annotations

import io
import lzma
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
RNG = np.random.default_rng(11)
onnxruntime.set_default_logger_severity(3)


def f(*shape, low=-1.0, high=1.0):
    return RNG.uniform(low, high, shape).astype(np.float32)


def i(*numbers):
    return np.array(numbers, dtype=np.int64)


CASES = {}
SHAPE = (3, 7, 6)  # of inputs, unless a case has its own
COUNT = 1  # images at once; two where shapes move


def case(name, opset, nodes, arrays=None, shape=None, *, outputs=("y",), batch="N", listed=False, low=-1.0):
    """Adds a case: nodes are (op, inputs, outputs, attributes); the input is x, the output y."""
    shape = shape or SHAPE
    made = []
    for op, inputs, results, *attrs in nodes:
        made.append(helper.make_node(op, inputs.split(), results.split(), **(attrs[0] if attrs else {})))
        made[-1].input[:] = ["" if n == "_" else n for n in made[-1].input]
    stored = [
        array if isinstance(array, TensorProto) else numpy_helper.from_array(np.asarray(array), key)
        for key, array in (arrays or {}).items()
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])]
    if listed:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in stored]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(made, name, inputs, results, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 3 if opset < 9 else 4 if opset < 15 else 8 if opset < 19 else 10
    x = RNG.uniform(low, 1.0, (batch if isinstance(batch, int) else COUNT, *shape))
    x = (np.ceil(x * 64) / 64).astype(np.float32)  # few bits: the file compresses
    CASES[name] = (model, x)


def one(name, op, attrs=None, opset=13, arrays=None, **more):
    """A case of one node; its arrays are its further inputs."""
    case(name, opset, [(op, " ".join(["x", *(arrays or {})]), "y", attrs or {})], arrays, **more)


# --------------------------------------------------------------------------------------------------------------- cases


def windows():
    w, b = f(5, 3, 3, 3), f(5)
    one("conv", "Conv", arrays={"w": w, "b": b})
    one("conv_no_kernel_shape_pads", "Conv", {"pads": [0, 1, 2, 1], "strides": [2, 1]}, arrays={"w": w})
    one("conv_same_upper", "Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, arrays={"w": w})
    one("conv_same_lower", "Conv", {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, arrays={"w": w})
    one("conv_same_lower_even", "Conv", {"auto_pad": "SAME_LOWER"}, arrays={"w": f(4, 3, 2, 4)})
    one("conv_valid", "Conv", {"auto_pad": "VALID", "dilations": [2, 1]}, arrays={"w": w, "b": b})
    one("conv_group", "Conv", {"group": 3}, arrays={"w": f(6, 1, 3, 3)})
    one("conv_listed_inputs", "Conv", opset=8, arrays={"w": w, "b": b}, listed=True)
    t, group = f(3, 4, 3, 3), f(4, 3, 3, 3)
    one("deconv", "ConvTranspose", {"strides": [2, 2], "pads": [1, 0, 1, 1]}, arrays={"w": t, "b": f(4)})
    one("deconv_output_padding", "ConvTranspose", {"strides": [2, 3], "output_padding": [1, 2]}, arrays={"w": t})
    one("deconv_output_shape", "ConvTranspose", {"strides": [2, 2], "output_shape": [13, 12]}, arrays={"w": t})
    upper = {"strides": [2, 2], "auto_pad": "SAME_UPPER"}
    one("deconv_same_upper", "ConvTranspose", upper, arrays={"w": t})
    one("deconv_same_lower", "ConvTranspose", {**upper, "auto_pad": "SAME_LOWER"}, arrays={"w": t})
    one("deconv_group", "ConvTranspose", {"strides": [2, 2], "group": 2}, arrays={"w": group}, shape=(4, 5, 6))
    for ceil in (0, 1):
        for pads in ([0, 0, 0, 0], [1, 0, 1, 1]):
            tag = f"{'ceil' if ceil else 'floor'}_{sum(pads)}"
            attrs = {"kernel_shape": [3, 2], "strides": [2, 3], "pads": pads, "ceil_mode": ceil}
            one(f"max_pool_{tag}", "MaxPool", attrs)
            one(f"average_pool_{tag}", "AveragePool", attrs)
            one(f"average_pool_include_{tag}", "AveragePool", {**attrs, "count_include_pad": 1}, opset=19)
    for auto in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        attrs = {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": auto}
        one(f"max_pool_{auto.lower()}", "MaxPool", attrs)
        one(f"average_pool_{auto.lower()}", "AveragePool", attrs)
    one("max_pool_old", "MaxPool", {"kernel_shape": [3, 3], "storage_order": 0}, opset=8)
    one("max_pool_dilated", "MaxPool", {"kernel_shape": [2, 3], "dilations": [2, 2], "pads": [1, 1, 1, 1]})
    dilated = {"kernel_shape": [2, 2], "dilations": [2, 2], "pads": [1, 1, 0, 0], "count_include_pad": 1}
    one("average_pool_dilated", "AveragePool", dilated, opset=19)
    one("lp_pool", "LpPool", {"kernel_shape": [2, 2], "strides": [2, 2], "p": 2})
    for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
        one(op, op)


def dense_and_norms():
    one("gemm", "Gemm", {"alpha": 0.5, "beta": 2.0, "transB": 1}, arrays={"w": f(4, 6), "b": f(4)}, shape=(6,))
    one("gemm_bias_one_number", "Gemm", arrays={"w": f(6, 4), "b": f(1)}, shape=(6,))
    one("gemm_bias_row", "Gemm", arrays={"w": f(6, 4), "b": f(1, 4)}, shape=(6,), opset=7)
    one("gemm_no_bias", "Gemm", arrays={"w": f(6, 4)}, shape=(6,))
    wide = {"w": f(6, 4), "b": f(4)}
    case("matmul_add", 13, [("MatMul", "x w", "m"), ("Add", "b m", "y")], wide, (6,))
    case("matmul_add_read_twice", 13, [("MatMul", "x w", "m"), ("Add", "m b", "a"), ("Mul", "a m", "y")], wide, (6,))
    case("matmul_of_map", 13, [("MatMul", "x w", "m"), ("Add", "m b", "y")], {"w": f(6, 4), "b": f(4)})
    values = [("Transpose", "x", "t", {"perm": [0, 1, 3, 2]}), ("MatMul", "x t", "y")]
    case("matmul_of_values", 13, values)
    turned = [("Transpose", "w", "v", {"perm": [1, 0]}), ("MatMul", "x v", "y")]
    case("matmul_stored_transpose", 13, turned, {"w": f(4, 6)}, (6,))
    norm = {"g": f(3, low=0.5), "b": f(3), "m": f(3), "v": f(3, low=0.2)}
    one("batch_norm", "BatchNormalization", {"epsilon": 1e-2}, arrays=norm, opset=15)
    one("batch_norm_7", "BatchNormalization", {"momentum": 0.9}, arrays=norm, opset=7)
    whole = {"g": f(3, 4, 4), "b": f(3, 4, 4), "m": f(3, 4, 4), "v": f(3, 4, 4, low=0.2)}
    one("batch_norm_2d", "BatchNormalization", arrays=norm, shape=(3,))
    one("instance_norm", "InstanceNormalization", {"epsilon": 1e-3}, arrays={"g": f(3), "b": f(3)})
    layer = {"g": f(6), "b": f(6)}
    one("layer_norm", "LayerNormalization", {"epsilon": 1e-3}, opset=17, arrays=layer)
    one("layer_norm_axes", "LayerNormalization", {"axis": 2}, opset=17, arrays={"g": f(7, 6), "b": f(7, 6)})
    one("layer_norm_no_bias", "LayerNormalization", opset=17, arrays={"g": f(6)})
    group = {"g": f(6), "b": f(6)}
    one("group_norm", "GroupNormalization", {"num_groups": 2}, opset=21, arrays=group, shape=(6, 5, 4))
    one("lp_norm", "LpNormalization", {"axis": 1, "p": 2})
    one("mvn", "MeanVarianceNormalization", {"axes": [2, 3]})
    one("lrn", "LRN", {"size": 3, "alpha": 0.3, "beta": 0.6, "bias": 2.0}, shape=(7, 4, 4))
    del whole


def activations():
    for op in ("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Abs", "Exp", "Neg", "Floor", "Ceil", "Sign", "Erf"):
        one(op, op)
    for op in ("Log", "Sqrt", "Reciprocal"):
        one(op, op, low=0.1)
    one("Round", "Round", low=-6.0)
    one("LeakyRelu", "LeakyRelu", {"alpha": 0.3})
    one("Elu", "Elu", {"alpha": 0.7})
    one("Selu", "Selu", {"alpha": 1.5, "gamma": 1.2})
    one("Celu", "Celu", {"alpha": 0.6})
    one("HardSigmoid", "HardSigmoid", {"alpha": 0.7, "beta": 0.4})
    one("HardSwish", "HardSwish", opset=14, low=-5.0)
    one("ThresholdedRelu", "ThresholdedRelu", {"alpha": 0.3})
    one("Mish", "Mish", opset=18)
    one("Gelu", "Gelu", opset=20)
    one("Gelu_tanh", "Gelu", {"approximate": "tanh"}, opset=20)
    one("clip_6", "Clip", {"min": -0.3, "max": 0.5}, opset=7)
    one("clip_6_open", "Clip", {"max": 0.5}, opset=7)
    case("clip_min", 13, [("Clip", "x lo", "y")], {"lo": np.float32(-0.2)})
    case("clip_max", 13, [("Clip", "x _ hi", "y")], {"hi": np.float32(0.2)})
    one("prelu", "PRelu", arrays={"s": f(3, 1, 1)})
    one("prelu_shared", "PRelu", arrays={"s": f(1)})
    one("prelu_by_position", "PRelu", arrays={"s": f(7, 1)})
    for opset in (11, 13):
        one(f"softmax_{opset}", "Softmax", opset=opset)
        one(f"softmax_{opset}_axis2", "Softmax", {"axis": 2}, opset=opset)
        one(f"log_softmax_{opset}", "LogSoftmax", {"axis": 1}, opset=opset, shape=(7,))
    hard = [("Add", "x three", "a"), ("Clip", "a zero six", "c"), ("Mul", "x c", "m"), ("Div", "m six", "y")]
    numbers = {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)}
    case("hard_swish_by_clip", 13, hard, numbers, low=-5.0)
    gelu = [("Div", "x root", "d"), ("Erf", "d", "e"), ("Add", "e one", "a"), ("Mul", "x a", "m"), ("Mul", "m h", "y")]
    case("gelu_by_erf", 13, gelu, {"root": np.float32(2**0.5), "one": np.float32(1), "h": np.float32(0.5)})
    one("dropout_7", "Dropout", {"ratio": 0.3}, opset=7)
    one("dropout_13", "Dropout", opset=13, arrays={"r": np.float32(0.3)})
    case("identity_cast", 13, [("Identity", "x", "a"), ("Cast", "a", "b", {"to": 10}), ("Cast", "b", "y", {"to": 1})])


def arithmetic():
    for op in ("Add", "Sub", "Mul", "Div"):
        one(f"{op}_channel", op, arrays={"c": f(3, 1, 1, low=0.5)})
        case(f"{op}_array_first", 13, [(op, "c x", "y")], {"c": f(6, low=0.5)}, low=0.3)
        case(f"{op}_values", 13, [("Exp", "x", "e"), (op, "x e", "y")])
    one("Pow", "Pow", arrays={"c": np.float32(1.7)}, low=0.1)
    one("Pow_whole_exponent", "Pow", arrays={"c": i(2)}, low=-1.0)
    exp = ("Exp", "x", "e")
    for op in ("Max", "Min", "Sum", "Mean"):
        case(f"{op}_three", 13, [exp, (op, "x e c", "y")], {"c": f(1, 3, 1, 1)})
    case("squeeze_excite", 13, [("GlobalAveragePool", "x", "g"), ("Sigmoid", "g", "s"), ("Mul", "x s", "y")])
    case("where", 16, [("Greater", "x c", "g"), ("Where", "g x d", "y")], {"c": np.float32(0.1), "d": f(3, 1, 1)})
    compare = [("LessOrEqual", "x c", "g"), ("Cast", "g", "k", {"to": 1}), ("Mul", "x k", "y")]
    case("compare_cast", 16, compare, {"c": f(1, 1, 6)})
    case("swish", 13, [("Sigmoid", "x", "s"), ("Mul", "x s", "y")])


def moves():
    exp = ("Exp", "x", "e")
    case("concat", 13, [exp, ("Concat", "x e", "y", {"axis": 1})])
    case("concat_width", 13, [exp, ("Concat", "x e", "y", {"axis": -1})])
    case("split_old", 11, [("Split", "x", "a b", {"axis": 1, "split": [1, 3]}), ("Concat", "b a", "y", {"axis": 1})],
         shape=(4, 5, 6))  # fmt: skip
    case("split_13", 13, [("Split", "x s", "a b", {"axis": -1}), ("Concat", "b a", "y", {"axis": 3})], {"s": i(2, 4)})
    parts = ("Split", "x", "a b c", {"axis": 2, "num_outputs": 3})
    case("split_num_outputs", 18, [parts, ("Concat", "c b a", "y", {"axis": 2})], shape=(2, 8, 3))
    one("slice_9", "Slice", {"starts": [1, 0], "ends": [3, -2], "axes": [1, 3]}, opset=9)
    cut = {"s": i(-1, 1), "e": i(-99, 2**62), "a": i(2, 3), "t": i(-2, 3)}
    one("slice_13_steps", "Slice", arrays=cut)
    one("slice_whole_batch", "Slice", arrays={"s": i(0, 2), "e": i(2**63 - 1, 5), "a": i(0, 2)})
    one("gather_one", "Gather", {"axis": 1}, arrays={"k": np.int64(-1)})
    one("gather_some", "Gather", {"axis": 3}, arrays={"k": i(2, 0, -1)})
    one("squeeze_11", "Squeeze", {"axes": [2]}, opset=11, shape=(3, 1, 4))
    one("squeeze_13", "Squeeze", arrays={"a": i(-2)}, shape=(3, 1, 4))
    case("unsqueeze_11", 11, [("Unsqueeze", "x", "y", {"axes": [2, 3]})], shape=(4,))
    one("unsqueeze_13", "Unsqueeze", arrays={"a": i(2, -1)}, shape=(4,))
    one("flatten", "Flatten")
    case("flatten_dense", 13, [("Flatten", "x", "f", {"axis": 1}), ("Gemm", "f w", "y")], {"w": f(60, 5)}, (3, 4, 5))
    case("flatten_relu_dense", 13, [("Flatten", "x", "f"), ("Relu", "f", "r"), ("MatMul", "r w", "m"),
         ("Add", "m b", "y")], {"w": f(60, 5), "b": f(5)}, (3, 4, 5))  # fmt: skip
    one("flatten_negative", "Flatten", {"axis": -3}, opset=13)
    one("reshape", "Reshape", arrays={"s": i(0, 4, -1)}, shape=(6, 4, 5))
    one("reshape_open_batch", "Reshape", arrays={"s": i(-1, 3, 42)})
    one("reshape_fixed_batch", "Reshape", arrays={"s": i(1, 6, 21)}, batch=1)
    one("transpose", "Transpose", {"perm": [0, 2, 3, 1]})
    one("expand", "Expand", arrays={"s": i(1, 3, 4, 1)}, shape=(3, 1, 5))
    one("tile", "Tile", arrays={"r": i(1, 2, 1, 3)})
    one("pad_10", "Pad", {"pads": [0, 0, 1, 2, 0, 0, 0, 3], "value": 0.5}, opset=10)
    one("pad_13", "Pad", arrays={"p": i(0, 1, 0, 2, 0, 0, 1, 0), "v": np.float32(-2)})
    one("pad_13_reflect", "Pad", {"mode": "reflect"}, arrays={"p": i(0, 0, 2, 1, 0, 0, 1, 3)})
    one("pad_13_edge", "Pad", {"mode": "edge"}, arrays={"p": i(0, 0, 2, 1, 0, 0, 1, 3)})
    one("pad_negative", "Pad", arrays={"p": i(0, 0, -1, 2, 0, 0, 1, -3), "v": np.float32(1)})
    case("pad_18_axes", 18, [("Pad", "x p v a", "y")], {"p": i(1, 0, 2, 1), "v": np.float32(0), "a": i(2, -1)})
    one("depth_to_space", "DepthToSpace", {"blocksize": 2}, shape=(8, 3, 4))
    one("depth_to_space_crd", "DepthToSpace", {"blocksize": 2, "mode": "CRD"}, shape=(8, 3, 4))
    one("space_to_depth", "SpaceToDepth", {"blocksize": 2}, shape=(3, 4, 6))
    grown = {"s": np.float32([1, 1, 2, 3])}
    one("upsample_7", "Upsample", {"scales": [1.0, 1.0, 2.0, 3.0]}, opset=7)
    one("upsample_9_linear", "Upsample", {"mode": "linear"}, opset=9, arrays=grown)
    one("resize_10", "Resize", opset=10, arrays=grown)
    for rule in ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"):
        attrs = {"mode": "linear", "coordinate_transformation_mode": rule}
        case(f"resize_{rule}", 13, [("Resize", "x _ s", "y", attrs)], {"s": np.float32([1, 1, 1.5, 2])})
    for nearest in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
        attrs = {"nearest_mode": nearest}
        case(f"resize_nearest_{nearest}", 13, [("Resize", "x _ _ s", "y", attrs)], {"s": i(2, 3, 11, 5)}, batch=2)
    case("resize_cubic", 13, [("Resize", "x _ s", "y", {"mode": "cubic"})], {"s": np.float32([1, 1, 2, 2])})
    resized = {"mode": "linear", "axes": [2, 3]}
    case("resize_18_axes", 18, [("Resize", "x _ _ s", "y", resized)], {"s": i(12, 4)})
    for op in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"):
        one(op, op, {"axes": [2, 3]}, opset=11)
    one("reduce_mean_18", "ReduceMean", {"keepdims": 0}, opset=18, arrays={"a": i(-1, 2)})
    one("reduce_sum_13", "ReduceSum", {"keepdims": 0}, arrays={"a": i(1)})
    one("reduce_sum_square", "ReduceSumSquare", {"axes": [1]})
    one("reduce_log_sum_exp", "ReduceLogSumExp", {"axes": [1]})
    one("reduce_none", "ReduceSum", {"noop_with_empty_axes": 1})
    for op in ("ArgMax", "ArgMin"):
        case(op, 13, [(op, "x", "k", {"axis": 1}), ("Cast", "k", "y", {"to": 1})])


def exported():
    """What exporters write for a few words of Python."""
    shape = ("Shape", "x", "s")
    flat = [shape, ("Gather", "s zero", "n"), ("Unsqueeze", "n", "u", {"axes": [0]}),
            ("Concat", "u minus", "k", {"axis": 0}), ("Reshape", "x k", "y")]  # fmt: skip
    numbers = {"zero": np.int64(0), "minus": i(-1)}
    case("flatten_by_shape", 11, flat, numbers)
    constants = [("Constant", "", "zero", {"value": numpy_helper.from_array(np.int64(0))}),
                 ("Constant", "", "minus", {"value": numpy_helper.from_array(i(-1))})]  # fmt: skip
    case("flatten_by_constants", 11, [*constants, *flat], batch=1)
    case("constant_floats", 13, [("Constant", "", "c", {"value_floats": [0.5]}), ("Mul", "x c", "y")])
    shuffle = [
        shape,
        *[("Gather", f"s k{n}", f"d{n}") for n in range(4)],
        ("Div", "d1 two", "half"),
        *[("Unsqueeze", f"{n} k0v", f"{n}u") for n in ("d0", "half", "d2", "d3")],
        ("Concat", "d0u twov halfu d2u d3u", "apart", {"axis": 0}),
        ("Reshape", "x apart", "a"),
        ("Transpose", "a", "t", {"perm": [0, 2, 1, 3, 4]}),
        ("Concat", "d0u minus d2u d3u", "joined", {"axis": 0}),
        ("Reshape", "t joined", "y"),
    ]
    numbers = {f"k{n}": np.int64(n) for n in range(4)}
    numbers |= {"two": np.int64(2), "twov": i(2), "k0v": i(0), "minus": i(-1)}
    case("channel_shuffle_by_shape", 13, shuffle, numbers, (6, 3, 4))
    doubled = [shape, ("Slice", "s from to", "hw"), ("Cast", "hw", "f", {"to": 1}), ("Mul", "f times", "g"),
               ("Floor", "g", "h"), ("Cast", "h", "l", {"to": 7}), ("Slice", "s zero from", "nc"),
               ("Concat", "nc l", "z", {"axis": 0}), ("Resize", "x _ _ z", "y", {"mode": "nearest"})]  # fmt: skip
    case("resize_by_shape", 13, doubled, {"from": i(2), "to": i(4), "zero": i(0), "times": np.float32([2, 2])})
    expand = [("GlobalAveragePool", "x", "g"), shape, ("Equal", "s m1", "q"), ("Where", "q ones s", "w"),
              ("Expand", "g w", "e"), ("Add", "e x", "y")]  # fmt: skip
    case("expand_by_shape", 13, expand, {"m1": i(-1), "ones": i(1, 1, 1, 1)})
    made = [("Shape", "x", "s", {"start": 2, "end": 4}), ("ReduceProd", "s", "p", {"keepdims": 1}),
            ("Concat", "zero three p", "z", {"axis": 0}), ("Reshape", "x z", "y")]  # fmt: skip
    case("shape_part", 15, made, {"zero": i(0), "three": i(3)})
    filled = [("ConstantOfShape", "s", "c", {"value": numpy_helper.from_array(f(1))}), ("Add", "x c", "y")]
    case("constant_of_shape", 13, filled, {"s": i(3, 1, 1)})
    nhwc = [("Transpose", "x", "t", {"perm": [0, 3, 1, 2]}), ("Conv", "t w", "c"),
            ("Transpose", "c", "y", {"perm": [0, 2, 3, 1]})]  # fmt: skip
    case("nhwc", 13, nhwc, {"w": f(4, 3, 3, 3)}, (8, 9, 3))
    scaled = [("Mul", "x k", "a"), ("Sub", "a m", "b"), ("Transpose", "b", "t", {"perm": [0, 3, 1, 2]}),
              ("Conv", "t w", "y")]  # fmt: skip
    case("nhwc_preprocessed", 13, scaled, {"w": f(4, 3, 3, 3), "k": np.float32(2), "m": f(3)}, (8, 9, 3))


def storage():
    """Numbers as each field may hold them."""
    w = f(4, 3, 3, 3)

    def listed(kind, values, **more):
        return helper.make_tensor("w", kind, w.shape, values, **more)

    one("float_data", "Conv", arrays={"w": listed(TensorProto.FLOAT, w.ravel().tolist())})
    double = helper.make_tensor("d", TensorProto.DOUBLE, w.shape, w.ravel().astype(np.float64).tolist())
    case("double_data", 13, [("Cast", "d", "w", {"to": 1}), ("Conv", "x w", "y")], {"d": double})
    raw = numpy_helper.from_array(w.astype(np.float64), "d")
    case("double_raw", 13, [("Cast", "d", "w", {"to": 1}), ("Conv", "x w", "y")], {"d": raw})
    half = numpy_helper.from_array(w.astype(np.float16), "h")
    case("half_raw", 13, [("Cast", "h", "w", {"to": 1}), ("Conv", "x w", "y")], {"h": half})
    bits = [int(n) for n in w.astype(np.float16).view(np.uint16).ravel()]
    half = TensorProto(name="h", data_type=TensorProto.FLOAT16, dims=w.shape, int32_data=bits)
    case("half_data", 13, [("Cast", "h", "w", {"to": 1}), ("Conv", "x w", "y")], {"h": half})
    bits = (w.view(np.uint32) >> 16).astype("<u2").tobytes()
    upper = TensorProto(name="h", data_type=TensorProto.BFLOAT16, dims=w.shape, raw_data=bits)
    case("bfloat16_raw", 13, [("Cast", "h", "w", {"to": 1}), ("Conv", "x w", "y")], {"h": upper})
    shape = helper.make_tensor("s", TensorProto.INT64, [3], [0, -1, 6])
    one("int64_data", "Reshape", arrays={"s": shape})
    short = helper.make_tensor("k", TensorProto.INT32, [2], [2, 0])
    one("int32_data", "Gather", {"axis": 1}, arrays={"k": short})


def more_norms():
    """Along the channels, and with arrays of other shapes than usual."""
    turned = [("Transpose", "x", "t", {"perm": [0, 2, 3, 1]}), ("LayerNormalization", "t g b", "n", {"epsilon": 1e-3}),
              ("Transpose", "n", "y", {"perm": [0, 3, 1, 2]})]  # fmt: skip
    case("layer_norm_channels", 17, turned, {"g": f(3), "b": f(3)})
    one("layer_norm_one_number", "LayerNormalization", {"axis": 2}, opset=17, arrays={"g": f(1), "b": f(6)})
    one("layer_norm_of_the_whole_shape", "LayerNormalization", opset=17, arrays={"g": f(3, 7, 6), "b": f(6)})
    group = {"g": f(2), "b": f(2)}
    one("group_norm_18", "GroupNormalization", {"num_groups": 2}, opset=18, arrays=group, shape=(6, 5, 4))


def lines():
    """Windows over one axis."""
    w, b = f(5, 3, 3), f(5)
    line = {"shape": (3, 11)}
    one("conv_1d", "Conv", {"pads": [2, 1], "strides": [2], "dilations": [2]}, arrays={"w": w, "b": b}, **line)
    one("conv_1d_same_group", "Conv", {"auto_pad": "SAME_UPPER", "group": 3}, arrays={"w": f(6, 1, 4)}, **line)
    more = {"strides": [2], "pads": [1, 0], "output_padding": [1]}
    one("deconv_1d", "ConvTranspose", more, arrays={"w": f(3, 4, 3), "b": f(4)}, **line)
    for ceil in (0, 1):
        attrs = {"kernel_shape": [3], "strides": [2], "pads": [1, 0], "ceil_mode": ceil}
        one(f"max_pool_1d_{ceil}", "MaxPool", attrs, shape=(3, 12))
        one(f"average_pool_1d_{ceil}", "AveragePool", attrs, shape=(3, 12), opset=19)
    for op in ("GlobalAveragePool", "GlobalMaxPool"):
        one(f"{op}_1d", op, **line)
    norm = {"g": f(3, low=0.5), "b": f(3), "m": f(3), "v": f(3, low=0.2)}
    one("batch_norm_1d", "BatchNormalization", arrays=norm, **line)
    # Efficient channel attention, as PyTorch exports it.
    along = [("GlobalAveragePool", "x", "g"), ("Squeeze", "g last", "s"), ("Transpose", "s", "t", {"perm": [0, 2, 1]}),
             ("Conv", "t w", "c", {"pads": [1, 1]}), ("Transpose", "c", "u", {"perm": [0, 2, 1]}),
             ("Unsqueeze", "u last", "e"), ("Sigmoid", "e", "k"), ("Mul", "x k", "y")]  # fmt: skip
    case("channel_attention", 13, along, {"last": i(-1), "w": f(1, 1, 3)}, (6, 4, 5))


def branch(name, nodes, arrays=None):
    """A subgraph whose output is named as it."""
    made = [helper.make_node(op, inputs.split(), [result], **(attrs[0] if attrs else {}))
            for op, inputs, result, *attrs in nodes]  # fmt: skip
    stored = [numpy_helper.from_array(np.asarray(array), key) for key, array in (arrays or {}).items()]
    return helper.make_graph(made, name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)], stored)


def branches():
    """If, whose condition can be told while reading."""
    scaled = branch("scaled", [("Relu", "x", "r"), ("Mul", "r k", "scaled")], {"k": f(3, 1, 1, low=0.5)})
    negative = branch("negative", [("Neg", "x", "n"), ("Add", "n k", "negative")], {"k": f(3, 1, 1, low=0.5)})
    both = {"then_branch": scaled, "else_branch": negative}
    for taken in (True, False):
        case(f"if_{str(taken).lower()}", 13, [("If", "c", "y", both)], {"c": np.array(taken)})
    squeezed = branch("squeezed", [("Squeeze", "g axes", "squeezed")], {"axes": i(3)})
    kept = branch("kept", [("Identity", "g", "kept")])
    sizes = [("GlobalAveragePool", "x", "g"), ("Shape", "g", "s"), ("Gather", "s three", "n"), ("Equal", "n one", "c"),
             ("If", "c", "q", {"then_branch": squeezed, "else_branch": kept}), ("Squeeze", "q two", "y")]  # fmt: skip
    case("if_of_size", 13, sizes, {"three": np.int64(3), "one": np.int64(1), "two": i(2)})
    inner = branch("inner", [("Exp", "a", "inner")])
    other = branch("other", [("Identity", "a", "other")])
    outer = branch("outer", [("Abs", "x", "a"), ("Not", "c", "d"),
                             ("If", "d", "outer", {"then_branch": other, "else_branch": inner})])  # fmt: skip
    nested = {"then_branch": outer, "else_branch": kept_of_x()}
    case("if_in_if", 13, [("If", "c", "z", nested), ("Neg", "z", "y")], {"c": np.array(True)})


def kept_of_x():
    return branch("kept", [("Identity", "x", "kept")])


def quantized():
    """Weights of few bits, which a network turns into numbers before it uses them."""
    whole = RNG.integers(-100, 100, (4, 3, 3, 3)).astype(np.int8)
    scale, points = f(4, low=0.004, high=0.02), RNG.integers(-9, 9, 4).astype(np.int8)
    conv = ("Conv", "x w b", "y")
    bias = RNG.integers(-300, 300, 4).astype(np.int32)
    per = [("DequantizeLinear", "q s z", "w", {"axis": 0}), ("DequantizeLinear", "p t", "b"), conv]
    case("dequantize_channels", 13, per, {"q": whole, "s": scale, "z": points, "p": bias, "t": np.float32(0.003)})
    one_for_all = [("DequantizeLinear", "q s z", "w"), ("Conv", "x w", "y")]
    bytes_ = RNG.integers(0, 255, (4, 3, 3, 3)).astype(np.uint8)
    case("dequantize_all", 13, one_for_all, {"q": bytes_, "s": np.float32(0.01), "z": np.uint8(120)})
    blocks = [("DequantizeLinear", "q s", "w", {"axis": 1, "block_size": 4}), ("MatMul", "x w", "y")]
    rows = RNG.integers(-100, 100, (6, 8)).astype(np.int8)
    case("dequantize_blocks", 21, blocks, {"q": rows, "s": f(6, 2, low=0.004, high=0.02)}, (6,))


# ---------------------------------------------------------------------------------------------------------------- runs


def answers(model, feeds, names):
    model = onnx.ModelProto.FromString(model.SerializeToString())
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(
        helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names if n not in known
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(list(names), feeds)


def pattern(channels, height, width, batch):
    n, c, y, x = np.meshgrid(*(np.arange(k) for k in (batch, channels, height, width)), indexing="ij")
    waves = (x * (7 + 3 * c) + y * (11 - 2 * c) + 40 * c + 90 * n) % 512 - 256
    return ((np.abs(waves) - 128) / 64).astype(np.float32)


def keep(path, arrays):
    """Uncompressed inside .xz: the many small arrays share what they have in common."""
    held = io.BytesIO()
    np.savez(held, **arrays)
    path.write_bytes(lzma.compress(held.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def make_ops():
    global COUNT
    shutil.rmtree(HERE / "ops", ignore_errors=True)
    (HERE / "ops").mkdir()
    newer = (lines, branches, quantized)  # behind the others, whose numbers stay as they are
    for make in (windows, dense_and_norms, activations, arithmetic, moves, exported, storage, more_norms, *newer):
        COUNT = 2 if make in (moves, exported, dense_and_norms, more_norms) else 1
        make()
    arrays = {}
    for name, (model, x) in CASES.items():
        try:
            (y,) = answers(model, {"x": x}, ["y"])
        except Exception as error:
            print(f"{name}: left out: {str(error)[:300]}")
            continue
        assert np.isfinite(y).all(), name
        assert np.abs(y).max() > 0, name
        if name not in ("Sign", "Floor", "Ceil", "ArgMax", "ArgMin"):
            (other,) = answers(model, {"x": x[..., ::-1] * np.float32(0.6)}, ["y"])
            assert np.abs(other - y).max() > 1e-3 * np.abs(y).max(), f"{name}: the output does not follow the input"
        (HERE / "ops" / f"{name}.onnx").write_bytes(model.SerializeToString())
        arrays[f"{name}/x"], arrays[f"{name}/y"] = x, y
    keep(HERE / "ops.npz.xz", arrays)


def coarse(array, bits=4):
    """Few bits again, which exporters lose where they put batch normalisation into kernels."""
    scale = 2.0 ** (np.floor(np.log2(np.abs(array).max())) - bits)
    return (np.round(array / scale) * scale).astype(np.float32)


def make_nets(folder):
    shutil.rmtree(HERE / "nets", ignore_errors=True)
    (HERE / "nets").mkdir()
    arrays = {}
    for path in sorted(folder.glob("*.onnx")):
        model = onnx.load(path)
        for node in model.graph.node:  # where in the Python source each node came from: half of a file
            del node.metadata_props[:]
            node.doc_string = ""
        for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
            value.doc_string = ""
            del value.metadata_props[:]
        del model.graph.value_info[:]
        del model.graph.metadata_props[:]
        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.ndim > 1 and array.dtype == np.float32:
                tensor.CopyFrom(numpy_helper.from_array(coarse(array), tensor.name))
        shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
        x = pattern(*shape[1:], batch=shape[0] or 2)
        kinds = ("Conv", "Relu", "BatchNormalization", "GlobalAveragePool", "MaxPool")
        inside = [node.output[0] for node in model.graph.node if node.op_type in kinds]
        found = answers(model, {"input": x}, inside)
        inside = [n for n, v in zip(inside, found, strict=True) if v.ndim == 4 and 1 < v.size < 1500]
        chosen = inside[:: max(len(inside) // 3, 1)][:4]
        names = [*chosen, model.graph.output[0].name]
        for name, value in zip(names, answers(model, {"input": x}, names), strict=True):
            assert np.isfinite(value).all()
            arrays[f"{path.stem}/{name}"] = value
        raw = model.SerializeToString()
        packed = lzma.compress(raw, preset=9)
        (HERE / "nets" / f"{path.stem}.onnx.xz").write_bytes(packed)
        print(path.stem, len(raw), len(packed), chosen)
    keep(HERE / "nets.npz.xz", arrays)


if __name__ == "__main__":
    make_ops()
    if len(sys.argv) > 1:
        make_nets(Path(sys.argv[1]))
