"""Measures on a GPU what a GPU decides: images per second, training steps, mixed precision, memory; JAX and PyTorch.

    python tests/benchmarks/gpu.py [--seconds 240] [--out FILE.jsonl] [--batch 128]

Needs Keras and its backends with their CUDA builds, timm, pydantic and nvidia-ml-py; not TensorFlow, and no weights:
the networks are timm's own with generated numbers. Each row is one line of JSON. For each backend, in a process of its
own:

- `parity`: zoo's Keras model against timm's module, both on the GPU in float32 (TensorFloat-32 off), max|a-b| / max|b|
- `predict`: images per second of zoo's model and of the same network of keras.applications, batches already in memory,
  in float32 (TensorFloat-32 as the backend has it) and in bfloat16; for PyTorch also timm's own module, channels last
- `train`: a step over all layers, zoo's loop (`zoo.finetune.train.fit`) against a bare `keras.Model.fit`

`MB` is the largest amount of GPU memory that was in use, `GPU %` the mean of what NVML told during the run.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from files import generated

NETWORKS = {  # variant -> timm's dialect's name there, and the network of keras.applications
    "resnet50": ("resnet50", "ResNet50"),
    "vgg16": ("vgg16", "VGG16"),
    "mobilenetv2-100": ("mobilenetv2_100", "MobileNetV2"),
}
SIZE = 224
STEPS = int(os.environ.get("ZOO_GPU_STEPS", "30"))


class Bench:
    """One backend's measurements, until its time is over."""

    def __init__(self, batch: int, seconds: float, out: Path | None, precisions: list[str]) -> None:
        import keras

        self.keras, self.backend = keras, keras.backend.backend()
        self.batch, self.out, self.end = batch, out, time.monotonic() + seconds
        self.precisions = precisions
        random = np.random.default_rng(0)
        self.images = random.uniform(-1, 1, (batch, SIZE, SIZE, 3)).astype(np.float32)
        self.labels = random.integers(0, 1000, batch)

    def tell(self, **row: Any) -> None:
        row = {"backend": self.backend, "device": device_name(), "batch": self.batch, **row}
        print(json.dumps(row), flush=True)
        if self.out:
            with self.out.open("a") as file:
                file.write(json.dumps(row) + "\n")

    def late(self) -> bool:
        return time.monotonic() > self.end

    def run(self) -> None:
        for variant in NETWORKS:
            if not self.late():
                self.parity(variant)
        for precision in self.precisions:
            for variant in NETWORKS:
                self.predict(variant, precision)
            self.train("resnet50", precision)

    # ----------------------------------------------------------------------------------------------------- networks

    def zoo(self, variant: str, arrays: dict[str, np.ndarray] | None = None) -> Any:
        from zoo import architectures
        from zoo.build import build

        graph = architectures.build(variant, "timm", size=SIZE)
        return build(graph.bind(arrays or generated(graph), where="generated"))

    def theirs(self, variant: str) -> Any:
        make = getattr(self.keras.applications, NETWORKS[variant][1])
        return make(weights=None, input_shape=(SIZE, SIZE, 3), classifier_activation=None)

    def parity(self, variant: str) -> None:
        import timm
        import torch

        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        module = timm.create_model(NETWORKS[variant][0]).eval()
        arrays = {k: v.numpy() for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")}
        small = self.images[:8]
        with torch.no_grad():
            x = torch.from_numpy(small).permute(0, 3, 1, 2).to(torch_device())
            expected = module.to(torch_device())(x).cpu().numpy()
        with full_precision(self.backend):
            actual = np.asarray(self.keras.ops.convert_to_numpy(self.zoo(variant, arrays)(small)))
        error = float(np.abs(actual - expected).max() / np.abs(expected).max())
        torch.backends.cudnn.allow_tf32 = True
        self.tell(what="parity", network=variant, error=error)
        del module
        self.clear()

    # ------------------------------------------------------------------------------------------------------- predict

    def predict(self, variant: str, precision: str) -> None:
        makers: dict[str, Callable[[], Any]] = {
            "zoo": lambda: self.zoo(variant),
            "keras.applications": lambda: self.theirs(variant),
        }
        for who, make in makers.items():
            if self.late():
                return
            self.keras.config.set_dtype_policy(precision)
            model = make()
            self.keras.config.set_dtype_policy("float32")
            x = self.keras.ops.convert_to_tensor(self.images)
            self.timed(lambda model=model, x=x: model.predict_on_batch(x), "predict", variant, precision, who)
            del model, x
            self.clear()
        if self.backend == "torch" and not self.late():
            self.native(variant, precision)
            self.clear()

    def native(self, variant: str, precision: str) -> None:
        import timm
        import torch

        module = timm.create_model(NETWORKS[variant][0]).eval().to(torch_device())
        module = module.to(memory_format=torch.channels_last)
        x = torch.from_numpy(self.images).permute(0, 3, 1, 2).to(torch_device())  # channels last in memory
        use = precision != "float32"

        def step() -> Any:
            with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, enabled=use):
                return module(x).float().cpu()

        self.timed(step, "predict", variant, precision, "timm")

    def timed(self, step: Callable[[], Any], what: str, network: str, precision: str, who: str) -> None:
        start = time.perf_counter()
        try:
            for _ in range(4):
                np.asarray(step())
        except Exception as error:  # out of memory, say: a row too
            self.tell(what=what, network=network, precision=precision, who=who, error=str(error)[:200])
            return
        warm = time.perf_counter() - start
        times = []
        with utilisation() as busy:
            for _ in range(STEPS):
                start = time.perf_counter()
                np.asarray(step())
                times.append(time.perf_counter() - start)
        median = statistics.median(times)
        self.tell(
            what=what, network=network, precision=precision, who=who, images_per_second=round(self.batch / median, 1),
            spread=[round(self.batch / max(times), 1), round(self.batch / min(times), 1)],
            warm_up_seconds=round(warm, 1), MB=peak(self.backend), busy_percent=busy(),
        )  # fmt: skip

    # --------------------------------------------------------------------------------------------------------- train

    def train(self, variant: str, precision: str) -> None:
        from zoo.finetune import optimize
        from zoo.finetune import train as recipe
        from zoo.finetune.batches import Batches

        steps = STEPS * 2 // 3
        x = np.concatenate([self.images] * steps)
        y = np.eye(1000, dtype=np.float32)[np.concatenate([self.labels] * steps)]

        class Clock(self.keras.callbacks.Callback):  # type: ignore[name-defined,misc]
            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                self.start = time.perf_counter()

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                self.times.append(time.perf_counter() - self.start)

        def bare(model: Any) -> list[float]:
            loss = self.keras.losses.CategoricalCrossentropy(from_logits=True)
            made = optimize.optimizer("adamw", 1e-4, weight_decay=1e-4, precision=precision)
            model.compile(optimizer=made, loss=loss, auto_scale_loss=False)
            clock = Clock()
            clock.times = times = []
            model.fit(x, y, batch_size=self.batch, epochs=3, verbose=0, shuffle=True, callbacks=[clock])
            return times

        def ours(model: Any) -> list[float]:
            views = Batches(y, 1, lambda drawn, rows: x[rows], self.batch, 0)
            held = recipe.HeldOut(lambda first, behind: x[first:behind], y[: self.batch].argmax(axis=1))
            settings = recipe.Settings("all", "adamw", 1e-4, 3, 9, precision=precision, progress=False)
            return [row["seconds"] for row in recipe.fit(model, views, held, settings)[1:]]

        for who, fit in (("zoo", ours), ("bare Keras", bare)):
            if self.late():
                return
            self.keras.config.set_dtype_policy(precision)
            model = self.zoo(variant)
            self.keras.config.set_dtype_policy("float32")
            with utilisation() as busy:
                times = fit(model)
            rate = round(len(x) / min(times[1:]), 1)
            self.tell(
                what="train", network=variant, precision=precision, who=who, images_per_second=rate,
                epoch_seconds=[round(value, 2) for value in times], MB=peak(self.backend), busy_percent=busy(),
            )  # fmt: skip
            del model
            self.clear()

    def clear(self) -> None:
        self.keras.backend.clear_session()
        gc.collect()
        if self.backend == "torch":
            import torch

            if torch.cuda.is_available():
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
        else:
            import jax

            jax.clear_caches()


