from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from zoo.finetune.images import load

from zoo.errors import DataError, UsageError
from zoo.finetune.data import index, split
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


@pytest.fixture
def folder(photos: Path, tmp_path: Path) -> Path:
    """A copy of the photographs to spoil."""
    return Path(shutil.copytree(photos, tmp_path / "data"))


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        index(folder, progress=False)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def test_classes_are_the_sorted_folder_names(folder: Path) -> None:
    found = index(folder, progress=False)
    assert found.classes == ("astronaut", "chelsea", "coffee", "rocket")
    assert found.counts() == dict.fromkeys(found.classes, 8)
    assert [found.classes[label] for label in found.labels] == [path.split("/")[0] for path in found.items]
    assert found.sizes.tolist() == [[192, 192]] * 32
    assert found.skipped == ()


def test_broken_files_are_skipped_and_named(folder: Path) -> None:
    good = (folder / "coffee" / "0.jpg").read_bytes()
    (folder / "coffee" / "cut.jpg").write_bytes(good[: len(good) // 2])
    (folder / "coffee" / "empty.PNG").write_bytes(b"")
    (folder / "rocket" / "text.png").write_text("no image")
    found = index(folder, progress=False)
    assert {skip.path for skip in found.skipped} == {"coffee/cut.jpg", "coffee/empty.PNG", "rocket/text.png"}
    reasons = {skip.path: skip.reason for skip in found.skipped}
    assert reasons["coffee/empty.PNG"] == "empty file"
    assert "truncated" in reasons["coffee/cut.jpg"]
    assert found.counts()["coffee"] == 8


def test_suffixes_in_any_case_count_and_hidden_files_do_not(folder: Path) -> None:
    (folder / "coffee" / "0.jpg").rename(folder / "coffee" / "0.JPEG")
    (folder / "coffee" / ".1.jpg").write_bytes(b"resource fork")
    (folder / "coffee" / "notes.txt").write_text("not an image")
    (folder / ".thumbnails").mkdir()
    (folder / "__MACOSX").mkdir()
    found = index(folder, progress=False)
    assert "coffee/0.JPEG" in found.items
    assert len(found.items) == 32
    assert found.skipped == ()


def test_a_picture_that_claims_to_be_huge_is_skipped(folder: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 50_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    (folder / "rocket" / "bomb.png").write_bytes(bomb)
    (skipped,) = index(folder, progress=False).skipped
    assert skipped.path == "rocket/bomb.png"
    assert "pixels" in skipped.reason


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")


def test_a_folder_without_images_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert "holds no images" in refusal(tmp_path)


def test_images_directly_in_the_folder_are_to_be_sorted_into_classes(photos: Path) -> None:
    message = refusal(photos / "coffee")
    assert "8 image(s) lie directly in it" in message
    assert "one subfolder per class" in message


def test_one_class_only_is_refused(folder: Path) -> None:
    for name in ("astronaut", "chelsea", "coffee"):
        shutil.rmtree(folder / name)
    assert "one class only ('rocket')" in refusal(folder)


def test_a_class_with_one_image_is_named(folder: Path) -> None:
    for path in sorted((folder / "coffee").iterdir())[1:]:
        path.unlink()
    message = refusal(folder)
    assert "class 'coffee' has one readable image" in message
    assert "add at least one more, or remove the class" in message


def test_a_class_whose_images_are_all_broken_is_named(folder: Path) -> None:
    for path in (folder / "coffee").iterdir():
        path.write_bytes(b"\xff\xd8\xff")
    message = refusal(folder)
    assert "class 'coffee' has no readable image (8 cannot be read, the first: coffee/0.jpg" in message


def test_an_empty_class_is_refused_and_nested_folders_count_to_their_class(folder: Path) -> None:
    (folder / "tea").mkdir()
    assert "class 'tea' holds no images; add some" in refusal(folder)
    shutil.move(folder / "coffee", folder / "tea" / "green")
    (folder / "tea" / "green" / ".cache").mkdir()
    shutil.copy(folder / "rocket" / "0.jpg", folder / "tea" / "green" / ".cache" / "0.jpg")
    found = index(folder, progress=False)
    assert found.counts()["tea"] == 8
    assert found.items[-1] == "tea/green/7.jpg"
    assert found.notes == ("8 image(s) in deeper folders of 'tea' ('green') count as class 'tea'.",)


def test_class_names_that_differ_only_in_case_are_refused(folder: Path) -> None:
    (folder / "coffee").rename(folder / "chelsea2")
    (folder / "chelsea2").rename(folder / "Chelsea")
    assert "'Chelsea' and 'chelsea' differ only in case" in refusal(folder)


def test_the_split_holds_out_the_share_of_each_class(folder: Path) -> None:
    for path in sorted((folder / "coffee").iterdir())[2:]:
        path.unlink()
    found = index(folder, progress=False)
    parts = split(found, 0.25, seed=3)
    training, held_out = parts.training, parts.validation
    assert sorted([*training, *held_out]) == list(range(26))
    assert np.bincount(found.labels[held_out]).tolist() == [2, 2, 1, 2]


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_each_class_keeps_an_image_on_both_sides(photos: Path, share: float) -> None:
    found = index(photos, progress=False)
    parts = split(found, share, seed=0)
    for part in (parts.training, parts.validation):
        assert set(found.labels[part]) == {0, 1, 2, 3}


def test_the_seed_decides_the_split(photos: Path) -> None:
    found = index(photos, progress=False)
    first, again, other = (split(found, 0.25, seed).validation.tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("share", [0, 1, 20, -0.5])
def test_an_impossible_share_is_refused(photos: Path, share: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        split(index(photos, progress=False), share, 0)


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
