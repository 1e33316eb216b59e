"""Makes the .npz files beside it: what Keras saved, and what Keras gives for it.

    python tests/golden/keras/make.py keras3      in an environment with keras==3.15.1 and tensorflow
    python tests/golden/keras/make.py keras2      in one with tf_keras==2.21.0
    python tests/golden/keras/make.py keras1      in the first: files as Keras 1.2 wrote them, put together by hand

Each holds the model's file (`file:<name>`), the input and the outputs. A file of Keras 1 was never run; its outputs are
those of a Keras 3 model whose weights are the file's after the conversion that Keras 2 did on loading them
(keras-team/keras 2.2.4 keras/engine/saving.py preprocess_weights_for_loading; keras/utils/conv_utils.py).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import networks
import numpy as np

HERE = Path(__file__).parent


def store(case: str, path: Path, x: np.ndarray, outputs: Any) -> None:
    arrays = {f"file:{path.name}": np.frombuffer(path.read_bytes(), np.uint8), "input": x}
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    arrays |= {f"output:{i}": np.asarray(y, np.float32) for i, y in enumerate(outputs)}
    np.savez_compressed(HERE / f"{case}.npz", **arrays)
    print(case, (HERE / f"{case}.npz").stat().st_size)


def build(k: Any, make: Any) -> tuple[Any, np.ndarray, Any]:
    image = k.Input(networks.SHAPE, name="image")
    model = k.Model(image, make(k, image), name=make.__name__)
    networks.randomized(model)
    x = networks.image()
    return model, x, model(x, training=False)


def keras3(folder: Path) -> None:
    import keras

    for name, make in {**networks.BOTH, "keras_ops": networks.keras_ops}.items():
        keras.utils.clear_session()
        model, x, outputs = build(keras, make)
        model.save(folder / "model.keras")
        store(f"keras3_{name}", folder / "model.keras", x, outputs)
        if name in ("nested", "small_network"):
            model.save(folder / "model.h5")
            store(f"keras3_h5_{name}", folder / "model.h5", x, outputs)


def keras2(folder: Path) -> None:
    import tf_keras

    for name, make in networks.BOTH.items():
        tf_keras.backend.clear_session()
        model, x, outputs = build(tf_keras, make)
        model.save(folder / "model.h5")
        store(f"keras2_{name}", folder / "model.h5", x, outputs)
        if name in ("nested", "small_network"):
            model.save(folder / "model.keras")
            store(f"keras2_archive_{name}", folder / "model.keras", x, outputs)
    tf_keras.backend.clear_session()
    layers = tf_keras.layers
    model = tf_keras.Sequential([layers.Conv2D(4, 3, input_shape=networks.SHAPE), layers.ThresholdedReLU(0.4),
                                 layers.Flatten(), layers.Dense(3, "softmax")])  # fmt: skip
    networks.randomized(model)
    x = networks.image()
    model.compile("adam", "mse")
    model.train_on_batch(x, np.zeros((1, 3)))
    model.save(folder / "model.h5")
    store("keras2_sequential_trained", folder / "model.h5", x, model(x, training=False))


# ------------------------------------------------------------------------------------------------------------ Keras 1


def old_layer(kind: str, name: str, *before: str, **config: Any) -> dict[str, Any]:
    nodes = [[[layer, 0, 0] for layer in before]] if before else []
    return {"class_name": kind, "name": name, "config": {"name": name, "trainable": True, **config},
            "inbound_nodes": nodes}  # fmt: skip


def old_network(theano: bool) -> list[dict[str, Any]]:
    order = {"dim_ordering": "th" if theano else "tf"}
    axis = 1 if theano else -1
    window = {"border_mode": "valid", **order}
    convolution = {"bias": True, "activation": "linear", "subsample": [1, 1], "init": "glorot_uniform"}
    shape = [None, 4, 7, 8] if theano else [None, 7, 8, 4]
    norm = {"axis": axis, "mode": 0, "epsilon": 1e-3, "momentum": 0.99}
    return [
        old_layer("InputLayer", "input_1", batch_input_shape=shape, input_dtype="float32", sparse=False),
        old_layer("ZeroPadding2D", "zeropadding2d_1", "input_1", padding=[1, 1], **order),
        old_layer("Convolution2D", "convolution2d_1", "zeropadding2d_1", nb_filter=4, nb_row=3, nb_col=3, **window,
                  **convolution),
        old_layer("BatchNormalization", "batchnormalization_1", "convolution2d_1", **norm),
        old_layer("Activation", "activation_1", "batchnormalization_1", activation="hard_sigmoid"),
        old_layer("Convolution2D", "shortcut", "input_1", nb_filter=4, nb_row=1, nb_col=1, **window,
                  **{**convolution, "bias": False}),
        old_layer("Merge", "merge_1", "activation_1", "shortcut", mode="sum", mode_type="raw", concat_axis=-1),
        old_layer("Merge", "merge_2", "merge_1", "input_1", mode="concat", mode_type="raw", concat_axis=axis),
        old_layer("MaxPooling2D", "maxpooling2d_1", "merge_2", pool_size=[2, 2], strides=[2, 2], **window),
        old_layer("Flatten", "flatten_1", "maxpooling2d_1"),
        old_layer("Dropout", "dropout_1", "flatten_1", p=0.5),
        old_layer("Dense", "dense_1", "dropout_1", output_dim=3, activation="softmax", bias=True, input_dim=None),
    ]  # fmt: skip


def todays_network(keras: Any) -> Any:
    layers = keras.layers
    image = keras.Input(networks.SHAPE)
    x = layers.Conv2D(4, 3, name="convolution2d_1")(layers.ZeroPadding2D()(image))
    x = layers.BatchNormalization(epsilon=1e-3, name="batchnormalization_1")(x)
    x = layers.ReLU(1.0)(layers.Rescaling(0.2, 0.5)(x))  # Keras 1's hard sigmoid
    x = layers.Add()([x, layers.Conv2D(4, 1, use_bias=False, name="shortcut")(image)])
    x = layers.MaxPooling2D()(layers.Concatenate()([x, image]))
    return keras.Model(image, layers.Dense(3, activation="softmax", name="dense_1")(layers.Flatten()(x)))


OLD_NAMES = {"kernel": "W", "bias": "b", "moving_mean": "running_mean", "moving_variance": "running_std"}


def keras1(folder: Path) -> None:
    import keras

    for theano in (False, True):
        keras.utils.clear_session()
        model = todays_network(keras)
        networks.randomized(model)
        x = networks.image()
        path = folder / ("theano.h5" if theano else "tensorflow.h5")
        with h5py.File(path, "w") as file:
            described = old_network(theano)
            file.attrs["keras_version"] = b"1.2.2"
            file.attrs["model_config"] = json.dumps({
                "class_name": "Model",
                "config": {"name": "model_1", "layers": described, "input_layers": [["input_1", 0, 0]],
                           "output_layers": [["dense_1", 0, 0]]},
            }).encode()  # fmt: skip
            group = file.create_group("model_weights")
            group.attrs["layer_names"] = [layer["name"].encode() for layer in described]
            for layer in described:
                inside = group.create_group(layer["name"])
                variables = [] if layer["name"] not in {one.name for one in model.layers} else (
                    model.get_layer(layer["name"]).weights)  # fmt: skip
                names = [f"{layer['name']}_{OLD_NAMES.get(v.name, v.name)}:0".encode() for v in variables]
                inside.attrs["weight_names"] = names
                for key, variable in zip(names, variables, strict=True):
                    inside[key.decode()] = to_theano(np.asarray(variable)) if theano else np.asarray(variable)
        store(f"keras1_{path.stem}", path, x.transpose(0, 3, 1, 2) if theano else x, model(x, training=False))


def to_theano(array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:  # HWIO -> OIHW, turned by half a turn
        return array.transpose(3, 2, 0, 1)[:, :, ::-1, ::-1]
    if array.ndim == 2:  # 3x4 positions of 8 channels
        return array.reshape(3, 4, 8, -1).transpose(2, 0, 1, 3).reshape(array.shape)
    return array


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        {"keras1": keras1, "keras2": keras2, "keras3": keras3}[sys.argv[1]](Path(temporary))
