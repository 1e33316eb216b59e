"""Pictures inside the page: small JPEGs as data: addresses, plain or with a Grad-CAM map over them."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

SIDE = 128
"""Pixels of the longer side of a picture of a mistake."""
SMALL = 80
"""Of a picture in the table of classes."""
QUALITY = 80

# Dark to bright at an even pace, and told apart by people who see few colours: ten places of matplotlib's `inferno`.
_RAMP = np.array(
    [
        (0, 0, 4),
        (27, 12, 65),
        (74, 12, 107),
        (120, 28, 109),
        (165, 44, 96),
        (207, 68, 70),
        (237, 105, 37),
        (251, 155, 6),
        (247, 209, 61),
        (252, 255, 164),
    ],
    np.float32,
)


def thumbnail(pixels: np.ndarray, side: int = SIDE) -> str:
    """Returns an image (H, W, 3) uint8 as a `data:` address of a JPEG of at most `side` pixels."""
    return _encode(_small(pixels, side))


def overlay(pixels: np.ndarray, heat: np.ndarray, side: int = SIDE) -> str:
    """Returns an image with a map (h, w) of 0..1 over it: grey where the map is 0, glowing where it is 1."""
    from PIL import Image

    picture = _small(pixels, side)
    # Plain enlargement would show the map's few squares as if they were sharp.
    large = Image.fromarray(heat.astype(np.float32), "F").resize(picture.size, Image.Resampling.BICUBIC)
    share = np.clip(np.asarray(large), 0, 1)[..., None]
    grey = np.asarray(picture.convert("L"), np.float32)[..., None] * 0.85
    place = share[..., 0] * (len(_RAMP) - 1)
    below = np.minimum(place.astype(np.int64), len(_RAMP) - 2)
    part = (place - below)[..., None]
    colour = _RAMP[below] * (1 - part) + _RAMP[below + 1] * part
    weight = 0.8 * np.sqrt(share)
    return _encode(Image.fromarray(np.rint(grey * (1 - weight) + colour * weight).astype(np.uint8)))


def _small(pixels: np.ndarray, side: int) -> Image.Image:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(pixels, np.uint8))
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def _encode(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
