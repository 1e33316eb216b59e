"""Feeds damaged files to every reader; whatever comes out besides a ZooError is kept as a file in corpus/.

    python tests/fuzz/run.py --minutes 10          all readers, in turns
    python tests/fuzz/run.py --minutes 2 hdf5      one of them
    python tests/fuzz/run.py --cases 100           cases 0 to 99 of each reader
    python tests/fuzz/run.py --replay              the files in corpus/ once more

Each case is made of a number alone, so that `TARGET-NUMBER` says how to make it again. Cases run in a child process
with limits on memory and on time per case: a crash of a C library or a reader that never ends is a finding like any
other. tests/formats/test_fuzz.py runs a short part of the same, and replays the corpus.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"
CORPUS = HERE / "corpus"
MEMORY = 2 << 30  # bytes a child may take beyond what it takes after importing everything
SECONDS = 10  # for one case
INTERESTING = [
    0,
    1,
    2,
    4,
    7,
    8,
    127,
    128,
    255,
    256,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
]

Seeds = list[bytes]
Target = tuple[Callable[[], Seeds], Callable[[Path], None], str]


# ------------------------------------------------------------------------------------------------------------- seeds


def pytorch_seeds() -> Seeds:
    return [path.read_bytes() for path in sorted((GOLDEN / "pytorch").glob("*.pth"))]


def safetensors_seeds() -> Seeds:
    import numpy as np
    from safetensors.numpy import save

    arrays = {"conv.weight": np.ones((2, 3), "<f4"), "conv.bias": np.zeros(2, "<f2"), "n": np.array(3)}
    bf16 = json.dumps({"__metadata__": {"format": "pt"}, "w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}})
    return [save(arrays), struct.pack("<Q", len(bf16)) + bf16.encode() + bytes(4)]


def numpy_seeds() -> Seeds:
    """Pickled dicts, whose headers and opcodes are small beside their numbers, and archives."""
    import pickle

    import numpy as np

    layers = {"conv": [np.ones((2, 3), "<f4"), np.zeros(200, "<f4")], "fc": {"w": np.asfortranarray(np.eye(3))}}
    seeds = []
    for protocol in (0, 2, 4):
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.array({}), allow_pickle=True)
        seeds.append(stream.getvalue()[:128] + pickle.dumps(np.array(layers), protocol))
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, a=layers["conv"][0], b=np.arange(9, dtype=">f8"), c=np.array(layers), n=np.array("x"))
        seeds.append(stream.getvalue())
    return seeds


def hdf5_seeds() -> Seeds:
    import h5py
    import numpy as np

    seeds = []
    for libver in ("earliest", "latest"):
        for rich in (False, True):
            stream = io.BytesIO()
            with h5py.File(stream, "w", libver=libver) as file:
                file["conv/conv/kernel:0"] = np.ones((2, 3), "<f4")
                file.attrs["layer_names"] = [b"conv", b"dense"]
                file.attrs["weight_names"] = np.array([b"conv/kernel:0", b"b"])
                file.attrs["keras_version"] = "2.1.6"
                if rich:
                    options: dict[str, Any] = {"compression": 9, "shuffle": True, "fletcher32": True}
                    file.create_dataset("z", data=np.arange(64.0).reshape(8, 8), chunks=(4, 4), **options)
                    file.create_dataset("e", data=np.arange(8), chunks=(4,), maxshape=(None,))
                    file.attrs["layer_names0"] = np.array([b"a"])
            seeds.append(stream.getvalue())
    return seeds


def keras_seeds() -> Seeds:
    """Whole models of each version."""
    import numpy as np

    names = ("keras1_tensorflow", "keras2_nested", "keras2_sequential_trained", "keras3_small_network")
    seeds = []
    for name in names:
        with np.load(GOLDEN / "keras" / f"{name}.npz") as held:
            seeds += [held[key].tobytes() for key in held.files if key.startswith("file:")]
    return seeds


def keras_config_seeds() -> Seeds:
    """Networks' descriptions, which mutations of whole files seldom reach."""
    import h5py

    seeds = []
    for raw in keras_seeds():
        if raw.startswith(b"PK"):
            seeds.append(zipfile.ZipFile(io.BytesIO(raw)).read("config.json"))
        else:
            with h5py.File(io.BytesIO(raw)) as file:
                text = file.attrs["model_config"]
                seeds.append(text if isinstance(text, bytes) else text.encode())
    return seeds


