"""Measures the recipe on a GPU: a new head, the last blocks, all layers, and the batch that fits; JAX and PyTorch.

    python tests/benchmarks/gpu_recipe.py [--seconds 400] [--out FILE.jsonl] [--images 1000] [--only head,...]

Needs what gpu.py needs. Each row is one line of JSON from a process of its own, so that its largest memory is its own:

- `head-zoo`, `head-keras`: ten epochs of a new classifier on a frozen ResNet-50, from JPEGs to a saved model, by
  zoo.finetune and by plain `fit` (images read once, kept in memory), without augmentation; what each phase took
- `blocks`, `all`: zoo.finetune with that strategy as planned, in the arithmetic that the plan chooses and in float32:
  images per second of the best epoch, with everything an epoch has (views, judging)
- `batch`: the search for the batch that fits, from one that does not, over all layers
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from gpu import device_name, peak, utilisation

SIZE, EPOCHS, BATCH = 224, 10, 32
ROWS = ("head-zoo", "head-keras", "all", "all-float32", "batch", "blocks", "blocks-float32")


def trunk(variant: str = "resnet50") -> Any:
    """Returns a classifier with generated weights, RGB 0..255 in."""
    sys.path.append(str(Path(__file__).parent / "children"))
    import networks

    return networks.classifier(variant, SIZE)


def tuned(data: Path, run: Path, **options: Any) -> dict[str, Any]:
    import zoo

    result = zoo.finetune(trunk(), data, output=run, progress=False, **options)
    plan, metrics = result.plan, result.metrics
    with (run / "history.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["phase"] == plan.strategy and int(row["epoch"])]
    epochs = [float(row["seconds"]) for row in rows]
    facts = {"precision": plan.precision, "batch": plan.batch_size, "parts": metrics["seconds"]}
    if epochs:
        facts["images_per_second"] = round(plan.training / min(epochs), 1)
    return facts


def head_zoo(data: Path, run: Path) -> dict[str, Any]:
    return tuned(
        data, run, strategy="head", epochs=EPOCHS, patience=EPOCHS, augment="none", batch_size=BATCH
    )  # fmt: skip


def head_keras(data: Path, run: Path) -> dict[str, Any]:
    import keras
    from PIL import Image

    from zoo import heads

    paths = sorted(data.glob("*/*.jpg"))
    names = sorted({path.parent.name for path in paths})
    images = np.stack([np.asarray(Image.open(path).resize((SIZE, SIZE)), np.float32) for path in paths])
    labels = np.array([names.index(path.parent.name) for path in paths])
    order = np.random.default_rng(0).permutation(len(paths))
    images, labels, held = images[order], labels[order], len(paths) // 5
    base = trunk()
    inner = keras.Model(base.input, heads.bottleneck(base))
    inner.trainable = False
    inputs = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(inputs, keras.layers.Dense(len(names))(inner(inputs, training=False)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-3), loss=loss, metrics=["accuracy"])
    started = time.perf_counter()
    model.fit(
        images[held:], labels[held:], validation_data=(images[:held], labels[:held]), batch_size=BATCH,
        epochs=EPOCHS, verbose=0,
    )  # fmt: skip
    fitted = time.perf_counter() - started
    model.save(run.with_suffix(".keras"))
    return {"parts": {"training": round(fitted, 2)}}


def batch(data: Path, run: Path) -> dict[str, Any]:
    from zoo.finetune import fits, train
    from zoo.finetune.batches import Batches

    first = int(os.environ.get("ZOO_GPU_BATCH", "2048"))
    model = trunk()
    one = np.random.default_rng(0).uniform(0, 255, (8, SIZE, SIZE, 3)).astype(np.float32)
    targets = np.eye(1000, dtype=np.float32)[np.arange(first) % 1000]
    views = Batches(targets, 1, lambda drawn, rows: one[np.asarray(rows) % 8], first, 0)
    settings = train.Settings("all", "adamw", 1e-4, 1, 2, progress=False)
    said: list[str] = []

    def small_machine(size: int, accumulate: int) -> None:  # a CPU has no memory that ends with an error
        if size > 4:
            raise MemoryError("pretended")

    step = None if device_name() != "CPU" else small_machine
    began = time.perf_counter()
    batches, settings, ready, size = fits.fitted(model, views, settings, fits.Memo(), said.append, step=step)
    took = time.perf_counter() - began
    views = batches if step is None else batches.resized(2)
    held = train.HeldOut(lambda first, behind: one[first:behind], np.arange(8))
    rows = train.fit(model, views, held, settings, ready=ready)  # what was found does hold
    facts = {"tried": size.tried, "batch": size.batch_size, "accumulate": size.accumulate, "note": size.note}
    return {**facts, "search_seconds": round(took, 1), "epoch_seconds": rows[-1]["seconds"], "loss": rows[-1]["loss"]}


def one_row(name: str, data: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_HOME"] = str(Path(folder) / "home")  # no features of another row
        run = Path(folder) / "run"
        if name == "batch":
            return batch(data, run)
        if name.startswith("head"):
            return (head_zoo if name == "head-zoo" else head_keras)(data, run)
        strategy, _, precision = name.partition("-")
        more = {"mixed_precision": False} if precision else {}
        return tuned(data, run, strategy=strategy, epochs=3, head_epochs=3, patience=3, **more)


def child(name: str, data: Path, out: Path | None) -> None:
    import keras

    keras.ops.convert_to_numpy(keras.ops.ones((8, 8)) @ keras.ops.ones((8, 8)))  # the backend is up
    with utilisation() as busy:
        began = time.perf_counter()
        try:
            facts = one_row(name, data)
        except Exception as error:  # a row too
            facts = {"error": f"{type(error).__name__}: {error}"[:300]}
        seconds = round(time.perf_counter() - began, 1)
    backend = keras.backend.backend()
    row = {
        "backend": backend, "device": device_name(), "what": name, **facts, "seconds": seconds, "MB": peak(backend),
        "busy_percent": busy(),
    }  # fmt: skip
    print(json.dumps(row), flush=True)
    if out:
        with out.open("a") as file:
            file.write(json.dumps(row) + "\n")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=400, help="no row begins after so many")
    options.add_argument("--images", type=int, default=1000)
    options.add_argument("--out", type=Path)
    options.add_argument("--backends", default="jax,torch")
    options.add_argument("--only", default=",".join(ROWS))
    options.add_argument("--child", nargs=2, metavar=("ROW", "DATA"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        child(given.child[0], Path(given.child[1]), given.out)
        return
    from files import photographs

    end = time.monotonic() + given.seconds
    with tempfile.TemporaryDirectory() as folder:
        photographs(Path(folder) / "data", str(given.images), "320", "240")
        for name in given.only.split(","):
            for backend in given.backends.split(","):
                if time.monotonic() > end:
                    print(f"{name} on {backend}: no time left", flush=True)
                    continue
                env = {**os.environ, "KERAS_BACKEND": backend, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
                command = [sys.executable, __file__, "--child", name, str(Path(folder) / "data")]
                command += ["--out", str(given.out)] if given.out else []
                subprocess.run(command, env=env, check=False)


if __name__ == "__main__":
    main()
