"""Images -> arrays: every kind of file, every resize rule by hand, and the arithmetic half against the formula."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.errors import DataError, UnknownFactError, UsageError
from zoo.preprocessing import affine, as_list, image_paths, load_image, preprocess, resize_and_crop
from zoo.schema import Preprocessing


def rules(**changes: Any) -> Preprocessing:
    """Preprocessing with everything stated; `changes` replace fields."""
    facts = {
        "height": 4,
        "width": 4,
        "channel_order": "RGB",
        "value_range": (0.0, 255.0),
        "mean": "none",
        "std": "none",
        "resize": {"kind": "square", "size": 4},
        "interpolation": "nearest",
        "library": "pil",
        "antialias": True,
    }
    return Preprocessing.model_validate({**facts, **changes})


def ramp(height: int, width: int) -> Image.Image:
    """Red is the column, green the row, blue 7: each pixel says where it came from."""
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([columns, rows, np.full_like(rows, 7)], axis=-1).astype(np.uint8))


def where(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """First and last column, first and last row, of a piece cut out of `ramp`."""
    return int(pixels[0, 0, 0]), int(pixels[-1, -1, 0]), int(pixels[0, 0, 1]), int(pixels[-1, -1, 1])


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


# -- load_image


def test_a_photograph_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows run right to left, columns top to bottom
    path = save(ramp(2, 3), tmp_path / "x.png", exif=exif)
    turned = np.asarray(load_image(path))
    assert turned.shape == (3, 2, 3)
    np.testing.assert_array_equal(turned, np.rot90(np.asarray(ramp(2, 3)), -1))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_cost_the_photograph(tmp_path: Path) -> None:
    path = save(ramp(8, 8), tmp_path / "x.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff\x06")
    assert load_image(path).size == (8, 8)


def test_transparency_is_laid_over_white() -> None:
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = [0, 255, 51]  # clear, solid, one fifth black
    assert np.asarray(load_image(Image.fromarray(pixels)))[0, :, 0].tolist() == [255, 0, 204]
    assert np.asarray(load_image(pixels))[0, :, 0].tolist() == [255, 0, 204]


def test_transparent_palette_is_laid_over_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putdata([0, 1])
    path = save(image, tmp_path / "x.png", transparency=0)
    assert np.asarray(load_image(path))[0].tolist() == [[255, 255, 255], [200, 0, 0]]


def test_sixteen_bit_grey_keeps_its_upper_bits(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    path = save(Image.fromarray(values), tmp_path / "x.png")
    assert np.asarray(load_image(path))[0, :, 1].tolist() == [0, 0, 1, 128, 255]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "RGBA", "RGB", "HSV", "LAB"])
def test_white_is_white_in_every_mode(mode: str) -> None:
    white = {"HSV": (0, 0, 255), "LAB": (255, 128, 128), "CMYK": (0, 0, 0, 0)}.get(mode)
    image = Image.new(mode, (3, 2), white) if white else Image.new("RGB", (3, 2), "white").convert(mode)
    loaded = load_image(image)
    assert loaded.mode == "RGB"
    assert np.asarray(loaded).min() >= 254


def test_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    path = save(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / "x.jpg", quality=100)
    red, green, blue = np.asarray(load_image(path))[8, 8].tolist()
    assert red > 250
    assert max(green, blue) < 5


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = save(frames[0], tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert np.asarray(load_image(path))[0, 0].tolist() == [255, 0, 0]


def test_arrays_of_grey_and_colour_are_taken() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for array in (grey, grey[:, :, None]):
        np.testing.assert_array_equal(np.asarray(load_image(array)), np.stack([grey] * 3, axis=-1))
    colour = np.asarray(ramp(2, 3))
    np.testing.assert_array_equal(np.asarray(load_image(colour[:, ::-1])), colour[:, ::-1])


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (np.zeros((2, 2, 3), np.float32), "got float32 of shape (2, 2, 3)"),
        (np.zeros((2, 2, 5), np.uint8), "got uint8 of shape (2, 2, 5)"),
        (np.zeros((0, 2, 3), np.uint8), "got uint8 of shape (0, 2, 3)"),
        (np.zeros(4, np.uint8), "got uint8 of shape (4,)"),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, got: str) -> None:
    with pytest.raises(DataError, match="expected uint8 of shape") as caught:
        load_image(array)
    assert got in str(caught.value)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(DataError, match="expected a path, a PIL image or a uint8 array, got list"):
        load_image([1, 2, 3])  # type: ignore[arg-type]


def test_floating_point_images_are_refused() -> None:
    with pytest.raises(DataError, match="floating-point pixels have no known range"):
        load_image(Image.new("F", (2, 2)))


def test_wide_integers_are_refused() -> None:
    with pytest.raises(DataError, match="32-bit pixels have no known range"):
        load_image(Image.fromarray(np.array([[0, 70000]], np.int32)))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not an image"),
        (b"<html>no such page</html>", "not an image"),
        ("truncated", "damaged image"),
        ("half a jpeg", "damaged image"),
        (b"P6 40000 40000 255\n", "more than 178,956,970 pixels"),
    ],
)
def test_bad_files_are_named_in_one_line(tmp_path: Path, content: bytes | str, what: str) -> None:
    path = tmp_path / "bad.jpg"
    if isinstance(content, str):
        buffer = io.BytesIO()
        ramp(64, 64).save(buffer, format="PNG" if content == "truncated" else "JPEG")
        content = buffer.getvalue()[: len(buffer.getvalue()) // 2]
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_image(path)
    assert str(caught.value).startswith(f"{path}: {what}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg: no such file"):
        load_image(tmp_path / "gone.jpg")
    with pytest.raises(DataError, match="a folder, expected an image file"):
        load_image(tmp_path)


def test_a_damaged_image_already_opened_is_named(tmp_path: Path) -> None:
    path = save(ramp(64, 64), tmp_path / "x.png")
    path.write_bytes(path.read_bytes()[:100])
    with Image.open(path) as image, pytest.raises(DataError, match=r"x\.png: damaged image"):
        load_image(image)


# -- resize_and_crop


def test_square_takes_the_centre_with_the_half_rounded_down() -> None:
    pixels = resize_and_crop(ramp(9, 9), rules(resize={"kind": "square", "size": 9}))
    assert where(pixels) == (2, 5, 2, 5)  # (9 - 4) // 2 = 2


def test_square_loses_the_aspect() -> None:
    pixels = resize_and_crop(ramp(4, 8), rules(resize={"kind": "square", "size": 4}))
    assert pixels.shape == (4, 4, 3)
    assert where(pixels) == (1, 7, 0, 3)  # every second column, every row


@pytest.mark.parametrize(("side", "left"), [(4, 0), (5, 0), (6, 1), (7, 2), (8, 2), (9, 2), (11, 4)])
def test_short_side_takes_the_centre_with_the_half_rounded_to_even(side: int, left: int) -> None:
    pixels = resize_and_crop(ramp(side, side), rules(resize={"kind": "short-side", "size": side}))
    assert where(pixels) == (left, left + 3, left, left + 3)


def test_short_side_keeps_the_aspect_and_rounds_the_long_side_down() -> None:
    # 10 x 7 -> short side 4: the long side is int(4 * 10 / 7) = 5
    wide = resize_and_crop(ramp(7, 10), rules(resize={"kind": "short-side", "size": 4}))
    expected = np.asarray(ramp(7, 10).resize((5, 4), Image.Resampling.NEAREST))[:, 0:4]
    np.testing.assert_array_equal(wide, expected)
    tall = resize_and_crop(ramp(10, 7), rules(resize={"kind": "short-side", "size": 4}))
    np.testing.assert_array_equal(tall, np.asarray(ramp(10, 7).resize((4, 5), Image.Resampling.NEAREST))[0:4])


def test_crop_fraction_cuts_both_sides_alike() -> None:
    # 16 x 24, 0.5: 4 rows and 6 columns fall away on each side
    pixels = resize_and_crop(ramp(16, 24), rules(height=8, width=12, resize={"kind": "crop-fraction", "fraction": 0.5}))
    assert where(pixels) == (6, 17, 4, 11)


def test_crop_fraction_rounds_what_falls_away_down() -> None:
    # 9 rows, 0.875: int(9 * 0.125 / 2) = 0 falls away
    pixels = resize_and_crop(ramp(9, 9), rules(height=9, width=9, resize={"kind": "crop-fraction", "fraction": 0.875}))
    assert where(pixels) == (0, 8, 0, 8)


def test_crop_padding_cuts_a_square_with_the_half_rounded_up() -> None:
    # output 6, padding 2: a square of int(6 / 8 * 8) = 6 pixels; it begins at (8 - 6 + 1) // 2 and (11 - 6 + 1) // 2
    pixels = resize_and_crop(ramp(8, 11), rules(height=6, width=6, resize={"kind": "crop-padding", "padding": 2}))
    assert where(pixels) == (3, 8, 1, 6)


@pytest.mark.parametrize("side", [1, 2, 3, 5, 223, 224, 225, 300, 301, 1023])
def test_crop_padding_of_any_side_is_pillows_resize_of_that_square(side: int) -> None:
    image = Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side + 7, 3), np.uint8))
    pixels = resize_and_crop(image, zoo.info("efficientnet-lite0").preprocessing)
    cut = max(1, int(224 / 256 * side))
    top, left = (side - cut + 1) // 2, (side + 7 - cut + 1) // 2
    square = image.crop((left, top, left + cut, top + cut))
    np.testing.assert_array_equal(pixels, np.asarray(square.resize((224, 224), Image.Resampling.BICUBIC)))


def test_crop_padding_rounds_its_ratio_as_tensorflow_does() -> None:
    # In float32, as TensorFlow multiplies; in float64 some sides would come out one pixel smaller.
    expected = {side: int(np.float32(240 / 272) * np.float32(side)) for side in (34, 272, 544, 816)}
    assert expected == {34: 30, 272: 240, 544: 480, 816: 720}
    for side, cut in expected.items():
        image = ramp(side, side)
        pixels = resize_and_crop(image, rules(height=240, width=240, resize={"kind": "crop-padding", "padding": 32}))
        start = (side - cut + 1) // 2
        square = image.crop((start, start, start + cut, start + cut)).resize((240, 240), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(pixels, np.asarray(square))


def test_open_nsfw_is_the_centre_of_256_by_256() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 401, 3), np.uint8))
    pixels = resize_and_crop(image, zoo.info("open-nsfw").preprocessing)
    expected = np.asarray(image.resize((256, 256), Image.Resampling.BILINEAR))[16:240, 16:240]
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("photograph", ["chelsea", "coffee", "rocket", "astronaut"])
@pytest.mark.parametrize("name", ["efficientnet-lite0", "open-nsfw"])
def test_photographs_come_out_as_the_reference_cut_them(name: str, photograph: str) -> None:
    """The inputs that the origin framework was given, cut by a script that does not know zoo."""
    import skimage.data

    with Image.open(Path(__file__).parent / "golden" / name / f"{photograph}.png") as golden:
        expected = np.asarray(golden.convert("RGB"))
    np.testing.assert_array_equal(zoo.preprocess(name, getattr(skimage.data, photograph)())[0], expected)


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("nearest", Image.Resampling.NEAREST),
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
        ("lanczos", Image.Resampling.LANCZOS),
        ("area", Image.Resampling.BOX),
    ],
)
def test_each_interpolation_is_pillows(name: str, kernel: Image.Resampling) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (11, 13, 3), np.uint8))
    pixels = resize_and_crop(image, rules(interpolation=name))
    np.testing.assert_array_equal(pixels, np.asarray(image.resize((4, 4), kernel)))


@pytest.mark.parametrize("kind", ["short-side", "square", "crop-fraction", "crop-padding"])
def test_an_image_of_one_pixel_is_scaled_up(kind: str) -> None:
    numbers = {
        "short-side": {"size": 6},
        "square": {"size": 6},
        "crop-fraction": {"fraction": 0.5},
        "crop-padding": {"padding": 4},
    }
    pixels = resize_and_crop(Image.new("RGB", (1, 1), (1, 2, 3)), rules(resize={"kind": kind, **numbers[kind]}))
    assert pixels.shape == (4, 4, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == [1, 2, 3]).all()


def test_a_thread_of_an_image_is_refused() -> None:
    with pytest.raises(DataError, match="1000000 x 1 is too long and thin to scale its short side to 256"):
        resize_and_crop(
            Image.new("RGB", (1_000_000, 1)), rules(height=224, width=224, resize={"kind": "short-side", "size": 256})
        )


def test_unknown_facts_are_asked_for() -> None:
    with pytest.raises(UnknownFactError, match=r"x\.preprocessing\.resize: no source gives it; pass resize="):
        resize_and_crop(ramp(9, 9), rules(resize="unknown"), name="x")
    with pytest.raises(
        UnknownFactError, match=r"x\.preprocessing\.interpolation: no source gives it; pass interpolation="
    ):
        resize_and_crop(ramp(9, 9), rules(interpolation="unknown"), name="x")
    given = resize_and_crop(
        ramp(9, 9),
        rules(resize="unknown", interpolation="unknown"),
        resize={"kind": "square", "size": 9},
        interpolation="nearest",
    )
    assert where(given) == (2, 5, 2, 5)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"resize": {"kind": "letterbox"}}, "expected one of short-side, square, crop-fraction, crop-padding"),
        ({"resize": {"kind": "square"}}, "resize.square.size: Field required"),
        ({"resize": {"kind": "square", "size": 3}}, "resize.size: expected at least 4"),
        (
            {"interpolation": "cubic"},
            "interpolation: expected one of nearest, bilinear, bicubic, lanczos, area, got 'cubic'",
        ),
    ],
)
def test_impossible_overrides_are_refused(given: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError) as caught:
        resize_and_crop(ramp(9, 9), rules(), **given)
    assert what in str(caught.value)


# -- preprocess


def test_preprocess_takes_one_or_many_of_any_kind(tmp_path: Path) -> None:
    path = save(ramp(4, 4), tmp_path / "x.png")
    array = np.asarray(ramp(4, 4))
    batch = preprocess(rules(), [path, str(path), ramp(4, 4), array])
    assert batch.shape == (4, 4, 4, 3)
    assert batch.dtype == np.uint8
    assert (batch == array).all()
    assert preprocess(rules(), path).shape == (1, 4, 4, 3)
    assert preprocess(rules(), np.stack([array, array])).shape == (2, 4, 4, 3)
    assert preprocess(rules(), []).shape == (0, 4, 4, 3)
    assert preprocess(zoo.info("open-nsfw"), array).shape == (1, 224, 224, 3)


def test_one_array_is_one_image() -> None:
    assert len(as_list(np.zeros((4, 4, 3), np.uint8))) == 1
    assert len(as_list(np.zeros((5, 4, 4, 3), np.uint8))) == 5


def test_image_paths_are_sorted_and_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/z.png", "notes.txt", ".hidden/x.png", "._b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in image_paths(tmp_path)] == ["a/z.png", "b.JPG"]
    with pytest.raises(DataError, match="no images in this folder"):
        image_paths(tmp_path / ".hidden" / "none")


# -- affine


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("value_range", [(0.0, 1.0), (0.0, 255.0)])
@pytest.mark.parametrize("mean", [(0.4, 5.0, 60.0), "none"])
@pytest.mark.parametrize("std", [(0.2, 3.0, 50.0), "none"])
def test_affine_is_the_formula_of_the_card(order: str, value_range: Any, mean: Any, std: Any) -> None:
    scale, offset = affine(rules(channel_order=order, value_range=value_range, mean=mean, std=std))
    rgb = np.array([11.0, 101.0, 201.0])
    x = rgb if order == "RGB" else rgb[::-1]
    x = x / 255 if value_range == (0.0, 1.0) else x
    y = (x - (0 if mean == "none" else np.array(mean))) / (1 if std == "none" else np.array(std))
    np.testing.assert_allclose(rgb * scale + offset, y if order == "RGB" else y[::-1], rtol=1e-14)


def test_affine_of_the_two_models() -> None:
    assert affine(zoo.info("efficientnet-lite0").preprocessing) == ([1 / 128] * 3, [-127 / 128] * 3)
    assert affine(zoo.info("open-nsfw").preprocessing) == ([1.0] * 3, [-123.0, -117.0, -104.0])  # R, G, B


def test_affine_of_nothing_has_no_minus_zero() -> None:
    assert str(affine(rules())) == "([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])"


@pytest.mark.parametrize("key", ["channel_order", "value_range", "mean", "std"])
def test_affine_needs_every_fact(key: str) -> None:
    with pytest.raises(UnknownFactError, match=rf"x\.preprocessing\.{key}: no source gives it"):
        affine(rules(**{key: "unknown"}), name="x")


def test_affine_is_not_for_mean_images_and_grey() -> None:
    for change in ({"mean": {"file": "mean"}}, {"channel_order": "gray", "mean": (1.0,)}):
        with pytest.raises(UsageError, match="no scale and offset per channel"):
            affine(rules(**change))