def prototxt_seeds() -> Seeds:
    """Every small case, and the beginning of a network."""
    texts = [path.read_bytes() for path in sorted((GOLDEN / "caffe").glob("*/deploy.prototxt"))]
    nets = [b"layer".join(text.split(b"layer")[:12]) for text in texts if len(text) > 3000]
    return [text for text in texts if len(text) <= 3000] + nets


def caffemodel_seeds() -> Seeds:
    import h5py
    import numpy as np

    names = ("v1_input_dim", "batch_norm_scale", "half_nvidia")
    seeds = [(GOLDEN / "caffe" / name / "weights.caffemodel").read_bytes() for name in names]
    seeds.append(b"\x08\x01\x10\x03\x18\x01\x20\x02\x2a\x18" + np.arange(6, dtype="<f4").tobytes())  # a mean image
    seeds.append(b"\x3a\x03\x08\x03\x10\x02" + b"\x52\x06\x80\x78\x80\x80\x01\x00")  # halves as integers
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["data/conv/0"], file["data/conv/1"] = np.ones((4, 3, 3, 3), "<f4"), np.ones(4, "<f4")
    return [*seeds, stream.getvalue()]


def torch7_seeds() -> Seeds:
    sys.path.insert(0, str(GOLDEN / "torch7"))
    import modules
    from t7 import dumps

    small = modules.seq(modules.conv(3, 4, 3, 1, 1), modules.bn(4), modules.relu(), modules.view(-1, 256))
    layouts: tuple[dict[str, Any], ...] = ({}, {"long": 4}, {"order": ">"}, {"ascii": True}, {"versions": False})
    names = ("net_nngraph_old", "data_parallel", "depth_concat", "padding_between", "parallel", "select_table")
    return [
        *((GOLDEN / "torch7" / f"{name}.t7").read_bytes() for name in names),
        *(dumps(small, **layout) for layout in layouts),
    ]


def onnx_seeds() -> Seeds:
    names = (
        "channel_shuffle_by_shape",
        "flatten_relu_dense",
        "resize_by_shape",
        "nhwc_preprocessed",
        "half_data",
        "if_in_if",
    )
    return [(GOLDEN / "onnx" / "ops" / f"{name}.onnx").read_bytes() for name in names]


def _mxnet_members(member: str, names: str) -> Seeds:
    return [zipfile.ZipFile(GOLDEN / "mxnet" / f"{name}.zip").read(member) for name in names.split()]


def mxnet_symbol_seeds() -> Seeds:
    names = "net_shufflenet-v2 net_mlp-bn-v0.8 net_mtcnn-det1 net_fcn two_heads slice_step reshape_minus4 resize_odd"
    return _mxnet_members("symbol.json", names + " up_concat split_v2 deconv_target l2_instance shape_stated")


def mxnet_params_seeds() -> Seeds:
    return _mxnet_members("net.params", "net_shufflenet-v2 conv_pad_stride bn")


def tensorflow_seeds() -> Seeds:
    import numpy as np

    names = (
        "slices",
        "norm_full",
        "atrous_same",
        "dropout_old",
        "branches",
        "saved_resource_variables",
        "keras3_layers",
    )
    seeds = []
    for name in names:
        with np.load(GOLDEN / "tensorflow" / f"{name}.npz") as held:
            seeds += [held[key].tobytes() for key in held.files if key.endswith(".pb")]
    return seeds


def card_seeds() -> Seeds:
    return [path.read_bytes() for path in sorted((HERE.parents[1] / "registry").glob("*/*.toml"))]


def facts_seeds() -> Seeds:
    facts = {"class_names": ["a", "b"], "class_ids": ["n1", "n2"], "preprocessing": {"height": 8, "mean": "none"}}
    seeds = []
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", compression) as archive:
            archive.writestr("config.json", "{}")
            archive.writestr("zoo.json", json.dumps(facts))
        seeds.append(stream.getvalue())
    return seeds


# ----------------------------------------------------------------------------------------------------------- readers


def _arrays(found: dict[str, Any], path: Path) -> None:
    size = path.stat().st_size
    for name, array in found.items():
        assert name.isprintable()
        assert not array.flags.writeable
        assert array.nbytes <= max(64 << 20, 16 * size)
        array.tobytes()


def read_pytorch(path: Path) -> None:
    from zoo.formats import pytorch

    _arrays(pytorch.read(path), path)


def read_safetensors(path: Path) -> None:
    from zoo.formats import safetensors

    _arrays(safetensors.read(path), path)


def read_numpy(path: Path) -> None:
    from zoo.formats import numpy

    _arrays(numpy.read(path), path)


