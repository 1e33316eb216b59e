from __future__ import annotations

import builtins
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from zoo.errors import DataError, UsageError
from zoo.finetune.data import Skipped, index, split


def rows(few: Path, *, part: bool = False) -> list[list[str]]:
    """One row per image: path relative to the folder around `few`, class and part."""
    found = []
    for path in sorted(few.glob("*/*.png")):
        row = [path.relative_to(few.parent).as_posix(), path.parent.name.replace("digit-", "D")]
        found.append([*row, {"4": "val", "5": "TEST"}.get(path.stem[-1], "train")] if part else row)
    return found


def write(path: Path, header: list[str], lines: list[list[str]], separator: str = ",") -> Path:
    path.write_text("".join(separator.join(line) + "\n" for line in [header, *lines]), encoding="utf-8")
    return path


def refusal(path: Path, **choices: Any) -> str:
    with pytest.raises(DataError) as caught:
        index(path, progress=False, **choices)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "header", "separator"),
    [
        ("data.csv", ["path", "label"], ","),
        ("data.csv", ["\ufeffFilename", "Class"], ";"),
        ("data.tsv", ["image", "category"], "\t"),
    ],
)
def test_a_table_names_files_and_classes(few: Path, name: str, header: list[str], separator: str) -> None:
    found = index(write(few.parent / name, header, rows(few), separator), progress=False)
    assert found.name == str(few.parent / name)
    assert found.classes == ("D0", "D1")
    assert found.counts() == {"D0": 6, "D1": 6}
    assert found.items[0] == "few/digit-0/000.png"
    assert found.parts is None
    with Image.open(few / "digit-1" / "005.png") as image:
        assert found.open(11).tobytes() == image.convert("RGB").tobytes()


def test_a_split_column_gives_the_parts(few: Path) -> None:
    table = write(few.parent / "data.csv", ["path", "label", "Split"], rows(few, part=True))
    parts = split(index(table, progress=False), 0.2, 0)
    assert parts.validation.tolist() == [4, 10]
    assert parts.test.tolist() == [5, 11]
    lines = rows(few, part=True)
    lines[2][2] = "holdout"
    write(table, ["path", "label", "split"], lines)
    assert "row 4: part 'holdout'; expected one of train, training, val, valid, validation, test" in refusal(table)


def test_paths_may_be_absolute_or_written_on_windows(few: Path) -> None:
    lines = rows(few)
    lines[0][0] = str(few / "digit-0" / "000.png")
    lines[1][0] = "few\\digit-0\\001.png"
    lines[2][0] = "./few/digit-1/../digit-0/002.png"
    found = index(write(few.parent / "data.csv", ["path", "label"], lines), progress=False)
    assert found.items[:3] == ("few/digit-0/000.png", "few/digit-0/001.png", "few/digit-0/002.png")


def test_missing_and_broken_files_and_rows_without_a_class_are_listed(few: Path) -> None:
    lines = [*rows(few), ["few/gone.png", "D0"], ["few/digit-0", "D0"], ["few/digit-0/000.png", " "]]
    (few / "digit-0" / "001.png").write_bytes(b"GIF89a")
    found = index(write(few.parent / "data.csv", ["path", "label"], lines), progress=False)
    assert found.skipped == (
        Skipped("few/digit-0/001.png", "not an image, or damaged at its beginning"),
        Skipped("few/gone.png", "no such file"),
        Skipped("few/digit-0", "a folder"),
        Skipped("row 16", "no class given"),
    )


def test_repeated_rows_count_once_and_a_file_with_two_classes_is_dropped(few: Path) -> None:
    lines = [*rows(few), rows(few)[0], [rows(few)[1][0], "D1"]]
    found = index(write(few.parent / "data.csv", ["path", "label"], lines), progress=False)
    assert found.counts() == {"D0": 5, "D1": 6}
    assert found.notes == (
        "1 row(s) repeat another row and count once.",
        "2 image(s) are exact copies of an image of another class and are left out: "
        "few/digit-0/001.png (D0) = few/digit-0/001.png (D1).",
    )


def test_the_column_taken_is_said_where_several_could_be_meant(few: Path) -> None:
    lines = [[path, name, "x"] for path, name in rows(few)]
    found = index(write(few.parent / "data.csv", ["path", "label", "category"], lines), progress=False)
    assert found.notes == ("Column 'label' gives the classes, not 'category'.",)


def test_names_can_be_given_for_numbers(few: Path) -> None:
    lines = [[path, name[1:]] for path, name in rows(few)]
    table = write(few.parent / "data.csv", ["path", "label"], lines)
    assert index(table, progress=False).classes == ("0", "1")
    assert index(table, labels=["zero", "one"], progress=False).counts() == {"zero": 6, "one": 6}
    assert "label 1 is not among the 1 classes 'zero'" in refusal(table, labels=["zero"])


def test_labels_that_differ_in_blanks_are_refused(few: Path) -> None:
    lines = rows(few)
    lines[0][1] = "D0 "
    table = write(few.parent / "data.csv", ["path", "label"], lines)
    assert "classes 'D0' and 'D0 ' differ only in surrounding blanks" in refusal(table)