@contextmanager
def full_precision(backend: str) -> Iterator[None]:
    if backend != "jax":
        yield
        return
    import jax

    with jax.default_matmul_precision("highest"):
        yield


@contextmanager
def utilisation() -> Iterator[Callable[[], float | None]]:
    """Samples how busy NVML says the GPU is, ten times a second."""
    seen: list[int] = []
    done = threading.Event()

    def sample() -> None:
        try:
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(0)
            while not done.wait(0.1):
                seen.append(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        except Exception:
            return

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield lambda: round(statistics.mean(seen), 1) if seen else None
    finally:
        done.set()
        thread.join(1)


def torch_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name() -> str:
    try:
        import torch

        return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    except ImportError:
        return "unknown"


def peak(backend: str) -> int | None:
    """Largest GPU memory in use, MB; JAX's is over the process, PyTorch's since `clear`."""
    if backend == "torch":
        import torch

        return round(torch.cuda.max_memory_allocated() / 1e6) if torch.cuda.is_available() else None
    import jax

    stats = jax.local_devices()[0].memory_stats() or {}
    return round(stats["peak_bytes_in_use"] / 1e6) if "peak_bytes_in_use" in stats else None


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=240, help="for each backend")
    options.add_argument("--batch", type=int, default=128)
    options.add_argument("--out", type=Path)
    options.add_argument("--backends", default="torch,jax")
    options.add_argument("--precisions", default="mixed_bfloat16,float32")
    given = options.parse_args()
    if os.environ.get("ZOO_GPU_CHILD"):
        Bench(given.batch, given.seconds, given.out, given.precisions.split(",")).run()
        return
    for backend in given.backends.split(","):
        env = {**os.environ, "KERAS_BACKEND": backend, "ZOO_GPU_CHILD": "1", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        subprocess.run([sys.executable, *sys.argv], env=env, check=False)


if __name__ == "__main__":
    main()
