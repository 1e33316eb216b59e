"""`head.py zoo|keras DATA RUN VARIANT SIDE EPOCHS AUGMENT`: a new classifier on a frozen trunk, from files to a model.

Everything is counted that comes after the imports and the making of the network: reading the folder, features,
training, and judging the fifth of the images that is held out. `training` leaves out what zoo does in the end: it
writes the model, checks what it wrote, and writes the report.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import keras
import networks
from protocol import forget_peak, keras_is_up, resident, tell

from zoo.finetune import augment as augmentation

whose, data, run, variant, side, epochs, augment = sys.argv[1:]
SIZE, BATCH = int(side), 32


def ours(model: Any) -> None:
    import zoo

    zoo.finetune(
        model, data, output=run, strategy="head", epochs=int(epochs), patience=int(epochs), augment=augment,
        batch_size=BATCH, progress=False,
    )  # fmt: skip


def theirs(model: Any) -> None:
    """Keras's guide to transfer learning: the trunk is run again in every epoch, on augmented images."""
    from zoo import heads

    parts = keras.utils.image_dataset_from_directory(
        data, validation_split=0.2, subset="both", seed=0, image_size=(SIZE, SIZE), batch_size=BATCH, verbose=False
    )
    training, validation = (part.cache().prefetch(2) for part in parts)
    trunk = keras.Model(model.input, heads.bottleneck(model))
    trunk.trainable = False
    kinds = augmentation.kinds_of(augment)
    inputs = keras.Input((SIZE, SIZE, 3))
    changed = augmentation.inside(inputs, kinds, 0) if kinds else inputs
    outputs = keras.layers.Dense(len(parts[0].class_names))(trunk(changed, training=False))
    trained = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trained.compile(keras.optimizers.AdamW(1e-3), loss=loss, metrics=["accuracy"])
    trained.fit(training, validation_data=validation, epochs=int(epochs), verbose=0)
    trained.save(f"{run}.keras")


keras_is_up()
made = networks.classifier(variant, SIZE)
if whose == "zoo":
    import zoo.finetune.run  # noqa: F401  # what is imported on first use is not counted
Path(run).parent.mkdir(parents=True, exist_ok=True)
forget_peak()
before, start = resident("VmRSS"), time.perf_counter()
(ours if whose == "zoo" else theirs)(made)
seconds = time.perf_counter() - start
parts = json.loads((Path(run) / "metrics.json").read_text())["seconds"] if whose == "zoo" else {"training": seconds}
training = parts.get("features", 0.0) + parts["training"]
tell(seconds=seconds, training=training, memory=resident("VmHWM") - before)
