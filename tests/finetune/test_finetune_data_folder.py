from __future__ import annotations

import hashlib
import pickle
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from zoo.errors import DataError, UsageError
from zoo.finetune.data import index


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


def test_images_are_opened_by_their_position(few: Path) -> None:
    found = index(few, progress=False)
    assert found.items[7] == "digit-1/001.png"
    with Image.open(few / "digit-1" / "001.png") as image:
        assert found.open(7).tobytes() == image.convert("RGB").tobytes()
    assert pickle.loads(pickle.dumps(found)).open(7).tobytes() == found.open(7).tobytes()  # noqa: S301
    assert found.digests[7] == hashlib.sha256((few / "digit-1" / "001.png").read_bytes()).hexdigest()
    (few / "digit-1" / "001.png").unlink()
    with pytest.raises(DataError, match=r"001\.png: No such file"):
        found.open(7)


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


def test_a_folder_around_the_data_is_pointed_out(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "around").mkdir()
    shutil.move(folder, tmp_path / "around" / "data")
    message = refusal(tmp_path / "around")
    assert "one class only ('data')" in message
    assert f"did you mean {tmp_path / 'around' / 'data'}?" in message


def test_class_names_that_differ_only_in_blanks_or_accents_encoding_are_refused(folder: Path) -> None:
    (folder / "coffee").rename(folder / "chelsea ")
    assert "'chelsea' and 'chelsea ' differ only in surrounding blanks" in refusal(folder)
    (folder / "chelsea ").rename(folder / "cafe\u0301")
    (folder / "rocket").rename(folder / "caf\u00e9")
    assert "differ only in how Unicode writes their accents" in refusal(folder)


def test_images_beside_the_classes_are_left_out_and_said(folder: Path) -> None:
    shutil.copy(folder / "coffee" / "0.jpg", folder / "cover.jpg")
    found = index(folder, progress=False)
    assert len(found.items) == 32
    assert found.notes == ("1 image(s) lie directly in the folder, in no class, and are left out.",)


def test_links_are_followed_and_loops_are_not(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "coffee", tmp_path / "elsewhere")
    (folder / "coffee").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
    assert index(folder, progress=False).counts()["coffee"] == 8


