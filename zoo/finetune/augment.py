"""Random changes to training images, by Keras layers: on views that are computed once, and inside a training model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError

if TYPE_CHECKING:
    import keras
    import numpy as np

KINDS = ("translate", "rotate", "crop", "zoom", "flip", "colour", "randaugment")
"""In the order in which they are applied."""
PRESETS: dict[str, tuple[str, ...]] = {
    "light": ("translate", "flip"),
    "standard": ("translate", "rotate", "flip"),
    "strong": ("translate", "rotate", "crop", "flip", "colour"),
}
SHIFT = 0.1
"""Largest translation, as a share of each side."""
TURN = 15 / 360
"""Largest rotation, in turns: 15 degrees."""
NEAR = 0.35
"""Largest part of each side that `crop` leaves out: areas from 42 % to all (torchvision's recipes go down to 8 %)."""
ZOOM = 0.15
COLOUR = 0.2
"""Largest relative change of brightness, contrast and saturation."""
RAND = 0.4
"""Strength of each of RandAugment's two operations: 9 of 10 in the paper (1909.13719) is for training from scratch."""


def kinds_of(wish: str | bool) -> tuple[str, ...]:
    """Returns the kinds that a wish names: `none`, a preset, or kinds with commas between them.

    Raises:
        UsageError: there is no such kind.
    """
    if wish is True or wish == "auto":
        return PRESETS["standard"]
    if wish is False or wish == "none":
        return ()
    if wish in PRESETS:
        return PRESETS[str(wish)]
    asked = [part.strip() for part in str(wish).split(",")]
    for part in asked:
        if part not in KINDS:
            raise UsageError(
                f"augment={wish!r}: expected none, {', '.join(PRESETS)}, or some of {', '.join(KINDS)} with commas"
            )
    return tuple(kind for kind in KINDS if kind in asked)


def layers(kinds: tuple[str, ...], seed: int) -> list[Any]:
    """Returns Keras layers that change images (N, H, W, 3), RGB 0..255; the same seed gives the same changes."""
    import keras

    where = {"fill_mode": "nearest", "data_format": "channels_last"}
    make: dict[str, Any] = {
        "translate": lambda s: [keras.layers.RandomTranslation(SHIFT, SHIFT, seed=s, **where)],
        "rotate": lambda s: [keras.layers.RandomRotation(TURN, seed=s, **where)],
        "crop": lambda s: [
            keras.layers.RandomTranslation(NEAR / 2, NEAR / 2, seed=s, **where),
            keras.layers.RandomZoom((-NEAR, 0.0), (-NEAR, 0.0), seed=s + 100, **where),
        ],
        "zoom": lambda s: [keras.layers.RandomZoom((-ZOOM, ZOOM), seed=s, **where)],
        "flip": lambda s: [keras.layers.RandomFlip("horizontal", seed=s, data_format="channels_last")],
        "colour": lambda s: [
            keras.layers.RandomBrightness(COLOUR, value_range=(0, 255), seed=s),
            keras.layers.RandomContrast(COLOUR, value_range=(0, 255), seed=s + 100),
            keras.layers.RandomSaturation(
                (0.5 - COLOUR / 2, 0.5 + COLOUR / 2), value_range=(0, 255), seed=s + 200, data_format="channels_last"
            ),
        ],
        "randaugment": lambda s: [
            keras.layers.RandAugment(value_range=(0, 255), num_ops=2, factor=RAND, seed=s, data_format="channels_last")
        ],
    }
    made = [layer for number, kind in enumerate(KINDS) if kind in kinds for layer in make[kind](seed + number)]
    # Saturation leaves the range of pixels.
    return [*made, keras.layers.ReLU(max_value=255.0)] if "colour" in kinds else made


class Augmenter:
    """Applies random changes to arrays.

    Args:
        kinds: any of `KINDS`.
    """

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self._layers = layers(kinds, 0)

    def __call__(self, images: np.ndarray, seed: int) -> np.ndarray:
        """Returns a random view of each image, (N, H, W, 3) float32, 0..255; the same seed gives the same views."""
        import keras
        import numpy as np

        reseed([variable for layer in self._layers for variable in layer.variables], seed)
        views: Any = keras.ops.convert_to_tensor(images.astype(np.float32))
        for layer in self._layers:
            views = layer(views, training=True)
        return np.asarray(keras.ops.convert_to_numpy(views))


def reseed(variables: Sequence[Any], *seed: int) -> None:
    """Sets what random layers do next, among a model's or a layer's variables, so that nothing before it matters."""
    import numpy as np

    states = [variable for variable in variables if "seed_generator" in variable.path]
    for number, variable in enumerate(states):
        word = int(np.random.SeedSequence([*seed, number]).generate_state(1)[0])
        variable.assign(np.array([word >> 1, 0], variable.dtype))  # the torch backend holds it in int32


def inside(inputs: Any, kinds: tuple[str, ...], seed: int) -> Any:
    """Applies the changes to a Keras tensor, inside a model that is trained: on the device, new in every step."""
    tensor: keras.KerasTensor = inputs
    for number, layer in enumerate(layers(kinds, seed)):
        layer.name = f"augment_{number}"
        tensor = layer(tensor)
    return tensor