def read_hdf5(path: Path) -> None:
    from zoo.errors import ZooError
    from zoo.formats import hdf5

    _arrays(hdf5.read(path), path)
    with hdf5.open(path) as file:
        for place in (*file.groups(), *file.datasets()):
            for name in ("layer_names", "weight_names", "keras_version"):
                for ask in (file.attribute_strings, file.attribute_text):
                    try:
                        ask(place, name)
                    except ZooError as error:
                        _one_line(str(error))


def read_keras(path: Path) -> None:
    from zoo.formats import keras
    from zoo.formats.options import Options
    from zoo.graph import Graph

    found = keras.read(path, options=Options(input_shape=(4, 7, 8)))
    if isinstance(found, Graph):
        found = {name: array for name, array in found.check().params.items() if array.nbytes > 1 << 20}
    _arrays(found, path)


def read_keras_config(path: Path) -> None:
    """Translates a description without weights; a network that can be has names and shapes."""
    from zoo.formats.keras import config
    from zoo.formats.keras.translate import translate
    from zoo.formats.keras.values import State
    from zoo.formats.options import Options

    network = config.parse(path.read_bytes().decode(errors="replace"), path.name)
    translate(network, State(path.name, network.version, Options(input_shape=(4, 7, 8)))).check()


def read_prototxt(path: Path) -> None:
    from zoo.errors import ZooError
    from zoo.formats import caffe
    from zoo.formats.options import Options

    for options in (Options(until="x"), Options(input_shape=(3, 9, 8))):
        try:
            caffe.read(path, options=options)
        except ZooError as error:
            _one_line(str(error))
    caffe.read(path).check()


def read_caffemodel(path: Path) -> None:
    from zoo.errors import ZooError
    from zoo.formats import caffe

    try:
        caffe.mean(path)
    except ZooError as error:
        _one_line(str(error))
    for name in ("half_nvidia", "v1_input_dim", "batch_norm_scale"):
        caffe.read(GOLDEN / "caffe" / name / "deploy.prototxt", path)


def read_torch7(path: Path) -> None:
    from zoo.formats import torch7
    from zoo.formats.options import Options

    _arrays(dict(torch7.read(path, options=Options(input_shape=(3, 8, 8))).params), path)


def read_onnx(path: Path) -> None:
    from zoo.formats import onnx

    onnx.read(path).check()


def read_mxnet_symbol(path: Path) -> None:
    from zoo.formats import mxnet
    from zoo.formats.options import Options

    for until in (None, "softmax", "x"):
        mxnet.read(path, options=Options(input_shape=(3, 24, 24), until=until)).check()


def read_mxnet_params(path: Path) -> None:
    from zoo.formats import mxnet
    from zoo.formats.mxnet import params
    from zoo.formats.options import Options

    text = zipfile.ZipFile(GOLDEN / "mxnet" / "conv_pad_stride.zip").read("symbol.json")
    with tempfile.NamedTemporaryFile(suffix="-symbol.json") as file:
        file.write(text)
        file.flush()
        _arrays(params.read(path), path)
        mxnet.read(file.name, path, options=Options(input_shape=(3, 13, 11)))


def read_tensorflow(path: Path) -> None:
    from zoo.formats import tensorflow

    graph = tensorflow.read(path).check()
    assert sum(param.size for param in graph.params.values()) <= 1 << 27


def read_any(path: Path) -> None:
    from zoo import formats

    formats.read(path)


def read_card(path: Path) -> None:
    from zoo import cards

    cards.read(path)


def read_facts(path: Path) -> None:
    from zoo.predict import _facts

    _facts(path)


TARGETS: dict[str, Target] = {
    "pytorch": (pytorch_seeds, read_pytorch, ".pth"),
    "safetensors": (safetensors_seeds, read_safetensors, ".safetensors"),
    "numpy": (numpy_seeds, read_numpy, ".npy"),
    "hdf5": (hdf5_seeds, read_hdf5, ".h5"),
    "keras": (keras_seeds, read_keras, ".h5"),
    "keras_config": (keras_config_seeds, read_keras_config, ".json"),
    "prototxt": (prototxt_seeds, read_prototxt, ".prototxt"),
    "caffemodel": (caffemodel_seeds, read_caffemodel, ".caffemodel"),
    "torch7": (torch7_seeds, read_torch7, ".t7"),
    "onnx": (onnx_seeds, read_onnx, ".onnx"),
    "mxnet_symbol": (mxnet_symbol_seeds, read_mxnet_symbol, ".json"),
    "mxnet_params": (mxnet_params_seeds, read_mxnet_params, ".params"),
    "tensorflow": (tensorflow_seeds, read_tensorflow, ".pb"),
    "any": (lambda: [*pytorch_seeds(), *safetensors_seeds(), *hdf5_seeds(), *caffemodel_seeds()], read_any, ""),
    "cards": (card_seeds, read_card, ".toml"),
    "facts": (facts_seeds, read_facts, ".keras"),
}


