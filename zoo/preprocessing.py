"""Images -> the array a model wants.

Two halves. `load_image`, `resize_and_crop` and `preprocess` stay outside the model and follow the card exactly, with
Pillow as the resizing engine. `affine` gives the half that goes inside it: mean, std and value range as one scale and
offset; `per_pixel` gives it for models that take grey images or subtract a mean image.

Pillow always widens its kernel when it shrinks (antialiasing). Where a card says that another library resized when the
published accuracy was measured (`library`, `antialias`), pixels differ slightly from that library's; zoo's pixels are
the same on every machine.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import PIL.Image
from PIL import ImageOps, UnidentifiedImageError
from pydantic import TypeAdapter, ValidationError

from zoo import given
from zoo.errors import DataError, FormatError, UnknownFactError, UsageError
from zoo.schema import CropFraction, CropPadding, MeanFile, ModelCard, Preprocessing, Resize, ShortSide, Square

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = str | os.PathLike[str] | PIL.Image.Image | NDArray[np.uint8]

IMAGE_SUFFIXES = frozenset(
    f".{suffix}" for suffix in ("bmp", "gif", "jpeg", "jpg", "jpe", "jfif", "png", "ppm", "pgm", "tif", "tiff", "webp")
)
MAX_PIXELS = 178_956_970  # Pillow's own limit for a decompression bomb, half a gigabyte as RGB
GREY = (0.299, 0.587, 0.114)  # of R, G, B
_ORIENTATION = 0x0112  # of EXIF
FILTERS = {
    "nearest": PIL.Image.Resampling.NEAREST,
    "bilinear": PIL.Image.Resampling.BILINEAR,
    "bicubic": PIL.Image.Resampling.BICUBIC,
    "lanczos": PIL.Image.Resampling.LANCZOS,
    "area": PIL.Image.Resampling.BOX,
}
KINDS = ", ".join(
    get_args(arm.model_fields["kind"].annotation)[0] for arm in (ShortSide, Square, CropFraction, CropPadding)
)


def load_image(source: Image) -> PIL.Image.Image:
    """Gives an image as upright 8-bit RGB, whatever it was.

    Turned as its EXIF says; transparency laid over white; 16-bit grey cut to its upper 8 bits (as Pillow does with
    16-bit RGB); palette, grey and CMYK converted; the first frame of an animation.

    Args:
        source: path of an image file, a PIL image, or a uint8 array of shape (H, W), (H, W, 1), (H, W, 3) RGB or
            (H, W, 4) RGBA, values 0..255.

    Returns:
        A PIL image of mode RGB.

    Raises:
        DataError: the file is missing, damaged, too large or no image; the array has another shape or type.
    """
    if isinstance(source, np.ndarray):
        return _upright_rgb(_from_array(source), "array")
    if isinstance(source, PIL.Image.Image):
        name = str(getattr(source, "filename", "") or "image")
    elif isinstance(source, str | os.PathLike):
        name = os.fspath(source)
    else:
        raise DataError(f"expected a path, a PIL image or a uint8 array, got {type(source).__name__}")
    try:
        if isinstance(source, PIL.Image.Image):
            return _upright_rgb(source, name)
        with PIL.Image.open(name) as image:
            return _upright_rgb(image, name)
    except UnidentifiedImageError:
        raise DataError(f"{name}: not an image that Pillow can read") from None
    except PIL.Image.DecompressionBombError:
        raise DataError(f"{name}: more than {MAX_PIXELS:,} pixels; shrink it first") from None
    except FileNotFoundError:
        raise DataError(f"{name}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{name}: a folder, expected an image file") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(f"{name}: damaged image: {_one_line(error)}") from None


def _from_array(array: NDArray[Any]) -> PIL.Image.Image:
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype != np.uint8 or not shaped or array.size == 0:
        raise DataError(
            f"array: expected uint8 of shape (H, W), (H, W, 3) or (H, W, 4) with values 0..255, "
            f"got {array.dtype} of shape {array.shape}"
        )
    return PIL.Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.shape[2:] == (1,) else array))


def _upright_rgb(image: PIL.Image.Image, name: str) -> PIL.Image.Image:
    if image.width * image.height > MAX_PIXELS:
        raise DataError(f"{name}: {image.width} x {image.height} is more than {MAX_PIXELS:,} pixels; shrink it first")
    image.load()
    # Damaged EXIF in a sound photograph: Pillow raises a zoo of things on it; the picture counts.
    with contextlib.suppress(Exception):
        if image.getexif().get(_ORIENTATION, 1) != 1:  # transposing would copy every picture, which costs as decoding
            image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = _from_integers(image, name)
    if image.mode == "F":
        raise DataError(f"{name}: floating-point pixels have no known range; save it with 8 bits a channel")
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        above = image.convert("RGBA")
        paper = PIL.Image.new("RGBA", above.size, (255, 255, 255, 255))
        image = PIL.Image.alpha_composite(paper, above)
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_integers(image: PIL.Image.Image, name: str) -> PIL.Image.Image:
    """16-bit grey, which Pillow would clip at 255."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{name}: 32-bit pixels have no known range; save it with 8 or 16 bits a channel")
    return PIL.Image.fromarray((values >> 8).astype(np.uint8))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def resize_and_crop(
    image: PIL.Image.Image,
    preprocessing: Preprocessing,
    *,
    resize: Resize | Mapping[str, Any] | None = None,
    interpolation: str | None = None,
    name: str = "model",
) -> NDArray[np.uint8]:
    """Brings an image to a model's size, as the card's resize rule says.

    Args:
        image: RGB, as `load_image` gives it. Small ones are scaled up by the same rule.
        preprocessing: the card's.
        resize: a rule in place of the card's: `{"kind": "short-side", "size": 256}`.
        interpolation: in place of the card's: nearest, bilinear, bicubic, lanczos or area.
        name: the model's name, for messages.

    Returns:
        uint8 array of shape (height, width, 3), RGB, 0..255.

    Raises:
        UnknownFactError: no source gives the rule or the interpolation, and the caller did not either.
        UsageError: there is no such rule or interpolation.
        DataError: the image is so long and thin that the rule would blow it up beyond bounds.
    """
    rule = _rule(resize, preprocessing, name)
    kernel = FILTERS[_interpolation(interpolation, preprocessing, name)]
    size = preprocessing.sides[::-1]
    if isinstance(rule, ShortSide):
        scaled = image.resize(_short_side(image, rule.size), kernel)
        # torchvision, center_crop: round() of the half, to even
        return _cut(scaled, round((scaled.width - size[0]) / 2), round((scaled.height - size[1]) / 2), *size)
    if isinstance(rule, Square):
        scaled = image.resize((rule.size, rule.size), kernel)
        # Caffe's data layer and yahoo/open_nsfw's classify_nsfw.py: the half is rounded down
        return _cut(scaled, (rule.size - size[0]) // 2, (rule.size - size[1]) // 2, *size)
    box = _fraction_box(image, rule) if isinstance(rule, CropFraction) else _padding_box(image, rule, size[1])
    left, top, width, height = box
    return np.asarray(image.crop((left, top, left + width, top + height)).resize(size, kernel))


def _short_side(image: PIL.Image.Image, size: int) -> tuple[int, int]:
    """New (width, height); the longer side is rounded down, as torchvision and timm do."""
    short, long = sorted(image.size)
    other = int(size * long / short)
    if size * other > MAX_PIXELS:
        raise DataError(f"image: {image.width} x {image.height} is too long and thin to scale its short side to {size}")
    return (size, other) if image.width <= image.height else (other, size)


def _fraction_box(image: PIL.Image.Image, rule: CropFraction) -> tuple[int, int, int, int]:
    """tf.image.central_crop: what is cut off before is rounded down, and as much is cut off behind."""
    left, top = (int((side - side * rule.fraction) / 2) for side in image.size)
    return left, top, image.width - 2 * left, image.height - 2 * top


def _padding_box(image: PIL.Image.Image, rule: CropPadding, out: int) -> tuple[int, int, int, int]:
    """tensorflow/tpu models/official/efficientnet/preprocessing.py, _decode_and_center_crop; float32 as there."""
    side = max(1, int(np.float32(out / (out + rule.padding)) * np.float32(min(image.size))))
    return (image.width - side + 1) // 2, (image.height - side + 1) // 2, side, side


def _cut(image: PIL.Image.Image, left: int, top: int, width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(image.crop((left, top, left + width, top + height)))


def _rule(stated: Resize | Mapping[str, Any] | None, preprocessing: Preprocessing, name: str) -> Any:
    rule: Any = preprocessing.resize if stated is None else stated
    if rule == "unknown":
        raise UnknownFactError(
            f"{name}.preprocessing.resize: no source gives it; pass resize={{'kind': 'short-side', 'size': 256}} "
            f"(--resize short-side:256) or another of {KINDS}"
        )
    if stated is None:
        return rule
    try:
        rule = TypeAdapter(Resize).validate_python(rule)
    except ValidationError as error:
        what = error.errors(include_url=False)[0]
        where = ".".join(["resize", *(str(part) for part in what["loc"])])
        raise UsageError(
            f"{where}: {what['msg']}; expected one of {KINDS}, as in {{'kind': 'square', 'size': 256}}"
        ) from None
    side = max(preprocessing.sides)
    if isinstance(rule, ShortSide | Square) and rule.size < side:
        raise UsageError(f"resize.size: expected at least {side}, the side that is cut out of it, got {rule.size}")
    return rule


def _interpolation(stated: str | None, preprocessing: Preprocessing, name: str) -> str:
    kind = preprocessing.interpolation if stated is None else stated
    if kind == "unknown":
        raise UnknownFactError(
            f"{name}.preprocessing.interpolation: no source gives it; pass interpolation='bilinear' "
            f"(--interpolation bilinear) or another of {', '.join(FILTERS)}"
        )
    if kind not in FILTERS:
        raise UsageError(f"interpolation: expected one of {', '.join(FILTERS)}, got {kind!r}")
    return kind


def preprocess(
    card: ModelCard | Preprocessing,
    images: Image | Iterable[Image],
    *,
    resize: Resize | Mapping[str, Any] | None = None,
    interpolation: str | None = None,
) -> NDArray[np.uint8]:
    """Loads, resizes and crops images for a model.

    Args:
        card: the model's card, or its preprocessing.
        images: one or many of what `load_image` takes; an array (N, H, W, C) counts as many.
        resize: see `resize_and_crop`.
        interpolation: see `resize_and_crop`.

    Returns:
        uint8 array of shape (N, height, width, 3), RGB, 0..255: what a loaded model takes.

    Raises:
        DataError: an image cannot be read.
        UnknownFactError: no source gives the resize rule or the interpolation.
        UsageError: the rule or the interpolation asked for does not exist.
    """
    name, rules = (card.name, card.preprocessing) if isinstance(card, ModelCard) else ("model", card)
    found = [
        resize_and_crop(load_image(image), rules, resize=resize, interpolation=interpolation, name=name)
        for image in as_list(images)
    ]
    return np.stack(found) if found else np.zeros((0, *rules.sides, 3), np.uint8)


def as_list(images: Image | Iterable[Image]) -> list[Image]:
    """One image or many -> a list; an array of four dimensions is many."""
    if isinstance(images, str | os.PathLike | PIL.Image.Image) or (isinstance(images, np.ndarray) and images.ndim != 4):
        return [images]
    return list(images)


def image_paths(folder: str | os.PathLike[str]) -> list[Path]:
    """Image files in a folder and below it, by suffix, sorted; hidden ones are left out.

    Raises:
        DataError: there are none.
    """
    root = Path(folder)
    found = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    if not found:
        raise DataError(f"{root}: no images in this folder; expected files such as .jpg or .png")
    return found


def affine(preprocessing: Preprocessing, *, name: str = "model") -> tuple[list[float], list[float]]:
    """The arithmetic half of the preprocessing, `y = x * scale + offset`, for RGB input.

    Args:
        preprocessing: the card's.
        name: the model's name, for messages.

    Returns:
        (scale, offset), three numbers each, in R, G, B order whatever the origin's order, for x in 0..255.

    Raises:
        UnknownFactError: no source gives channel order, range, mean or std; all that are missing are named.
        UsageError: the model takes grey images, or subtracts a mean image: see `per_pixel`.
    """
    _check_known(preprocessing, name)
    if is_per_pixel(preprocessing):
        raise UsageError(f"{name}.preprocessing: a grey input or a mean image is no scale and offset per channel")
    mean = np.array(preprocessing.mean if isinstance(preprocessing.mean, tuple) else [0.0] * 3, np.float64)
    std = np.array(preprocessing.std if isinstance(preprocessing.std, tuple) else [1.0] * 3, np.float64)
    if preprocessing.channel_order == "BGR":
        mean, std = mean[::-1], std[::-1]
    full = 255.0 if preprocessing.value_range == (0.0, 1.0) else 1.0
    offset = -mean / std + 0.0  # + 0.0: a mean of nothing gives 0, not -0
    return (1.0 / (full * std)).tolist(), offset.tolist()


def is_per_pixel(preprocessing: Preprocessing) -> bool:
    """Returns whether the preprocessing is more than a scale and an offset per channel: see `per_pixel`."""
    return preprocessing.channel_order == "gray" or isinstance(preprocessing.mean, MeanFile)


def per_pixel(
    preprocessing: Preprocessing, mean_image: NDArray[np.float32] | None = None, *, name: str = "model"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The arithmetic half of the preprocessing, `y = x @ kernel + bias`, for RGB input.

    A mean image larger than the network's input is cut at its centre, as Caffe cuts it with the image
    (data_transformer.cpp). Grey is 0.299 R + 0.587 G + 0.114 B, which OpenCV and Pillow share (ITU-R 601), not rounded.

    Args:
        preprocessing: the card's.
        mean_image: (C, height, width) in the origin's channel order, on its value range; at least the input's size.
        name: the model's name, for messages.

    Returns:
        kernel (3, C) and bias (height, width, C) for x (height, width, 3) RGB in 0..255; C in the origin's order.

    Raises:
        UnknownFactError: no source gives channel order, range, mean or std; all that are missing are named.
        FormatError: the mean image has another number of channels, or is smaller than the input.
    """
    _check_known(preprocessing, name)
    orders = {"RGB": np.eye(3), "BGR": np.eye(3)[:, ::-1], "gray": np.array([GREY]).T}
    kernel = orders[preprocessing.channel_order]
    height, width = preprocessing.sides
    mean = np.zeros(kernel.shape[1]) if preprocessing.mean == "none" else preprocessing.mean
    if mean_image is not None:
        channels, rows, columns = mean_image.shape
        if channels != kernel.shape[1] or rows < height or columns < width:
            raise FormatError(
                f"{name}.preprocessing.mean: the mean image has {channels} channels of {rows}x{columns}, the input has "
                f"{kernel.shape[1]} of {height}x{width}"
            )
        top, left = (rows - height) // 2, (columns - width) // 2
        mean = np.moveaxis(mean_image[:, top : top + height, left : left + width], 0, -1)
    std = np.ones(kernel.shape[1]) if preprocessing.std == "none" else np.array(preprocessing.std, np.float64)
    full = 255.0 if preprocessing.value_range == (0.0, 1.0) else 1.0
    bias = np.broadcast_to(-np.asarray(mean, np.float64) / std, (height, width, kernel.shape[1]))
    return (kernel / (full * std)).astype(np.float32), (bias + 0.0).astype(np.float32)


def _check_known(preprocessing: Preprocessing, name: str) -> None:
    if missing := given.unknown(preprocessing):
        raise UnknownFactError(given.told(missing, name))