def test_an_unreadable_folder_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root reads everything, so the refusal of the system is played."""
    listing = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path == folder:
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert "cannot be listed: Permission denied; check its permissions" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pets.zip", "is an archive; unpack it"),
        ("pets.tar.gz", "is an archive; unpack it"),
        ("pets.npz", r"load it yourself and pass \(images, labels\)"),
        ("pet.jpg", "is a single image; expected a folder"),
        ("pets.txt", r"is a file; expected a folder .* or a table"),
    ],
)
def test_files_that_are_no_data_are_told_what_to_do(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(DataError, match=said):
        index(tmp_path / name, progress=False)


def test_a_folder_that_holds_only_a_table_asks_for_the_table(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label\n")
    assert "'labels.csv'; name the table itself" in refusal(tmp_path)


def test_names_for_labels_are_not_for_folders(folder: Path) -> None:
    with pytest.raises(UsageError, match="is a folder, whose classes are called by its subfolders"):
        index(folder, labels=["a", "b"], progress=False)


def test_formats_that_are_not_read_are_said(folder: Path) -> None:
    (folder / "coffee" / "IMG_1.HEIC").write_bytes(b"ftypheic")
    (folder / "coffee" / "IMG_2.heic").write_bytes(b"ftypheic")
    (folder / "rocket" / "logo.svg").write_text("<svg/>")
    found = index(folder, progress=False)
    assert found.notes == (
        "3 file(s) of formats that are not read are left out: .heic (2), .svg (1); convert them to JPEG or PNG.",
    )
    for path in (folder / "rocket").glob("*.jpg"):
        path.unlink()
    shutil.copytree(folder / "rocket", folder.parent / "vectors" / "rocket")
    assert "holds no images but .svg (1); convert them" in refusal(folder.parent / "vectors")
    assert "class 'rocket' holds no images; convert its .svg files to JPEG or PNG, or remove the folder" in refusal(
        folder
    )


# --- copies and small classes ---------------------------------------------------------------------------------------


def test_copies_within_a_class_are_kept_and_said(few: Path) -> None:
    shutil.copy(few / "digit-0" / "000.png", few / "digit-0" / "copy.png")
    found = index(few, progress=False)
    assert found.counts() == {"digit-0": 7, "digit-1": 6}
    assert found.notes == (
        "1 image(s) are exact copies of another one of their class (the first: digit-0/000.png = digit-0/copy.png); "
        "copies stay on one side of the split.",
    )


def test_an_image_in_two_classes_is_dropped_from_both_and_named(few: Path) -> None:
    shutil.copy(few / "digit-0" / "000.png", few / "digit-1" / "copy.png")
    found = index(few, progress=False)
    assert found.counts() == {"digit-0": 5, "digit-1": 6}
    assert "digit-0/000.png" not in found.items
    assert "digit-1/copy.png" not in found.items
    assert found.notes == (
        "2 image(s) are exact copies of an image of another class and are left out: "
        "digit-0/000.png (digit-0) = digit-1/copy.png (digit-1).",
    )
    with Image.open(few / "digit-0" / "001.png") as image:
        assert found.open(0).tobytes() == image.convert("RGB").tobytes()


def test_a_class_of_copies_of_one_image_is_refused(few: Path) -> None:
    for path in sorted((few / "digit-0").iterdir())[1:]:
        shutil.copy(few / "digit-0" / "000.png", path)
    assert "class 'digit-0' has 6 copies of one image, too few to train on one and check on another" in refusal(few)


def test_small_classes_are_named(few: Path) -> None:
    for path in sorted((few / "digit-1").iterdir())[3:]:
        path.unlink()
    assert index(few, progress=False).notes == ("1 class(es) have fewer than 5 images: digit-1 (3).",)


# --- train, validation and test folders -----------------------------------------------------------------------------


@pytest.fixture
def divided(digits: Path, tmp_path: Path) -> Path:
    """Six images of each of two digits to train on, three to validate, three to test."""
    for part, start, end in (("train", 0, 6), ("val", 6, 9), ("Test", 9, 12)):
        for place in ("digit-0", "digit-1"):
            (tmp_path / "data" / part / place).mkdir(parents=True)
            for path in sorted((digits / place).iterdir())[start:end]:
                shutil.copy(path, tmp_path / "data" / part / place)
    return tmp_path / "data"


def test_part_folders_become_parts(divided: Path) -> None:
    found = index(divided, progress=False)
    assert found.classes == ("digit-0", "digit-1")
    assert found.parts is not None
    assert {part: found.parts.count(part) for part in found.parts} == {"training": 12, "validation": 6, "test": 6}
    names = {"train": "training", "val": "validation", "Test": "test"}
    assert [names[item.split("/")[0]] for item in found.items] == list(found.parts)
    assert [found.classes[label] for label in found.labels] == [item.split("/")[1] for item in found.items]
    assert found.notes == ()


def test_a_training_folder_alone_is_a_data_set(divided: Path) -> None:
    shutil.rmtree(divided / "val")
    shutil.rmtree(divided / "Test")
    assert index(divided, progress=False).counts() == {"digit-0": 6, "digit-1": 6}


def test_copies_across_parts_are_dropped_from_training_and_named(divided: Path) -> None:
    shutil.copy(divided / "Test" / "digit-0" / "009.png", divided / "train" / "digit-0" / "leak.png")
    shutil.copy(divided / "Test" / "digit-0" / "010.png", divided / "val" / "digit-0" / "leak.png")
    found = index(divided, progress=False)
    assert not [item for item in found.items if "leak" in item]
    assert found.notes == (
        "1 image(s) of the training part are exact copies of images of the test part and are left out of training: "
        "'train/digit-0/leak.png'.",
        "1 image(s) of the validation part are exact copies of images of the test part and are left out of validation: "
        "'val/digit-0/leak.png'.",
    )


def test_a_class_that_a_part_lacks_is_said_and_one_that_training_lacks_is_refused(divided: Path) -> None:
    shutil.rmtree(divided / "val" / "digit-1")
    assert index(divided, progress=False).notes == ("1 class(es) have no image in the validation part: 'digit-1'.",)
    shutil.move(divided / "Test" / "digit-1", divided / "Test" / "digit-7")
    assert "class 'digit-7' has no readable image in the training part" in refusal(divided)


def test_a_test_folder_without_classes_is_left_out_and_said(divided: Path) -> None:
    for path in sorted((divided / "Test" / "digit-0").iterdir()):
        shutil.move(path, divided / "Test")
    shutil.rmtree(divided / "Test" / "digit-0")
    shutil.rmtree(divided / "Test" / "digit-1")
    found = index(divided, progress=False)
    assert found.parts is not None
    assert "test" not in found.parts
    assert found.notes == ("3 image(s) lie directly in 'Test', in no class, and are left out.",)


def test_part_folders_of_a_wrong_shape_are_refused(divided: Path) -> None:
    shutil.copytree(divided / "val", divided / "validation")
    assert "'val' and 'validation' both are the validation part; merge them" in refusal(divided)
    (divided / "validation").rename(divided / "extra")
    assert "'Test', 'train', 'val' are parts of a divided data set, and 'extra' are not" in refusal(divided)
    shutil.rmtree(divided / "extra")
    shutil.rmtree(divided / "train")
    assert "has 'Test', 'val' and no folder 'train'" in refusal(divided)
    for part in ("val", "Test"):
        for path in sorted((divided / part).glob("*/*.png")):
            shutil.move(path, divided / part / f"{path.parent.name}-{path.name}")
    (divided / "val").rename(divided / "train")
    assert "images lie directly in 'Test', 'train'; put them in one subfolder per class there" in refusal(divided)


def test_a_class_called_train_is_a_class(few: Path) -> None:
    (few / "digit-0").rename(few / "train")
    assert index(few, progress=False).classes == ("digit-1", "train")
