from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.errors import DataError
from zoo.finetune.data import index
from zoo.finetune.pictures import Pictures
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


def colour(width: int = 12, height: int = 10) -> Image.Image:
    """Blue, with a white half on the left."""
    image = Image.new("RGB", (width, height), (0, 0, 255))
    image.paste((255, 255, 255), (0, 0, width // 2, height))
    return image


def lying(path: Path, **options: Any) -> None:
    """A picture whose upper half is white as stored, and whose right half is white once it is turned upright."""
    image = Image.new("RGB", (10, 12), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 10, 6))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(path, exif=exif, **options)


def clear(path: Path) -> None:
    image = Image.new("RGBA", (12, 10), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (6, 0, 12, 10))
    image.save(path)


def keyed(path: Path) -> None:
    """A palette whose first colour is transparent."""
    image = colour().quantize(2)
    image.save(path, transparency=image.getpixel((0, 0)))


def deep(path: Path) -> None:
    values = np.full((10, 12), 128 * 256 + 5, np.uint16)
    values[:, :6] = 65535
    Image.fromarray(values).save(path)


def moving(path: Path) -> None:
    colour().save(path, save_all=True, append_images=[Image.new("RGB", (12, 10), (255, 0, 0))], duration=50, loop=0)


HALVES = {"left": [255, 255, 255], "right": [0, 0, 255]}
GREY = {"left": [255, 255, 255], "right": [128, 128, 128]}
TURNED = {"left": [0, 0, 0], "right": [255, 255, 255]}
KINDS: dict[str, tuple[Callable[[Path], Any], dict[str, list[int]]]] = {
    "plain.jpg": (lambda path: colour().save(path, quality=95, subsampling=0), HALVES),
    "progressive.JPEG": (lambda path: colour().save(path, quality=95, subsampling=0, progressive=True), HALVES),
    "print.jpg": (lambda path: colour().convert("CMYK").save(path, quality=95, subsampling=0), HALVES),
    "grey.jpg": (lambda path: colour().convert("L").save(path, quality=95), {"left": [255] * 3, "right": [29] * 3}),
    "turned.jpg": (lambda path: lying(path, quality=95), TURNED),
    "plain.png": (lambda path: colour().save(path), HALVES),
    "deep.png": (deep, GREY),
    "clear.png": (clear, HALVES),
    "keyed.png": (keyed, HALVES),
    "turned.png": (lying, TURNED),
    "bits.png": (
        lambda path: colour().convert("L").convert("1", dither=0).save(path),
        {"left": [255] * 3, "right": [0] * 3},
    ),
    "photo.webp": (lambda path: colour().save(path, quality=95), HALVES),
    "exact.webp": (lambda path: colour().save(path, lossless=True), HALVES),
    "palette.gif": (lambda path: colour().convert("P").save(path), HALVES),
    "moving.gif": (moving, HALVES),
    "plain.bmp": (lambda path: colour().save(path), HALVES),
    "plain.ppm": (lambda path: colour().save(path), HALVES),
    "plain.tif": (lambda path: colour().save(path), HALVES),
    "packed.tiff": (lambda path: colour().save(path, compression="tiff_lzw"), HALVES),
    "print.tiff": (lambda path: colour().convert("CMYK").save(path), HALVES),
    "deep.tiff": (deep, GREY),
    "clear.tiff": (clear, HALVES),
    "integers.tiff": (
        lambda path: Image.fromarray(np.full((10, 12), 128 * 256, np.int32)).save(path),
        {"right": [128] * 3},
    ),
}


def test_images_of_every_kind_become_upright_rgb(tmp_path: Path) -> None:
    for name, (save, _) in KINDS.items():
        folder = tmp_path / ("a" if name < "k" else "b")
        folder.mkdir(exist_ok=True)
        save(folder / name)
    found = index(tmp_path, progress=False)
    assert found.skipped == ()
    assert {item.split("/")[1] for item in found.items} == set(KINDS)
    assert set(map(tuple, found.sizes.tolist())) == {(12, 10)}
    with Scratch() as scratch:
        images = Pictures(found, PREPROCESSING, scratch, False)(np.arange(len(found.items))).astype(int)
    for position, item in enumerate(found.items):
        opened = np.asarray(found.open(position)).astype(int)
        assert opened.shape == (10, 12, 3), item
        for pixels in (images[position], opened):
            for side, expected in KINDS[item.split("/")[1]][1].items():
                part = pixels[:, :4] if side == "left" else pixels[:, 8:]
                assert np.abs(part - expected).max() <= 12, (item, side)


def test_damaged_files_of_every_kind_are_skipped_with_the_reason(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    kinds = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif"}
    with Image.open(photos / "coffee" / "0.jpg") as image:
        for kind, suffix in kinds.items():
            image.save(tmp_path / "a" / f"whole.{suffix}", kind)
            whole = (tmp_path / "a" / f"whole.{suffix}").read_bytes()
            (tmp_path / "b" / f"cut.{suffix}").write_bytes(whole[: len(whole) * 3 // 4])
            (tmp_path / "b" / f"head.{suffix}").write_bytes(whole[:9])
    Image.fromarray(np.zeros((10, 12), np.float32)).save(tmp_path / "b" / "floats.tif")
    Image.fromarray(np.full((10, 12), 70_000, np.int32)).save(tmp_path / "b" / "wide.tif")
    for number in range(2):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(tmp_path / "b" / f"{number}.png")
    found = index(tmp_path, progress=False)
    reasons = {skipped.path.split("/")[1]: skipped.reason for skipped in found.skipped}
    expected = {f"{state}.{suffix}" for state in ("cut", "head") for suffix in kinds.values()}
    assert set(reasons) == {*expected, "floats.tif", "wide.tif"}
    assert "truncated" in reasons["cut.jpg"]
    assert reasons["floats.tif"] == "floating-point pixels have no known range; save it with 8 bits a channel"
    assert reasons["wide.tif"] == "32-bit pixels have no known range; save it with 8 or 16 bits a channel"
    assert all("\n" not in reason and reason for reason in reasons.values())


def test_a_file_with_a_wrong_suffix_counts_by_what_is_in_it(few: Path) -> None:
    (few / "digit-0" / "000.png").rename(few / "digit-0" / "000.jpg")
    assert index(few, progress=False).counts()["digit-0"] == 6


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_metadata_do_not_matter(few: Path) -> None:
    with Image.open(few / "digit-0" / "000.png") as image:
        image.convert("RGB").save(few / "digit-0" / "odd.jpg", exif=b"Exif\0\0II*\0" + b"\xff" * 40)
    found = index(few, progress=False)
    assert found.skipped == ()
    assert found.open(found.items.index("digit-0/odd.jpg")).size == (8, 8)


def test_images_too_many_for_the_memory_lie_in_a_file_that_is_removed(photos: Path) -> None:
    found = index(photos, progress=False)
    with Scratch() as roomy, Scratch(memory=0) as tight:
        expected = Pictures(found, PREPROCESSING, roomy, False)(np.arange(len(found.items)))
        mapped = Pictures(found, PREPROCESSING, tight, False)
        assert np.array_equal(mapped(np.arange(len(found.items))), expected)
        assert isinstance(mapped._array, np.memmap)
        file = Path(str(mapped._array.filename))
        assert file.exists()
        assert expected.std() > 10
    assert not file.parent.exists()


def test_no_room_for_temporary_arrays_is_said_before_anything_is_written() -> None:
    with Scratch(memory=0) as scratch, pytest.raises(DataError, match=r"no room for .* GiB"):
        scratch.array((2**44,), np.uint8)
