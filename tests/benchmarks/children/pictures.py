"""`pictures.py WAY FOLDER`: one pass over a folder of images, in batches of 32, whenever told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from protocol import keras_is_up, turns

way, folder = sys.argv[1], Path(sys.argv[2])
BATCH, SIDE = 32, 224


def zoo() -> Callable[[], None]:
    import zoo
    from zoo.finetune.data import index
    from zoo.finetune.pictures import Pictures
    from zoo.finetune.scratch import Scratch
    from zoo.finetune.stream import batches
    from zoo.preprocessing import resize_and_crop

    like = zoo.info("efficientnet-lite0").preprocessing
    resize = {"kind": "short-side", "size": 256}
    rules = type(like).model_validate({**like.model_dump(), "resize": resize, "interpolation": "bilinear"})
    resize_and_crop(index(folder, progress=False).open(0), rules)  # what is loaded on first use is not counted

    def over(images: Pictures, count: int) -> None:
        order = np.random.default_rng(0).permutation(count)
        for start in range(0, count, BATCH):
            images(order[start : start + BATCH])

    if way == "first":

        def first() -> None:
            found = index(folder, progress=False)
            with Scratch() as scratch:
                over(Pictures(found, rules, scratch, progress=False), len(found.items))

        return first
    found = index(folder, progress=False)
    if way == "streamed":

        def streamed() -> None:
            for _ in batches(found, range(len(found.items)), rules, BATCH, progress=False):
                pass

        return streamed
    images = Pictures(found, rules, Scratch().__enter__(), progress=False)
    return lambda: over(images, len(found.items))


def keras() -> Callable[[], None]:
    keras_is_up()
    import keras

    def listed() -> object:
        made = keras.utils.image_dataset_from_directory(
            folder, image_size=(SIDE, SIDE), batch_size=BATCH, crop_to_aspect_ratio=True, verbose=False
        )
        return made.prefetch(2)

    kept = listed()

    def through() -> None:
        for _ in kept if way == "keras" else listed():  # type: ignore[attr-defined]
            pass

    return through


turns(keras() if way.startswith("keras") else zoo())
