"""The distribution: what an installed wheel holds, what `import zoo` costs, whether the documents tell the truth."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md")
HEAVY = ("keras", "tensorflow", "jax", "torch", "numpy", "requests", "PIL", "sklearn", "pydantic", "click", "rich")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was installed, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*command, str(wheel)], check=True, stdin=subprocess.DEVNULL)
    return folder


def python(code: str, folder: Path) -> str:
    """Runs code that imports from `folder` first, away from the checkout; returns what it printed."""
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_an_installed_wheel_finds_its_own_registry(installed: Path) -> None:
    code = """
import zoo, zoo.registry
print(zoo.__file__)
print(zoo.registry.folder())
for card in zoo.list_models():
    print(card.name, len(zoo.registry.labels(card) or ()), sep="\\t")
"""
    module, folder, *rows = python(code, installed).splitlines()
    assert Path(module).is_relative_to(installed)
    assert Path(folder).is_relative_to(installed)
    assert {"efficientnet-lite0\t1000", "open-nsfw\t2", "open-nsfw-onnx\t2"} <= set(rows)


def test_an_installed_wheel_has_every_file_of_the_registry(wheel: Path) -> None:
    here = {path.relative_to(ROOT / "registry").as_posix() for path in (ROOT / "registry").rglob("*") if path.is_file()}
    members = {name.removeprefix("zoo/_registry/") for name in zipfile.ZipFile(wheel).namelist()}
    assert here
    assert {name for name in here if not Path(name).name.startswith(".")} <= members


def test_an_installed_wheel_has_the_command_and_types_and_no_tests(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    assert "zoo/py.typed" in names
    assert not [name for name in names if name.startswith("tests") or "__pycache__" in name]
    (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
    assert b"zoo = zoo.main:main" in archive.read(entry_points)
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_import_zoo_imports_nothing_heavy() -> None:
    code = f"import sys, zoo\nzoo.ZooError\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    assert python(code, ROOT).split() == []


def test_every_public_name_can_be_had() -> None:
    code = "import zoo\nfor name in zoo.__all__: print(name, getattr(zoo, name).__module__)"
    for line in python(code, ROOT).splitlines():
        assert line.split()[1].startswith("zoo.")


def test_import_zoo_takes_no_longer_than_import_pydantic() -> None:
    def seconds(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    pairs = [(seconds("import zoo"), seconds("import pydantic")) for _ in range(9)]
    # the shortest of each: the runs that other programs disturbed least
    assert min(zoo for zoo, _ in pairs) <= 1.2 * min(pydantic for _, pydantic in pairs)


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)


def commands(document: str) -> list[list[str]]:
    """The `zoo ...` command lines of a document, as a shell would split them."""
    text = "\n".join(blocks(document, "console")).replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documented_commands_exist(document: str) -> None:
    import click

    from zoo.cli import cli

    found = [words for words in commands(document) if words[0] == "zoo"]
    assert found
    for _, name, *arguments in found:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, name
        command.make_context(name, arguments)  # raises on an unknown option or a missing argument


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documented_make_targets_and_files_exist(document: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for words in commands(document):
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), words
    named = re.findall(r"`((?:zoo|registry|tests|\.ci)/[\w./-]+)`", (ROOT / document).read_text())
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_the_facts_that_contributing_gives_are_those_of_the_registry() -> None:
    import zoo
    from zoo.cli_new import facts_of, new

    (words,) = [words for words in commands("CONTRIBUTING.md") if words[:2] == ["zoo", "new"]]
    name, *flags = words[2:]
    context = new.make_context("new", [name, *flags])
    facts = facts_of(context.params)
    card = zoo.info(name).model_dump(mode="json")
    assert facts["preprocessing"]["mean"] == [127, 127, 127]
    for part in ("preprocessing", "labels", "license"):
        assert facts[part].items() <= card[part].items()
    assert {*facts["sources"]} == {"labels", "preprocessing", "license"}
    assert facts["metrics"][0]["top1"] == card["metrics"][0]["top1"]
    assert card["files"]["weights"]["places"][0]["member"] in context.params["files"][0]


@pytest.mark.weights
def test_the_readmes_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import skimage.data
    from PIL import Image

    photographs = [skimage.data.chelsea(), skimage.data.coffee()]
    Image.fromarray(photographs[0]).save(tmp_path / "cat.png")
    for name, photograph in zip(("cats", "cups"), photographs, strict=True):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for step in range(5):  # a window that moves over the photograph
            Image.fromarray(photograph[: 240 - step, 10 * step : 300 + 10 * step]).save(folder / f"{step}.png")
    monkeypatch.chdir(tmp_path)
    text = "\n".join(blocks("README.md", "python"))
    assert ">>>" in text
    test = doctest.DocTestParser().get_doctest(text, {}, "README.md", str(ROOT / "README.md"), 0)
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(
        test, out=report.append
    )
    assert result.attempted
    assert result.failed == 0, "".join(report)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_alone_explains_its_targets() -> None:
    text = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("install", "demo", "test", "lint", "bench", "clean"):
        assert re.search(rf"^make {target} +\S", text, re.MULTILINE)
