"""Arrays and tensors -> images of 8 bits: what is not clearly 0..255 is refused, never guessed."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.errors import DataError

_BRIGHT = 127
"""Numbers other than uint8 count as 0..255 when some are above this: 0..1, -1..1 and standardised ones never are."""
CHANNELS = (1, 3, 4)


def is_torch(value: Any) -> bool:
    """Whether it is a PyTorch tensor, told without importing PyTorch."""
    return hasattr(value, "detach") and hasattr(value, "cpu")


def as_numpy(value: Any) -> np.ndarray:
    """Returns the array in a tensor of any framework."""
    if is_torch(value):
        return np.asarray(value.detach().cpu().numpy())
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


class Pixels:
    """Brings the images of one source to uint8, channels last.

    Args:
        name: of the source, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._other: np.dtype[Any] | None = None
        self._low, self._high = np.inf, -np.inf

    def batch(self, images: Any) -> np.ndarray:
        """Returns (N, H, W) or (N, H, W, C) uint8.

        Raises:
            DataError: the shape or the range is not that of images.
        """
        array = as_numpy(images)
        if is_torch(images) and array.ndim == 4 and array.shape[1] in CHANNELS:
            array = array.transpose(0, 2, 3, 1)
        if array.ndim == 4 and array.shape[3] not in CHANNELS and array.shape[1] in CHANNELS:
            raise DataError(
                f"{self._name}: images have shape {array.shape}, channels before height and width; pass "
                f"images.transpose(0, 2, 3, 1)"
            )
        if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in CHANNELS) or 0 in array.shape[1:]:
            raise DataError(
                f"{self._name}: images have shape {array.shape}; expected (N, height, width, 3) or (N, height, width)"
            )
        return self._bytes(array)

    def one(self, image: Any) -> np.ndarray:
        """Returns (H, W) or (H, W, C) uint8; a PyTorch tensor is taken as (C, H, W) as is usual there.

        Raises:
            DataError: the shape or the range is not that of an image.
        """
        array = as_numpy(image)
        if is_torch(image) and array.ndim == 3 and array.shape[0] in CHANNELS:
            array = array.transpose(1, 2, 0)
        if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in CHANNELS) or 0 in array.shape:
            raise DataError(
                f"{self._name}: an image has shape {array.shape}; expected (height, width, 3) or (height, width)"
            )
        return self._bytes(array)

    def _bytes(self, array: np.ndarray) -> np.ndarray:
        if array.dtype == np.uint8:
            return array
        if array.dtype.kind not in "iuf" or not array.size:
            raise DataError(f"{self._name}: images are of type {array.dtype}; pass uint8, 0..255")
        low, high = float(array.min()), float(array.max())
        if not np.isfinite([low, high]).all():
            raise DataError(f"{self._name}: an image holds NaN or infinity; pass uint8, 0..255")
        self._other, self._low, self._high = array.dtype, min(self._low, low), max(self._high, high)
        if not (low >= 0 and high <= 255):
            self._refuse()
        rounded: np.ndarray = np.rint(array).astype(np.uint8)
        return rounded

    def finish(self) -> list[str]:
        """Returns what to say of the range.

        Raises:
            DataError: it cannot be told from the images.
        """
        if self._other is None:
            return []
        if self._high <= _BRIGHT:
            self._refuse()
        return [f"Images are {self._other} from {self._low:g} to {self._high:g}: taken as 0..255 and rounded."]

    def _refuse(self) -> None:
        if self._low >= 0 and self._high <= 1:
            hint = (
                "leave out what scales them (ToTensor, Rescaling), or pass (images * 255).round().astype('uint8') "
                "if they are 0..1"
            )
        elif self._low < 0:
            hint = "leave out what normalises them and pass uint8"
        else:
            hint = "scale them to 0..255 and pass uint8"
        raise DataError(
            f"{self._name}: images are {self._other} from {self._low:g} to {self._high:g}, a range that zoo does not "
            f"guess at; {hint}"
        )
