"""Protobuf messages of ONNX files, as tables; numbers are those of onnx.proto. Only what reading needs is declared.

Names are bytes: files may hold any, and what is no UTF-8 shall not surprise. Subgraphs stay bytes, unread.
"""

from __future__ import annotations

from zoo.formats import protobuf

TABLES: protobuf.Tables = {
    "Model": (
        "ir_version 1 int64",
        "producer_name 2 bytes",
        "graph 7 Graph",
        "opset_import* 8 OperatorSet",
        "functions* 25 Function",
    ),
    "OperatorSet": ("domain 1 bytes", "version 2 int64"),
    "Function": ("name 1 bytes", "domain 10 bytes"),
    "Graph": (
        "node* 1 Node",
        "name 2 bytes",
        "initializer* 5 Tensor",
        "input* 11 ValueInfo",
        "output* 12 ValueInfo",
        "sparse_initializer* 15 Sparse",
    ),
    "Node": (
        "input* 1 bytes",
        "output* 2 bytes",
        "name 3 bytes",
        "op_type 4 bytes",
        "attribute* 5 Attribute",
        "domain 7 bytes",
    ),
    "Attribute": (
        "name 1 bytes",
        "f 2 float",
        "i 3 int64",
        "s 4 bytes",
        "t 5 Tensor",
        "g 6 bytes",
        "floats* 7 float",
        "ints* 8 int64",
        "strings* 9 bytes",
        "graphs* 11 bytes",
        "type 20 int32",
        "ref_attr_name 21 bytes",
        "sparse_tensor 22 bytes",
    ),
    "ValueInfo": ("name 1 bytes", "type 2 Type"),
    "Type": ("tensor_type 1 TensorType",),
    "TensorType": ("elem_type 1 int32", "shape 2 Shape"),
    "Shape": ("dim* 1 Dimension",),
    "Dimension": ("dim_value 1 int64", "dim_param 2 bytes"),
    "Sparse": ("values 1 Tensor",),
    "Tensor": (
        "dims* 1 int64",
        "data_type 2 int32",
        "float_data* 4 float",
        "int32_data* 5 int32",
        "int64_data* 7 int64",
        "name 8 bytes",
        "raw_data 9 bytes",
        "double_data* 10 double",
        "uint64_data* 11 uint64",
        "external_data* 13 Entry",
        "data_location 14 int32",
    ),
    "Entry": ("key 1 bytes", "value 2 bytes"),
}

CLASSES = protobuf.messages("zoo_onnx", TABLES)

# Field numbers that the reader finds in the file itself, so that arrays stay where they are.
MODEL_GRAPH = 7
GRAPH_INITIALIZER = 5
TENSOR_FLOATS, TENSOR_RAW, TENSOR_DOUBLES = 4, 9, 10
