"""Protobuf messages of TensorFlow's graphs, from tables; names and numbers are those of tensorflow/core/framework.

Maps are written as what they are on the wire: repeated entries of a key and a value. Text is declared as bytes, so that
a damaged name is told as such and not as a parsing error. Fields that no reader needs are left out.
"""

from __future__ import annotations

from zoo.formats import protobuf

TABLES: dict[str, tuple[str, ...]] = {
    "NodeDef": ("name 1 bytes", "op 2 bytes", "input* 3 bytes", "attr* 5 AttrEntry"),
    "AttrEntry": ("key 1 bytes", "value 2 AttrValue"),
    "AttrValue": (
        "list 1 ListValue",
        "s 2 bytes",
        "i 3 int64",
        "f 4 float",
        "b 5 bool",
        "type 6 int32",
        "shape 7 TensorShape",
        "tensor 8 Tensor",
        "func 10 NameAttrList",
    ),
    "ListValue": ("s* 2 bytes", "i* 3 int64", "f* 4 float", "b* 5 bool", "type* 6 int32", "shape* 7 TensorShape"),
    "NameAttrList": ("name 1 bytes",),
    "TensorShape": ("dim* 2 Dim", "unknown_rank 3 bool"),
    "Dim": ("size 1 int64",),
    "Tensor": (
        "dtype 1 int32",
        "tensor_shape 2 TensorShape",
        "tensor_content 4 bytes",
        "float_val* 5 float",
        "double_val* 6 double",
        "int_val* 7 int32",
        "string_val* 8 bytes",
        "int64_val* 10 int64",
        "bool_val* 11 bool",
        "half_val* 13 int32",
        "uint32_val* 16 uint32",
        "uint64_val* 17 uint64",
    ),
    "OpDef": ("name 1 bytes", "input_arg* 2 ArgDef", "output_arg* 3 ArgDef"),
    "ArgDef": ("name 1 bytes",),
    "FunctionDef": ("signature 1 OpDef", "ret* 4 TextEntry"),
    "TextEntry": ("key 1 bytes", "value 2 bytes"),
    "MetaInfo": ("tags* 4 bytes",),
    "SignatureEntry": ("key 1 bytes", "value 2 Signature"),
    "Signature": ("inputs* 1 InfoEntry", "outputs* 2 InfoEntry"),
    "InfoEntry": ("key 1 bytes", "value 2 TensorInfo"),
    "TensorInfo": ("name 1 bytes", "dtype 2 int32", "tensor_shape 3 TensorShape"),
    "ObjectGraph": ("nodes* 1 TrackedObject",),
    "TrackedObject": ("attributes* 2 TrackedTensor",),
    "TrackedTensor": ("name 1 bytes", "full_name 2 bytes", "checkpoint_key 3 bytes"),
}
CLASSES = protobuf.messages("zoo_tensorflow", TABLES)

# DataType -> NumPy's name (types.proto); references are these plus 100.
DTYPES: dict[int, str] = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    19: "float16",
    20: "resource",
    22: "uint32",
    23: "uint64",
}
