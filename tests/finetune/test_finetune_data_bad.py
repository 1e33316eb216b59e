"""Folders and tables as they come from other people's disks: one clear line, or rightly read."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.errors import DataError
from zoo.finetune.data import Dataset, index


def refusal(source: Path) -> str:
    with pytest.raises(DataError) as caught:
        index(source, progress=False)
    assert str(caught.value).isprintable()
    return str(caught.value)


def skipped(dataset: Dataset) -> dict[str, str]:
    return {skip.path: skip.reason for skip in dataset.skipped}


def spare(folder: Path) -> Path:
    """A path to move an image of the first class from."""
    return sorted((folder / "digit-0").glob("*.png"))[0]


def test_names_of_all_signs_are_carried_through_a_run(few: Path, network: Any, tmp_path: Path) -> None:
    names = [
        "a\nb.png",
        "\u00e9\u4e2d\U0001f600.png",
        "x" * 251 + ".png",
        "q\"u',o.png",
        "\x1b[31mred.png",
        "u\u2028v.png",
    ]
    for number, name in enumerate(names):
        Image.fromarray(np.full((8, 8), number * 30, np.uint8)).save(few / "digit-0" / name)
    (few / "digit-0" / "bro\nken.png").write_bytes(b"")
    (few / "digit-1").rename(few / "<b>\n\u4e2d")
    run = tmp_path / "run"
    said: list[str] = []
    zoo.finetune(network, few, output=run, augment="none", progress=False, report=said.append)
    with open(run / "split.csv", newline="", encoding="utf-8") as file:
        written = {row["path"]: row["class"] for row in csv.DictReader(file)}
    assert {f"digit-0/{name}" for name in names} < set(written)
    assert "<b>\n\u4e2d" in written.values()
    assert "  skipped: digit-0/bro\\nken.png: empty file\n" in said[0] + "\n"
    assert "&lt;b&gt;\n\u4e2d" in (run / "report.html").read_text("utf-8")


def test_names_that_are_no_text_are_skipped_or_refused(few: Path) -> None:
    os.rename(spare(few), os.fsencode(few / "digit-0") + b"/\xff.png")
    os.mkdir(os.fsencode(few / "digit-1") + b"/caf\xe9")
    shutil.copy(spare(few), os.fsencode(few / "digit-1") + b"/caf\xe9/0.png")
    assert skipped(index(few, progress=False)) == {
        "digit-0/\\udcff.png": "its name is no UTF-8 text; rename it",
        "digit-1/caf\\udce9/0.png": "its name is no UTF-8 text; rename it",
    }
    os.rename(few / "digit-0", os.fsencode(few) + b"/caf\xe9")
    assert "the folder 'caf\\udce9' has a name that is no UTF-8 text; rename it" in refusal(few)


def test_pipes_devices_and_links_into_nothing_are_no_images(few: Path) -> None:
    inside = few / "digit-0"
    os.mkfifo(inside / "pipe.png")
    (inside / "device.png").symlink_to("/dev/zero")
    (inside / "gone.png").symlink_to(few / "nowhere.png")
    (inside / "self.png").symlink_to(inside / "self.png")
    found = skipped(index(few, progress=False))
    assert found.pop("digit-0/self.png").startswith("cannot be read: ")
    assert found == {
        "digit-0/device.png": "not a regular file",
        "digit-0/gone.png": "no such file",
        "digit-0/pipe.png": "not a regular file",
    }


def test_a_link_back_to_the_data_does_not_make_all_images_one_class(few: Path) -> None:
    (few / "digit-0" / "up").symlink_to(few)
    (few / "digit-1" / "top").symlink_to(few.parent)
    assert index(few, progress=False).counts() == {"digit-0": 6, "digit-1": 6}
    (few / "loop").symlink_to(few)
    assert "class 'loop' holds no images" in refusal(few)


def test_a_part_of_another_name_is_not_taken_for_a_class(few: Path, tmp_path: Path) -> None:
    for part in ("train", "dev"):
        shutil.copytree(few, tmp_path / "data" / part)
    message = refusal(tmp_path / "data")
    assert "'dev' has the same subfolders as 'train': 'digit-0', 'digit-1'; call it 'val' or 'test'" in message


def test_an_empty_part_is_said(few: Path, tmp_path: Path) -> None:
    shutil.copytree(few, tmp_path / "data" / "train")
    (tmp_path / "data" / "val" / "digit-0").mkdir(parents=True)
    found = index(tmp_path / "data", progress=False)
    assert "'val' holds no images: there is no validation part." in found.notes


def test_a_part_that_cannot_be_read_is_said(few: Path, tmp_path: Path) -> None:
    for part in ("train", "val"):
        shutil.copytree(few, tmp_path / "data" / part)
    message = refusal(tmp_path / "data")
    assert "no image is left in the training part: 12 image(s) are copies of one in another class or part" in message
    for path in (tmp_path / "data" / "val").glob("*/*.png"):
        path.write_bytes(b"")
    assert "No image of the validation part can be read." in index(tmp_path / "data", progress=False).notes


def test_copies_of_one_image_everywhere_leave_none(few: Path) -> None:
    content = spare(few).read_bytes()
    for path in few.glob("*/*.png"):
        path.write_bytes(content)
    assert "no image can be used (0 cannot be read; 12 are left out as copies in another class or part)" in refusal(few)


def test_of_many_broken_files_some_are_named_on_a_terminal(few: Path, network: Any, tmp_path: Path) -> None:
    for number in range(50):
        (few / "digit-0" / f"broken-{number:02}.png").write_bytes(b"")
    plan = zoo.finetune(network, few, output=tmp_path / "run", dry_run=True, progress=False).plan
    assert len(plan.skipped) == 50
    assert str(plan).count("skipped: ") == 21
    assert str(plan).endswith("  skipped: 30 more files")


def test_a_name_that_cannot_be_one_is_said() -> None:
    assert refusal(Path("x" * 5000)).endswith("cannot be read: File name too long")


def table(few: Path, text: str) -> Path:
    path = few.parent / "data.csv"
    path.write_text(text, "utf-8", newline="")
    return path


def rows(few: Path, more: str = "") -> list[str]:
    return [f"{path.relative_to(few.parent)},{path.parent.name}{more}" for path in sorted(few.glob("*/*.png"))]


def test_cells_of_several_lines_and_emptied_columns_are_read(few: Path) -> None:
    quoted = table(few, "\n".join(["path,label,note", *rows(few, ',"two\nlines, ""q"" \u2028"')]))
    assert index(quoted, progress=False).counts() == {"digit-0": 6, "digit-1": 6}
    emptied = table(few, "\r\n".join(["", "path,label,,", *rows(few, ",,"), ",,,", ""]))
    assert index(emptied, progress=False).counts() == {"digit-0": 6, "digit-1": 6}


@pytest.mark.parametrize("text", ["\n\n\n", ",,\n,,\n", "\ufeff"])
def test_a_table_of_nothing_is_empty(few: Path, text: str) -> None:
    assert "is empty; expected a first line such as path,label" in refusal(table(few, text))


def test_cells_that_name_no_file_are_listed(few: Path) -> None:
    lines = ["path,label", *rows(few), ",digit-0", "few,digit-0", "a\0b.png,digit-1", f"{'x' * 5000},digit-1"]
    found = index(table(few, "\n".join(lines)), progress=False)
    reasons = skipped(found)
    assert reasons["row 14"] == "no file named"
    assert reasons["few"] == "a folder"
    assert reasons["a\\x00b.png"].startswith("cannot be read: ")
    (long,) = [path for path in reasons if path.startswith("xxx")]
    assert len(long) < 500
    assert reasons[long].startswith("cannot be read: ")
    assert len(found.items) == 12
