"""What needs TensorFlow of an export: Keras model -> SavedModel, ONNX or TFLite, and its answers in that runtime.

Runs in a process whose Keras has the TensorFlow backend: that of the caller, or a child of it (`python -m
zoo.export_tf`), since the files that zoo writes are the same on every backend.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo import quiet
from zoo.errors import UnsupportedError, ZooError

INPUT = "images"


@dataclass(frozen=True)
class Job:
    """What is to be made.

    Args:
        model: a .keras file.
        target: where to write; a folder that does not exist for savedmodel, else a file.
        format: savedmodel, onnx or tflite.
        output: name of the output.
        quantize: `float16` or `int8` weights, for tflite.
        metadata: what the file tells about itself, key -> JSON; for onnx.
        sample: (n, H, W, 3) float32, RGB 0..255, that the file is run on; None to leave that out.
        calibration: likewise, that int8 learns its ranges from.
    """

    model: Path
    target: Path
    format: str
    output: str
    quantize: str | None
    metadata: dict[str, str]
    sample: np.ndarray | None
    calibration: np.ndarray | None


def work(job: Job) -> tuple[np.ndarray, np.ndarray] | None:
    """Writes the file; returns what Keras and what the file answer for the sample, (n, classes) each."""
    import keras
    import tensorflow as tf

    # On the CPU: a GPU's own arithmetic (TF32) would differ more than a sound export does.
    with tf.device("/CPU:0"), _quiet():
        model = _renamed(keras.saving.load_model(job.model, safe_mode=True, compile=False))
        inputs = keras.Input(model.input_shape[1:], name=INPUT)
        named = keras.Model(inputs, {job.output: model(inputs)}, name=model.name)
        named(tf.zeros((1, *named.input_shape[1:])))  # Keras exports what was called before
        _WRITERS[job.format](named, job)
        if job.sample is None:
            return None
        expected = np.asarray(model(tf.constant(job.sample), training=False))
        run = RUNTIMES[job.format](job.target)
        # One image, then all of them: the number of images must not be built in.
        answers = np.concatenate([run(job.sample[:1]), run(job.sample[1:])])
    return expected, answers


def _renamed(model: Any) -> Any:
    """Returns the model with layers whose names TensorFlow takes: at their beginning no underscore may stand."""
    import keras

    if not any(layer.name.startswith("_") for layer in model.layers):
        return model
    taken = {layer.name for layer in model.layers}

    def copy(layer: Any) -> Any:
        name = layer.name.lstrip("_")
        while name != layer.name and (name in taken or not name):
            name = f"layer_{name}"
        taken.add(name)
        return type(layer).from_config({**layer.get_config(), "name": name})

    again = keras.models.clone_model(model, clone_function=copy)
    again.set_weights(model.get_weights())
    return again


def _write_saved_model(model: Any, job: Job) -> None:
    """As `model.export` does, which writes every weight twice (Keras 3.15: under two names of its archive)."""
    import tensorflow as tf

    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name=INPUT)
    module.serve = tf.function(lambda images: model(images, training=False), input_signature=[signature])
    tf.saved_model.save(module, str(job.target), signatures={"serving_default": module.serve})


def _write_onnx(model: Any, job: Job) -> None:
    model.export(job.target, format="onnx", verbose=False)
    import onnx

    written = onnx.load(job.target)
    graph = written.graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise ValueError(f"{len(graph.input)} inputs and {len(graph.output)} outputs, expected one of each")
    names = {graph.input[0].name: INPUT, graph.output[0].name: job.output}
    taken = {name for node in graph.node for name in (*node.input, *node.output)} - set(names)
    if taken & set(names.values()):
        raise ValueError(f"a value inside is called {' or '.join(sorted(taken & set(names.values())))}")
    for value in (*graph.input, *graph.output):
        value.name = names[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    onnx.helper.set_model_props(written, job.metadata)
    written.doc_string = (
        f"{model.name}: '{INPUT}' takes (batch, height, width, 3) float32, RGB 0..255; normalisation is inside. "
        "Classes and the resize rule are in metadata_props, as JSON."
    )
    onnx.checker.check_model(written)
    onnx.save(written, job.target)


def _write_tflite(model: Any, job: Job) -> None:
    import tensorflow as tf

    choices: dict[str, Any] = {}
    spec: dict[str, Any] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    if job.quantize:
        choices["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if job.quantize == "float16":
        spec["supported_types"] = [tf.float16]
    if job.quantize == "int8" and job.calibration is not None:
        images = job.calibration
        choices["representative_dataset"] = lambda: ([images[i : i + 1]] for i in range(len(images)))
    # Built-in operations alone, so that the file runs in every interpreter, not only in those with TensorFlow's.
    model.export(job.target, format="litert", verbose=False, target_spec=spec, **choices)


_WRITERS: dict[str, Callable[[Any, Job], None]] = {
    "savedmodel": _write_saved_model,
    "onnx": _write_onnx,
    "tflite": _write_tflite,
}


def _saved_model(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def run(images: np.ndarray) -> np.ndarray:
        (answers,) = loaded.signatures["serving_default"](**{INPUT: tf.constant(images)}).values()
        return np.asarray(answers)

    run.keep = loaded  # type: ignore[attr-defined]  # its signatures end with it
    return run


def _onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    session = importlib.import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(None, {INPUT: images})[0])


def _tflite(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    # TensorFlow has announced that its interpreter will go; the package that has it then has it now.
    home = tf.lite if hasattr(tf.lite, "Interpreter") else importlib.import_module("ai_edge_litert.interpreter")
    runner = home.Interpreter(str(path)).get_signature_runner("serving_default")

    def run(images: np.ndarray) -> np.ndarray:
        (answers,) = runner(**{INPUT: images}).values()
        return np.asarray(answers)

    return run


RUNTIMES: dict[str, Callable[[Path], Callable[[np.ndarray], np.ndarray]]] = {
    "savedmodel": _saved_model,
    "onnx": _onnx,
    "tflite": _tflite,
}
"""Format -> a function that opens a file in its own runtime, as its user does: (n, H, W, 3) float32 to (n, classes)."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of converters about themselves, and without what they leave in numpy."""
    with quiet.converting(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        had = "object" in vars(np)
        if not had:
            # tf2onnx wants this name of numpy 1; Keras gives it once and for all, nobody else is to find it there.
            np.object = object  # type: ignore[attr-defined]
        try:
            yield
        finally:
            if not had:
                del np.object  # type: ignore[attr-defined]


def refusal(job: Job, error: object) -> ZooError:
    """Returns the error for a model that a converter refused."""
    reason = " ".join(str(error).split())
    reason = reason if len(reason) <= 300 else f"{reason[:297]}..."
    return UnsupportedError(f"{job.format} cannot express this model, or not with the packages installed: {reason}")


def in_a_child(job: Job, folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Does a job in a process whose Keras has TensorFlow as its backend.

    Args:
        job: what to do.
        folder: an empty place for what is passed to and fro.
    """
    facts = {**vars(job), "model": str(job.model), "target": str(job.target)}
    arrays = {key: facts.pop(key) for key in ("sample", "calibration")}
    (folder / "job.json").write_text(json.dumps(facts))
    np.savez(folder / "job.npz", **{key: array for key, array in arrays.items() if array is not None})
    # On the CPU alone: the parent may hold the GPU's memory.
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
    child = subprocess.run(
        [sys.executable, "-m", "zoo.export_tf", str(folder)],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines() or [f"the converter ended with {child.returncode}"]
        raise refusal(job, lines[-1])
    if job.sample is None:
        return None
    with np.load(folder / "answers.npz", allow_pickle=False) as answers:
        return answers["expected"], answers["answers"]


def main(folder: Path) -> None:
    """Does the job that a parent put into a folder, and puts the answers beside it."""
    facts: dict[str, Any] = json.loads((folder / "job.json").read_text())
    with np.load(folder / "job.npz", allow_pickle=False) as file:
        facts |= {key: file.get(key) for key in ("sample", "calibration")}
    facts |= {key: Path(facts[key]) for key in ("model", "target")}
    answers = work(Job(**facts))
    if answers is not None:
        np.savez(folder / "answers.npz", expected=answers[0], answers=answers[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
