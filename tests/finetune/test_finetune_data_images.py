from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.errors import DataError
from zoo.finetune.data import index
from zoo.finetune.images import load
from zoo.finetune.scratch import Scratch
from zoo.schema import CropFraction, Preprocessing

PREPROCESSING = Preprocessing(
    height=10,
    width=12,
    channel_order="RGB",
    value_range=(0.0, 255.0),
    mean="none",
    std="none",
    resize=CropFraction(kind="crop-fraction", fraction=1.0),
    interpolation="nearest",
    library="pil",
    antialias=True,
)


def test_images_of_every_kind_become_rgb(tmp_path: Path) -> None:
    """Transparent red over white, 16-bit gray, CMYK, a palette GIF and a picture lying on its side by EXIF."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    Image.new("RGBA", (12, 10), (255, 0, 0, 0)).save(tmp_path / "a" / "clear.png")
    Image.fromarray(np.full((10, 12), 128 * 256, np.uint16)).save(tmp_path / "a" / "deep.png")
    Image.new("CMYK", (12, 10), (0, 255, 255, 0)).save(tmp_path / "a" / "print.jpg", quality=95)
    Image.new("RGB", (12, 10), (0, 0, 255)).convert("P").save(tmp_path / "b" / "palette.gif")
    lying = Image.new("RGB", (10, 12), (0, 0, 0))
    lying.paste((255, 255, 255), (0, 0, 10, 6))
    exif = Image.Exif()
    exif[0x0112] = 6
    lying.save(tmp_path / "b" / "turned.png", exif=exif)
    found = index(tmp_path, progress=False)
    with Scratch() as scratch:
        images = dict(zip(found.items, load(found, PREPROCESSING, scratch, progress=False), strict=True))
    assert images["a/clear.png"].tolist() == np.full((10, 12, 3), 255).tolist()
    assert np.abs(images["a/deep.png"].astype(int) - 128).max() <= 1
    assert np.abs(images["a/print.jpg"].astype(int) - [255, 0, 0]).max() <= 30
    assert images["b/palette.gif"].reshape(-1, 3).tolist() == [[0, 0, 255]] * 120
    assert images["b/turned.png"][:, 8:].min() == 255
    assert images["b/turned.png"][:, :4].max() == 0


def test_images_too_many_for_the_memory_lie_in_a_file_that_is_removed(photos: Path) -> None:
    found = index(photos, progress=False)
    with Scratch() as roomy, Scratch(memory=0) as tight:
        expected = load(found, PREPROCESSING, roomy, progress=False)
        mapped = load(found, PREPROCESSING, tight, progress=False)
        assert isinstance(mapped, np.memmap)
        file = Path(str(mapped.filename))
        assert file.exists()
        assert np.array_equal(mapped, expected)
        assert expected.std() > 10
    assert not file.parent.exists()


def test_no_room_for_temporary_arrays_is_said_before_anything_is_written() -> None:
    with Scratch(memory=0) as scratch, pytest.raises(DataError, match=r"no room for .* GiB"):
        scratch.array((2**44,), np.uint8)