# --------------------------------------------------------------------------------------------------------- mutations


def case(target: str, number: int, seeds: Seeds) -> bytes:
    """Makes the file of a case; the same number makes the same file as long as the seeds stay."""
    dice = random.Random(f"{target}-{number}")
    base = dice.choice(seeds)
    if target in ("pytorch", "any", "keras", "numpy") and base.startswith(b"PK") and dice.random() < 0.5:
        return _within_zip(base, dice, seeds)
    if target == "facts" and dice.random() < 0.6:
        return _within_zip(base, dice, seeds)
    if target == "safetensors" and dice.random() < 0.6:
        length = int.from_bytes(base[:8], "little")
        header = mutated(base[8 : 8 + length], dice, [seed[8:200] for seed in seeds])
        return struct.pack("<Q", len(header)) + header + base[8 + length :]
    return mutated(base, dice, seeds)


def mutated(raw: bytes, dice: random.Random, seeds: Seeds) -> bytes:
    """Returns bytes with a few changes: bits, numbers, cuts, doubled, moved and foreign pieces, words."""
    data = bytearray(raw)
    for _ in range(dice.choice([1, 1, 1, 2, 3, 5, 8, 20])):
        at = dice.randrange(len(data) + 1)
        kind = dice.randrange(10)
        if kind == 0:
            data[at : at + 1] = bytes([dice.randrange(256)])
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 2:
            size = dice.choice([1, 2, 4, 8])
            data[at : at + size] = (dice.choice(INTERESTING) % (1 << 8 * size)).to_bytes(
                size, dice.choice(["little", "big"])
            )
        elif kind == 3:
            del data[at : at + dice.choice([1, 2, 8, 40, 400])]
        elif kind == 4 and dice.random() < 0.3:
            del data[at:]
        elif kind == 5:
            data[at:at] = data[at : at + dice.choice([1, 8, 60, 500])] * dice.choice([1, 1, 2, 50])
        elif kind == 6:
            other = dice.choice(seeds)
            start = dice.randrange(len(other) + 1)
            piece = other[start : start + dice.choice([4, 16, 100])]
            data[at : at + dice.choice([0, len(piece)])] = piece
        elif kind == 7:
            data[at:at] = dice.choice(WORDS)
        elif kind == 8:
            data[at : at + 8] = data[(start := dice.randrange(len(data) + 1)) : start + 8]
        else:
            _change_number(data, at, dice)
    return bytes(data)


WORDS = [
    *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"\0", b"\n", b"\xff", b"\\u0000", b"nan", b"-1", b"1e999", b"0x"),
    *(b'\\ud800', b"[" * 3000, b"{" * 3000, b"9" * 5000, b"'''", b"= ", b".", b"true", b"null", b"inf", b"2024-01-01"),
    *(b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"(", b")", b"t", b"R", b"q\0", b"h\0"),
    *(b"h\1", b"u", b"s", b"}", b"\x85", b"2", b"0", b"b", b"Q", b"layer {", b"dim: 0", b"SNOD", b"TREE", b"OHDR"),
    *(b"num_output: 4294967295 ", b'top: "data" ', b"pad: 2147483647 ", b"axis: -9 ", b"\xe2\x80\xae", b"\x1b[2J"),
]  # fmt: skip


def _change_number(data: bytearray, at: int, dice: random.Random) -> None:
    """Replaces the digits at or after a position, so that texts stay texts."""
    start = next((i for i in range(at, min(at + 200, len(data))) if data[i] in b"0123456789"), None)
    if start is None:
        return
    end = start
    while end < len(data) and data[end] in b"0123456789":
        end += 1
    data[start:end] = str(dice.choice(INTERESTING)).encode()


