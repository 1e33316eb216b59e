"""Files -> size and digest: each is read once, and decoded to its last row."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from zoo.errors import DataError
from zoo.finetune.data.dataset import Found, Skipped
from zoo.finetune.data.notes import is_text, shown

if TYPE_CHECKING:
    import PIL.Image

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
UNREAD = frozenset(
    {".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".psd", ".tga", ".dng", ".cr2", ".cr3", ".nef", ".arw"}
    | {".dcm", ".nii", ".npy", ".pdf", ".mp4", ".mov"}
)
"""Suffixes of pictures that are not read: said, where other files are passed over."""
MAX_PIXELS = 100_000_000
"""Larger pictures are skipped: a file of a few kilobytes can claim to be one that fills the memory."""
MAX_BYTES = 2**29
"""Larger files are skipped: several are held in memory at a time."""

_ORIENTATION = 0x0112
_PLAIN = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
"""Modes of Pillow that become RGB whatever the pixels are."""
_LYING = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Image:
    """What is known of a readable image: width and height upright, in pixels, and the sha256 of its bytes."""

    size: tuple[int, int]
    digest: str


@dataclass(frozen=True)
class Entry:
    """A file and what the source says of it."""

    item: str
    """Path relative to the root with forward slashes, or absolute."""
    value: str | int
    part: str | None = None


@dataclass(frozen=True)
class Files:
    """Opens images by position."""

    root: Path
    items: tuple[str, ...]

    def __call__(self, position: int) -> PIL.Image.Image:
        """Returns an upright RGB image; raises DataError when it cannot be read."""
        path = self.root / self.items[position]
        try:
            with open(path, "rb") as file:
                return decode(file.read(), str(path))
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or error}") from None


def decode(content: bytes, name: str) -> PIL.Image.Image:
    """Returns the image in a file's bytes, upright RGB.

    Raises:
        DataError: it is damaged or of a format not in `FORMATS`.
    """
    import PIL.Image

    from zoo.preprocessing import load_image

    try:
        with PIL.Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return load_image(image)
    except DataError as error:
        raise DataError(f"{name}: {str(error).removeprefix('image: ')}") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise DataError(f"{name}: {str(error) or type(error).__name__}".splitlines()[0]) from None


def read_files(name: str, root: Path, entries: list[Entry], progress: bool) -> Found:
    """Reads every file once, in threads: what is readable, and what is not with the reason."""
    with warnings.catch_warnings():
        # Pillow warns about large pictures and odd metadata; what matters of it is in the reason.
        warnings.simplefilter("ignore")
        results = list(threaded(lambda entry: _read(root, entry.item), entries, "reading", progress))
    kept = [(entry, found) for entry, found in zip(entries, results, strict=True) if isinstance(found, Image)]
    items = [entry.item for entry, _ in kept]
    lost = {entry.part for entry in entries if entry.part} - {entry.part for entry, _ in kept}
    return Found(
        name=name,
        items=items,
        values=[entry.value for entry, _ in kept],  # type: ignore[arg-type]
        sizes=[found.size for _, found in kept],
        digests=[found.digest for _, found in kept],
        parts=[entry.part or "training" for entry, _ in kept] if any(entry.part for entry in entries) else None,
        opener=Files(root, tuple(items)),
        skipped=[
            (Skipped(shown(entry.item), found), entry.value)
            for entry, found in zip(entries, results, strict=True)
            if isinstance(found, str)
        ],
        notes=lost_parts(lost),
    )


def lost_parts(parts: set[str]) -> list[str]:
    """Returns what to say of parts without a readable image."""
    return [f"No image of the {part} part can be read." for part in sorted(parts)]


def threaded(work: Callable[[_Item], _Result], items: Iterable[_Item], what: str, progress: bool) -> Iterator[_Result]:
    """Yields `work(item)` in order, from a pool of threads, with a bar on a terminal."""
    from tqdm import tqdm

    items = list(items)
    with ThreadPoolExecutor(max_workers=min(16, 2 * (os.cpu_count() or 1))) as pool:
        yield from tqdm(pool.map(work, items), what, len(items), leave=False, disable=None if progress else True)


def _read(root: Path, item: str) -> Image | str:
    if not is_text(item):
        return "its name is no UTF-8 text; rename it"
    content = read_bytes(root / item)
    return content if isinstance(content, str) else probe(content)


def read_bytes(path: Path) -> bytes | str:
    """Returns a file's bytes, or why they cannot be had."""
    try:
        state = path.stat()
        if stat.S_ISDIR(state.st_mode):
            return "a folder"
        if not stat.S_ISREG(state.st_mode):  # a pipe or a device would be waited for, or read, without end
            return "not a regular file"
        if state.st_size > MAX_BYTES:
            return f"larger than {MAX_BYTES // 2**20} MiB"
        return path.read_bytes()
    except FileNotFoundError:
        return "no such file"
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def probe(content: bytes) -> Image | str:
    """Returns size and digest of an image that decodes to its last row, or why it does not."""
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return Image(_decoded_size(image), hashlib.sha256(content).hexdigest())
    except DataError as error:
        return str(error).removeprefix("image: ")
    except PIL.Image.DecompressionBombError:
        return f"more than {MAX_PIXELS:,} pixels"
    except PIL.UnidentifiedImageError:
        return "not an image, or damaged at its beginning" if content else "empty file"
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        return f"damaged: {str(error) or type(error).__name__}".splitlines()[0]


def _decoded_size(image: PIL.Image.Image) -> tuple[int, int]:
    from zoo.preprocessing import load_image

    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(f"{width} x {height} pixels, more than {MAX_PIXELS:,}")
    # JPEGs are decoded at an eighth of their size: every byte is still read.
    image.draft("RGB", (1, 1))
    image.load()
    if image.mode not in _PLAIN:
        load_image(image)  # which knows the ranges that can be told, and what has no way to RGB
    try:
        lying = image.getexif().get(_ORIENTATION) in _LYING
    except Exception:  # damaged EXIF in a sound photograph: the picture counts, as in load_image
        lying = False
    return (height, width) if lying else (width, height)
