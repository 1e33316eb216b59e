"""Finding models: `zoo search`, bare names, tasks, citations and the picture of them all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo import cite, index, plot, registry
from zoo.errors import UnknownFactError, UsageError
from zoo.search import choose, search


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "zoo", *arguments], capture_output=True, text=True)


def row(name: str, **facts: Any) -> index.Row:
    unknown = {
        "top1": "unknown",
        "parameters": "unknown",
        "status": "unverified",
        "origin": "torch",
        "task": "imagenet",
    }
    return {**unknown, "name": name, **facts}


# -- search


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["resnet50.slim"], "resnet50.slim"),
        (["ResNet-50", "slim"], "resnet50.slim"),
        (["resnet", "50", "slim"], "resnet50.slim"),
        (["yahoo-open-nsfw"], "open-nsfw"),
        (["google", "inception v3"], "inception-v3.google-2016"),
        (["pelee"], "peleenet.gluoncv2"),
    ],
)
def test_words_lead_to_models(words: list[str], first: str) -> None:
    assert search(index.open().rows, words)[0]["name"] == first


def test_every_word_has_to_occur() -> None:
    rows = index.open().rows
    assert {row["origin"] for row in search(rows, ["vgg16", "caffe"])} >= {"caffe"}
    assert search(rows, ["vgg16", "zzz"]) == []
    assert search(rows, ["-"]) == []


def test_the_titles_of_papers_are_searched() -> None:
    found = search(index.open().rows, ["Densely Connected"])
    assert found
    assert all("densenet" in row["family"] or "Densely" in row["paper"] for row in found)


def test_searching_needs_no_pydantic() -> None:
    code = "import sys; from zoo.cli import cli; cli.main(['search', 'resnet', '50'], standalone_mode=False); "
    code += "print([name for name in ('pydantic', 'keras', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_nothing_found_is_exit_code_1() -> None:
    done = cli("search", "zzz")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "nothing has 'zzz'; `zoo list` shows all\n")


# -- bare names


def test_a_bare_name_takes_what_was_compared_then_the_most_accurate_then_the_original() -> None:
    rows = [
        row("net.a", top1=0.9, status="unsupported"),
        row("net.b", top1=0.8),
        row("net.pytorchcv", top1=0.7, status="convertible"),
        row("net.slim", top1=0.7, status="convertible"),
        row("net.c", status="convertible"),
        row("network.d", status="verified"),
    ]
    chosen = choose(rows, "net")
    assert chosen is not None
    order = [row["name"] for row in (chosen.row, *chosen.others)]
    assert order == ["net.slim", "net.pytorchcv", "net.c", "net.b", "net.a"]
    assert str(chosen).startswith("net is here net.slim (convertible, 70.0 % top-1): what was compared with its origin")
    assert str(chosen).endswith(
        "net.c (convertible), net.b (unverified, 80.0 % top-1), net.a (unsupported, 90.0 % top-1)"
    )
    assert choose(rows, "ne") is None


def test_info_says_which_model_a_bare_name_is() -> None:
    done = cli("info", "resnet50")
    chosen = registry.choice("resnet50")
    assert chosen is not None
    assert done.stderr == f"{chosen}\n"
    assert done.stdout.startswith(f"name: {chosen.row['name']}\n")
    assert zoo.info("resnet50").name == chosen.row["name"]
    assert registry.choice("open-nsfw") is None
    assert cli("info", "open-nsfw").stderr == ""


# -- tasks


def test_models_are_listed_by_what_they_tell_apart() -> None:
    nsfw = {"open-nsfw", "open-nsfw-onnx", "mobilenet-v1-nudity.nudity"}
    assert {card.name for card in zoo.list_models(task="nsfw")} == nsfw
    assert all(card.labels.count in (1000, 1001) for card in zoo.list_models(task="imagenet"))
    assert all(
        "Places" in str(card.dataset) or "places" in str(card.dataset) for card in zoo.list_models(task="places")
    )
    assert len([row for row in index.open().rows if row["task"] == "unknown"]) < 10
    with pytest.raises(UsageError, match=r"task: expected one of places, faces, nsfw, .*, got 'detection'"):
        zoo.list_models(task="detection")


# -- citations


def test_an_entry_has_what_the_card_knows() -> None:
    done = cli("info", "resnet50.slim", "--bibtex")
    assert done.stdout.startswith(
        "@misc{arxiv:1512.03385,\n  title = {{Deep Residual Learning for Image Recognition}},\n"
    )
    paper = {"title": "unknown", "url": "https://a.b/c", "year": 2012}
    assert (
        cite.bibtex({"name": "x.y", "paper": paper}) == "@misc{x-y-2012,\n  year = {2012},\n  url = {https://a.b/c},\n}"
    )
    with pytest.raises(UnknownFactError, match=r'x\.y: no source gives its paper; the card says "unknown"'):
        cite.bibtex({"name": "x.y", "paper": "unknown"})


# -- the picture


def test_the_front_is_what_no_other_beats() -> None:
    rows = [row(n, parameters=p, top1=t) for n, p, t in (("a", 1, 0.5), ("b", 2, 0.4), ("c", 2, 0.6), ("d", 3, 0.6))]
    assert [row["name"] for row in plot.front(rows)] == ["a", "c"]


def test_only_known_facts_on_one_data_set_are_drawn() -> None:
    rows = [row("a", parameters=1, top1=0.5), row("b", parameters=1), row("c", top1=0.5),
            row("d", parameters=1, top1=0.5, task="places")]  # fmt: skip
    assert [row["name"] for row in plot.plotted(rows)[0]] == ["a"]
    assert plot.plotted(rows)[1] == 3


def test_a_picture_is_written_and_says_how_many_were_left_out(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = cli("plot", "resnet*", "-o", str(tmp_path / "x.png"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'x.png'}\n"
    drawn, left_out = plot.plotted(index.select(index.open().rows, "resnet*"))
    assert f"{len(drawn)} models drawn; {left_out} left out" in done.stderr
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert plot.save(drawn, tmp_path / "x.svg") == (len(drawn), 0)
    svg = (tmp_path / "x.svg").read_text()
    assert svg.count("<use ") > len(drawn)
    plot.save(drawn, tmp_path / "y.svg")
    assert (tmp_path / "y.svg").read_text() == svg
    with pytest.raises(UsageError, match=r"x\.jpg: the file's name has to end in \.png, \.svg, \.pdf"):
        plot.save(drawn, tmp_path / "x.jpg")
    with pytest.raises(UsageError, match="none of the 0 models"):
        plot.save([], tmp_path / "z.png")
