"""Makes the cases in this folder with MXNet 1.9.1: small networks with generated weights, and what MXNet answers.

Run from anywhere with Python 3.11, `mxnet==1.9.1` (installed without its dependencies), numpy==1.23.5, requests and
graphviz:

    python tests/golden/mxnet/make.py NETS            all cases
    python tests/golden/mxnet/make.py NETS --full TO  the real networks at full size

NETS is a folder with real network definitions, `<name>-symbol.json`. Those under a free licence are made narrow and
stored; --full gives all of them generated weights and writes them elsewhere, for a run by hand.

A case is a zip of symbol.json, net.params and values.npz: the input as bytes (the network got (x - 128) / 64), the
outputs as `output0`, ..., and what some nodes inside gave under the nodes' names.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import nets
import ops
from tools import HERE, S, compact, mx, np, picture, prefixed, rng_of, run, seen, store, weights


def make_cases() -> None:
    for group in (ops.layers, ops.pools, ops.activations, ops.arithmetic, ops.movement, ops.reductions, ops.heads):
        group()
    for name, (shape, sym) in ops.CASES.items():
        make_case(name, shape, sym)


def make_case(name: str, shape: tuple[int, ...], sym: mx.sym.Symbol) -> None:
    rng = rng_of(name)
    image = next(n for n in sym.list_arguments() if n in ("data", "image"))
    arrays = weights(sym, {image: shape}, rng)
    x, other = picture(shape, rng), picture(shape, rng)
    renamed = mx.sym.load_json(sym.tojson().replace('"image"', '"data"'))
    outputs, changed = (run(renamed, arrays, seen(each)) for each in (x, other))
    assert any(np.abs(a - b).max() > 1e-3 * np.abs(a).max() for a, b in zip(outputs, changed, strict=True)), name
    assert all(np.isfinite(out).all() for out in outputs), name
    values = {"input": x, **{f"output{i}": out for i, out in enumerate(outputs)}}
    store(name, compact(sym.tojson()), prefixed(sym, arrays), values, HERE)


def steady(text: str, arrays: dict[str, np.ndarray], x: np.ndarray, rng: np.random.Generator) -> None:
    """Sets running statistics to those of a batch, a little off, so that activations keep one size to the end."""
    sym = mx.sym.load_json(text.replace('"use_global_stats": "True"', '"use_global_stats": "False"'))
    nodes = json.loads(sym.tojson())["nodes"]
    inside = sym.get_internals()
    names = inside.list_outputs()
    wanted = {}
    for node in nodes:
        if node["op"] == "BatchNorm":
            source = nodes[node["inputs"][0][0]]
            name = source["name"] if source["op"] == "null" else f"{source['name']}_output"
            wanted[node["name"]] = (name, [nodes[i]["name"] for i, *_ in node["inputs"][1:]])
    places = sorted({names.index(name) for name, _ in wanted.values()})
    group = S.Group([inside[i] for i in places])
    found = dict(zip([names[i] for i in places], run(group, arrays, x, True), strict=True))
    for of, (_, _, mean, variance) in wanted.values():
        values = found[of]
        axes = tuple(i for i in range(values.ndim) if i != 1)
        spread = values.var(axes) + 1e-3
        arrays[mean] = (values.mean(axes) + 0.1 * np.sqrt(spread) * rng.normal(size=spread.shape)).astype(np.float32)
        arrays[variance] = (spread * rng.uniform(0.8, 1.25, spread.shape)).astype(np.float32)


def make_net(name: str, text: str, size: int, to: Path, half: bool = True) -> None:
    rng = rng_of(name)
    sym = mx.sym.load_json(text)
    shape = (2, 3, size, size)
    arrays = weights(sym, {"data": shape}, rng)
    x, other = picture(shape, rng), picture(shape, rng)
    if any(node["op"] == "BatchNorm" for node in json.loads(sym.tojson())["nodes"]):
        steady(text, arrays, seen(x), rng)
    if half:  # stored as float16: the file is half as long
        arrays = {key: array.astype(np.float16).astype(np.float32) for key, array in arrays.items()}
    outputs, changed = run(sym, arrays, seen(x)), run(sym, arrays, seen(other))
    assert any(np.abs(a - b).max() > 1e-3 * np.abs(a).max() for a, b in zip(outputs, changed, strict=True)), name
    assert all(np.isfinite(out).all() for out in outputs), name
    values = {"input": x, **{f"output{i}": out for i, out in enumerate(outputs)}, **inner(sym, arrays, seen(x))}
    kind = np.float16 if half else np.float32
    stored = prefixed(sym, {key: array.astype(kind) for key, array in arrays.items()})
    store(name, compact(text), stored, values, to)


def inner(sym: mx.sym.Symbol, arrays: dict[str, np.ndarray], x: np.ndarray) -> dict[str, np.ndarray]:
    """What a few nodes inside give for the first image, by the nodes' names."""
    inside = sym.get_internals()
    _, shapes, _ = inside.infer_shape(data=x.shape)
    names = inside.list_outputs()
    maps = [i for i, (n, s) in enumerate(zip(names, shapes, strict=True)) if n.endswith("_output") and len(s) == 4]
    small = [i for i in maps if np.prod(shapes[i][1:]) <= 700 and names.count(names[i]) == 1]
    chosen = [small[i] for i in sorted({0, len(small) // 3, 2 * len(small) // 3})] if small else []
    outputs = run(S.Group([inside[i] for i in chosen]), arrays, x) if chosen else []
    return {f"node:{names[i][: -len('_output')]}": out[:1] for i, out in zip(chosen, outputs, strict=True)}


FULL = {"inception-v3": 299, "samplenet": 32, "mtcnn-det1": 40, "mlp-bn-v0.8": 28}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("definitions", type=Path, metavar="NETS")
    parser.add_argument("--full", type=Path)
    options = parser.parse_args()
    found = {path.name.replace("-symbol.json", ""): path for path in sorted(options.definitions.glob("*-symbol.json"))}
    if options.full:
        options.full.mkdir(exist_ok=True)
        for name, path in found.items():
            make_net(name, path.read_text(), FULL.get(name, 224), options.full, half=False)
        return
    make_cases()
    for name, (make, size) in nets.OWN.items():
        make_net(f"net_{name}", make().tojson(), size, HERE)
    for name, (make, by, size, smaller) in nets.GLUON.items():
        text = nets.gluon(make())
        for old, new in smaller.items():
            text = text.replace(f'"kernel": "{old}"', f'"kernel": "{new}"') if "(" in old else text.replace(old, new)
        make_net(f"net_gluon-{name}", nets.narrowed(text, by), size, HERE)
    for name, (by, size) in nets.REAL.items():
        make_net(f"net_{name}", nets.narrowed(found[name].read_text(), by), size, HERE)


if __name__ == "__main__":
    main()