def test_tables_of_a_wrong_shape_are_refused(few: Path) -> None:
    table = few.parent / "data.csv"
    table.write_text("")
    assert "is empty; expected a first line such as path,label" in refusal(table)
    table.write_text("path,label\n")
    assert "has no rows" in refusal(table)
    table.write_text("few/digit-0/000.png,D0\nfew/digit-0/001.png,D1\n")
    assert "no column of image files among 'few/digit-0/000.png', 'D0'; expected one of path," in refusal(table)
    table.write_text("path,size\na.png,3\n")
    assert "no column of classes among 'path', 'size'; expected one of label," in refusal(table)
    table.write_text("path,label\na.png,x,y\n")
    assert "row 2 has 3 cells, the first line has 2" in refusal(table)
    table.write_text("path,path,label\na.png,b.png,y\n")
    assert "the first line names a column twice" in refusal(table)
    table.write_bytes("path,label\ncaf\u00e9.png,x\n".encode("latin-1"))
    assert "is not UTF-8 text" in refusal(table)


def test_a_table_whose_files_are_all_elsewhere_says_where_they_were_looked_for(few: Path, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    table = write(tmp_path / "tables" / "data.csv", ["path", "label"], rows(few))
    message = refusal(table)
    assert "none of its 12 files exists, the first: 'few/digit-0/000.png'" in message
    assert f"relative to {tmp_path / 'tables'}" in message


def test_addresses_are_not_fetched(few: Path) -> None:
    lines = [["http://127.0.0.1/a.jpg", "D0"], *rows(few)]
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1/a\.jpg: is an address; download the images first"):
        index(write(few.parent / "data.csv", ["path", "label"], lines), progress=False)


def test_parquet_names_files(few: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    lines = rows(few, part=True)
    table = pyarrow.table(
        {"file": [line[0] for line in lines], "target": [int(line[1][1]) + 5 for line in lines], "junk": [None] * 12}
    )
    parquet.write_table(table, few.parent / "data.parquet")
    assert index(few.parent / "data.parquet", progress=False).classes == ("5", "6")
    parquet.write_table(table.select(["junk"]), few.parent / "data.parquet")
    assert "no column of image files among 'junk'" in refusal(few.parent / "data.parquet")
    (few.parent / "data.parquet").write_bytes(b"PAR1 no more")
    assert "is no sound Parquet file" in refusal(few.parent / "data.parquet")


def test_parquet_holds_images_and_names_as_hugging_face_writes_them(few: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    paths = sorted(few.glob("*/*.png"))
    images: list[dict[str, Any]] = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    images[0]["bytes"] = images[0]["bytes"][:60]
    images[1] = {"bytes": None, "path": "few/digit-0/001.png"}
    table = pyarrow.table({"image": images, "label": [int(path.parent.name[-1]) for path in paths]})
    stored = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["zero", "one"]}}}}
    table = table.replace_schema_metadata({"huggingface": json.dumps(stored)})
    parquet.write_table(table, few.parent / "data.parquet")
    found = index(few.parent / "data.parquet", progress=False)
    assert found.counts() == {"zero": 5, "one": 6}
    assert [skipped.path for skipped in found.skipped] == ["image-000000"]
    with Image.open(paths[1]) as first, Image.open(paths[-1]) as last:
        assert found.open(0).tobytes() == first.convert("RGB").tobytes()
        assert found.open(10).tobytes() == last.convert("RGB").tobytes()


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Makes libraries look as if they were not installed."""
    real = builtins.__import__

    def lacking(name: str, *rest: Any, **others: Any) -> Any:
        if name.split(".")[0] in names:
            raise ImportError(name)
        return real(name, *rest, **others)

    monkeypatch.setattr(builtins, "__import__", lacking)


def test_parquet_is_read_by_pandas_where_pyarrow_lacks(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = rows(few)
    pandas = ModuleType("pandas")
    columns = {"path": [line[0] for line in lines], "label": [line[1] for line in lines]}
    pandas.read_parquet = lambda path: columns  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    without(monkeypatch, "pyarrow")
    (few.parent / "data.parquet").write_bytes(b"")
    assert index(few.parent / "data.parquet", progress=False).counts() == {"D0": 6, "D1": 6}


def test_without_a_parquet_reader_it_is_said_what_to_install(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "pyarrow", "pandas")
    (few.parent / "data.parquet").write_bytes(b"")
    with pytest.raises(UsageError, match=r"pip install 'convnet-zoo\[data\]'"):
        index(few.parent / "data.parquet", progress=False)


def test_a_data_frame_is_a_table(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class DataFrame(dict[str, list[str]]):
        columns = ("filename", "class")

        def to_csv(self) -> None: ...

    monkeypatch.chdir(few.parent)
    lines = rows(few)
    frame = DataFrame(filename=[line[0] for line in lines], **{"class": [line[1] for line in lines]})
    found = index(frame, progress=False)
    assert found.name == "DataFrame"
    assert found.counts() == {"D0": 6, "D1": 6}
    shutil.rmtree(few)
    with pytest.raises(DataError, match="none of its 12 files exists"):
        index(frame, progress=False)