def _within_zip(base: bytes, dice: random.Random, seeds: Seeds) -> bytes:
    """Changes one member and writes a sound zip around it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(base)) as old, zipfile.ZipFile(stream, "w") as new:
        names = old.namelist()
        chosen = "zoo.json" if "zoo.json" in names else dice.choice([*names, *(n for n in names if n.endswith(".pkl"))])
        for name in names:
            raw = old.read(name)
            new.writestr(name, mutated(raw, dice, [raw, b"\x80\x02}."]) if name == chosen else raw)
    return stream.getvalue()


# -------------------------------------------------------------------------------------------------------------- runs


def _one_line(text: str) -> None:
    assert "\n" not in text, f"a message of more lines: {text[:200]!r}"
    assert text.isprintable(), f"unprintable: {text[:200]!r}"
    assert len(text) < (10_000 if "unsupported " in text else 2000), f"a message of {len(text)} characters"
    assert len(text) < (10_000 if "unsupported layer" in text or "unsupported nodes" in text else 2000), (
        f"a message of {len(text)} characters"
    )


def attempt(target: str, data: bytes, folder: Path) -> None:
    """Runs one case; raises whatever a reader should not have."""
    from zoo.errors import ZooError

    path = folder / f"case{TARGETS[target][2]}"
    path.unlink(missing_ok=True)  # a mapped file must not change
    path.write_bytes(data)
    try:
        TARGETS[target][1](path)
    except ZooError as error:
        _one_line(str(error))


def _limit() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process even inside a C library


def replay() -> int:
    """Runs what the corpus holds; prints the name of each before it begins."""
    with tempfile.TemporaryDirectory() as folder:
        _limit()
        for path in sorted(CORPUS.iterdir()):
            print(path.name, flush=True)
            signal.alarm(SECONDS)
            attempt(path.name.split("-")[0], path.read_bytes(), Path(folder))
    return 0


def _child(target: str, first: int, last: int, until: float) -> int:
    """Runs cases until a finding or the end of its time; prints the number of each before it begins."""
    seeds = TARGETS[target][0]()
    with tempfile.TemporaryDirectory() as folder:
        attempt(target, seeds[0], Path(folder))  # a sound file, which imports what is needed
        _limit()
        number = first
        while number < last and time.time() < until:
            os.pwrite(1, f"{number:20d}".encode(), 0)
            signal.alarm(SECONDS)
            try:
                attempt(target, case(target, number, seeds), Path(folder))
            except BaseException:
                traceback.print_exc()
                return 1
            signal.alarm(0)
            number += 1
        os.pwrite(1, f"{number:20d}".encode(), 0)
    return 0


def _turn(target: str, first: int, last: int, seconds: float, kept: Path) -> tuple[int, bool]:
    """Runs one child; returns the number to go on with, and whether there was a finding."""
    with tempfile.TemporaryFile() as progress, tempfile.TemporaryFile() as told:
        command = [sys.executable, __file__, "--child", target, str(first), str(last), str(time.time() + seconds)]
        status = subprocess.run(command, stdout=progress, stderr=told, check=False).returncode
        progress.seek(0)
        told.seek(0)
        number, words = int(progress.read() or first), told.read().decode(errors="replace")
    if status == 0:
        return number, False
    if status == 2:  # argparse's: the child never began, so no case is to blame
        raise RuntimeError(f"the child did not start: {words}")
    kept.mkdir(exist_ok=True)
    path = kept / f"{target}-{number}"
    path.write_bytes(case(target, number, TARGETS[target][0]()))
    why = f"signal {signal.Signals(-status).name}" if status < 0 else words.strip().splitlines()[-1][:200]
    print(f"FINDING {path.name}: {why}", flush=True)
    print("    " + "\n    ".join(words.strip().splitlines()[-12:]), flush=True)
    return number + 1, True


def main() -> int:
    """Runs all targets in turns until the time is over; exits with 1 if there was a finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--cases", type=int, help="this many of each, counted from 0, however long they take")
    parser.add_argument("--replay", action="store_true", help="the kept files instead of new ones")
    parser.add_argument("--kept", type=Path, default=CORPUS, help="folder for findings; default: corpus/")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"default: all of {', '.join(TARGETS)}")
    options = parser.parse_args()
    if options.child:
        target, *numbers_given = options.child
        return _child(target, int(numbers_given[0]), int(numbers_given[1]), float(numbers_given[2]))
    if options.replay:
        return replay()
    chosen = options.targets or list(TARGETS)
    if unknown := [name for name in chosen if name not in TARGETS]:
        parser.error(f"unknown target {unknown[0]}")
    first, last = (int(time.time()) * 1000, 1 << 62) if options.cases is None else (0, options.cases)
    numbers = dict.fromkeys(chosen, first)
    findings = dict.fromkeys(chosen, 0)
    end = time.time() + (60 * options.minutes if options.cases is None else 3600)
    while (left := end - time.time()) > 0 and min(numbers.values()) < last:
        for target in chosen:
            seconds = left if options.cases else min(20.0, max(1.0, left / len(chosen)))
            numbers[target], found = _turn(target, numbers[target], last, seconds, options.kept)
            findings[target] += found
    for target in chosen:
        print(f"{target}: {numbers[target] - first:,} cases, {findings[target]} findings")
    return 1 if any(findings.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
