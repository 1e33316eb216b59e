"""`step.py zoo|keras VARIANT IMAGES EPOCHS`: epochs over all layers of a network, one whenever told.

Both train the same network with AdamW in batches of 16 and judge 32 more images after each epoch; batch normalisation
stays in inference mode, as zoo has it unless asked otherwise. zoo's loop is the one that its strategies end in.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import keras
import networks
import numpy as np
from protocol import keras_is_up, tell

from zoo.finetune import train
from zoo.finetune.batches import Batches

whose, variant, images, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
BATCH, HELD, RATE, CLASSES = 16, 32, 1e-5, 1000  # zoo judges in batches of 32
random = np.random.default_rng(0)


def ours(model: Any, pixels: np.ndarray, targets: np.ndarray) -> None:
    """The harness's word is waited for where zoo tells of an epoch: outside of the time it takes."""
    count = images
    views = Batches(targets[:count], 1, lambda drawn, rows: pixels[rows], BATCH, 0)
    held = train.HeldOut(lambda first, behind: pixels[count:][first:behind], targets[count:].argmax(axis=1))
    settings = train.Settings("all", "adamw", RATE, epochs, epochs + 1, schedule="constant", progress=False)

    def log(row: dict[str, Any]) -> None:
        if row["epoch"]:
            tell(seconds=row["seconds"])
        wait()

    train.fit(model, views, held, settings, log=log)


def theirs(model: Any, pixels: np.ndarray, targets: np.ndarray) -> None:
    count = images

    class Turns(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            wait()
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            tell(seconds=time.perf_counter() - self.start)

    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(RATE, weight_decay=1e-4), loss=loss)
    held = (pixels[count:], targets[count:])
    model.fit(
        pixels[:count], targets[:count], batch_size=BATCH, epochs=epochs, validation_data=held,
        validation_batch_size=HELD, verbose=0, callbacks=[Turns()],
    )  # fmt: skip


def wait() -> None:
    if not sys.stdin.readline():
        sys.exit(0)


keras_is_up()
network = networks.ours(variant)
train.freeze(network, {layer.name for layer in network.layers})
x = random.uniform(-1, 1, (images + HELD, *network.input_shape[1:])).astype(np.float32)
y = np.eye(CLASSES, dtype=np.float32)[random.integers(0, CLASSES, len(x))]
tell(ready=True)
(ours if whose == "zoo" else theirs)(network, x, y)
