"""Modules with random numbers, with the fields that Torch gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from t7 import Long, M

RNG = np.random.default_rng(4)
EMPTY = np.zeros(0, np.float32)


def f(*shape: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    return (RNG.normal(size=shape) * scale + shift).astype(np.float32)


def m(name: str, *children: Any, version: int = 1, **fields: Any) -> M:
    """A module; `nn.` is added where no package is named."""
    name = name if "." in name else f"nn.{name}"
    usual = {"_type": "torch.FloatTensor", "output": EMPTY, "gradInput": EMPTY, "train": False}
    return M(name, *children, version=version, **{**usual, **fields})


def seq(*children: Any) -> M:
    return m("Sequential", *children)


def concat(*children: Any, dimension: int = 2) -> M:
    return m("Concat", *children, dimension=dimension)


def table(*children: Any) -> M:
    return m("ConcatTable", *children)


def conv(
    i: int,
    o: int,
    k: int | tuple[int, int],
    s: int = 1,
    p: int = 0,
    *,
    bias: bool = True,
    groups: int | None = None,
    name: str = "SpatialConvolution",
    **more: Any,
) -> M:
    kh, kw = (k, k) if isinstance(k, int) else k
    shape = (o, i // (groups or 1), kh, kw)
    fields: dict[str, Any] = {"weight": f(*shape, scale=(2 / np.prod(shape[1:])) ** 0.5)}
    if bias:
        fields["bias"] = f(o, scale=0.3)
    if groups is not None:
        fields["groups"] = groups
        name = "cudnn.SpatialConvolution"
    fields.update(nInputPlane=i, nOutputPlane=o, kW=kw, kH=kh, dW=s, dH=s, padW=p, padH=p)
    return m(name, **{**fields, **more})


def bn(n: int, name: str = "SpatialBatchNormalization", *, affine: bool = True, eps: float = 1e-5, **more: Any) -> M:
    fields: dict[str, Any] = {"running_mean": f(n), "running_var": np.abs(f(n)) + 0.3, "eps": eps, "momentum": 0.1}
    if affine:
        fields.update(weight=f(n, scale=0.2, shift=1), bias=f(n, scale=0.2))
    return m(name, version=2, affine=affine, **{**fields, **more})


def linear(i: int, o: int, *, bias: bool = True) -> M:
    fields = {"weight": f(o, i, scale=(2 / i) ** 0.5)}
    if bias:
        fields["bias"] = f(o, scale=0.3)
    return m("Linear", **fields)


def pool(kind: str, k: int, s: int, p: int = 0, *, ceil: bool = False, **more: Any) -> M:
    name = kind if "." in kind or kind.startswith("Spatial") else f"Spatial{kind}Pooling"
    fields: dict[str, Any] = {"kW": k, "kH": k, "dW": s, "dH": s, "padW": p, "padH": p, "ceil_mode": ceil}
    if "Average" in name:
        fields.update(count_include_pad=True, divide=True)
    return m(name, **{**fields, **more})


def relu(**more: Any) -> M:
    return m("ReLU", threshold=0, val=0, inplace=True, **more)


def view(*sizes: int, dims: int | None = None) -> M:
    more = {} if dims is None else {"numInputDims": dims}
    return m("View", size=Long(*sizes), numElements=int(np.prod([n for n in sizes if n > 0])), **more)


def lrn(size: int = 5, alpha: float = 0.5, k: float | None = 1, name: str = "SpatialCrossMapLRN") -> M:
    return m(name, size=size, alpha=alpha, beta=0.75, **({} if k is None else {"k": k}))


def identity() -> M:
    return m("Identity")


def add() -> M:
    return m("CAddTable", inplace=True)


class Graph(M):
    """nn.gModule as nngraph writes it: nodes whose data are shared, `children` pointing forward, `mapindex` by data.

    Args:
        steps: (key, module or None, keys of inputs); a key `x[2]` selects an entry of a table.
        inputs: keys of the network's inputs.
        outputs: keys of its outputs.
        old: as the first nngraph wrote it, whose input node deals the inputs out itself.
    """

    def __init__(
        self, inputs: list[str], steps: list[tuple[str, M | None, list[str]]], outputs: list[str], *, old: bool = False
    ):
        self.inputs, self.steps, self.outputs = inputs, steps, outputs
        data: dict[str, Any] = {}
        nodes: dict[str, M] = {}
        order: list[str] = []

        def node(key: str, reads: list[str], **fields: Any) -> None:
            data[key] = {"annotations": {"_debugLabel": key}, "mapindex": {}, **fields}
            for i, read in enumerate(reads, 1):
                data[key]["mapindex"][i] = data[read]
                data[key]["mapindex"][Same(data[read])] = i
            nodes[key] = M("nngraph.Node", data=data[key], children=[], id=len(order) + 1, visited=False)
            for read in reads:
                nodes[read].fields["children"].append(nodes[key])
            order.append(key)

        if old:
            node("in", [], data={}, gradOutput={})
        else:
            node("in", [], input={})
            if len(inputs) > 1:
                node("split", ["in"], nSplitOutputs=len(inputs))
        for i, key in enumerate(inputs, 1):
            if old or len(inputs) == 1:
                node(f"from {key}", ["in"], module=m("Identity"))
            else:
                node(f"select {key}", ["split"], selectindex=i, input={})
                node(f"from {key}", [f"select {key}"], module=m("Identity"))
            if old:
                data["in"]["mapindex"][i] = data[f"from {key}"]
                data["in"]["mapindex"][Same(data[f"from {key}"])] = i
        alias = {key: f"from {key}" for key in inputs}
        for key, module, reads in steps:
            if module is None:
                base, index = key.rstrip("]").split("[")
                node(key, [base], selectindex=int(index), input={})
            else:
                node(key, [alias.get(read, read) for read in reads], module=module)
        node("out", [alias.get(key, key) for key in outputs], input={})
        modules = [data[key]["module"] for key in order if "module" in data[key]]
        self.places = {id(module): i for i, module in enumerate(modules, 1)}
        listed = [nodes[key] for key in order]
        more = {} if old else {"nInputs": len(inputs), "modules": modules}
        super().__init__(
            "nn.gModule",
            fg=M("graph.Graph", nodes=listed, edges=[]),
            bg=M("graph.Graph", nodes=[], edges=[]),
            forwardnodes=listed,
            innode=nodes["in"],
            outnode=M("nngraph.Node", data=data["out"], children=[]),
            verbose=False,
            **more,
        )
        self.__dict__["run"] = self._run
        self.__dict__["held"] = modules

    def _run(self, child: Callable[[int, Any], Any], x: Any) -> Any:
        known = dict(zip(self.inputs, x if len(self.inputs) > 1 else [x], strict=True))
        held, given = self.fields.get("modules"), self.held
        self.fields["modules"] = given
        for key, module, reads in self.steps:
            if module is None:
                base, index = key.rstrip("]").split("[")
                known[key] = known[base][int(index) - 1]
            else:
                values = [known[read] for read in reads]
                known[key] = child(self.places[id(module)], values[0] if len(values) == 1 else values)
        if held is None:
            del self.fields["modules"]
        results = [known[key] for key in self.outputs]
        return results[0] if len(results) == 1 else results


class Same:
    """A table as the key of another: the same object, not an equal one."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
