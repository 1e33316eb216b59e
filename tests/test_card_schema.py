"""The JSON schema of a file of cards, by which editors complete and check TOML."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

jsonschema = pytest.importorskip("jsonschema")

from zoo import registry  # noqa: E402
from zoo.card_schema import file_schema  # noqa: E402

FILES = sorted(registry.folder().glob("*/*.toml"))


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = file_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def lite() -> dict[str, Any]:
    return tomllib.loads((registry.folder() / "torch" / "efficientnet-lite.toml").read_text())


def test_every_file_of_the_registry_is_valid(validator: Any) -> None:
    wrong = [(path.name, e.message) for path in FILES for e in validator.iter_errors(tomllib.loads(path.read_text()))]
    assert wrong == []


def test_the_schema_that_editors_take_is_todays() -> None:
    path = registry.folder() / "card.schema.json"
    assert json.loads(path.read_text()) == file_schema(), "run `zoo schema -o registry/card.schema.json`"


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("defaults", "preprocessing", "heigth"), 224),
        (("defaults", "source", "dialekt"), "timm"),
        (("defaults", "preprocessing", "channel_order"), "GBR"),
        (("defaults", "status"), "good"),
        (("defaults", "labels", "offset"), -1),
        (("models", "Upper Case"), {}),
        (("models", "efficientnet-lite0", "origin"), "torch"),
        (("models", "efficientnet-lite0", "files", "weights", "places"), [{"kind": "url"}]),
        (("models", "efficientnet-lite0", "metrics"), [{"dataset": "x"}]),
        (("origin",), "pytorch"),
        (("extra",), 1),
    ],
)
def test_what_no_card_may_say_is_invalid(validator: Any, keys: tuple[str, ...], value: Any) -> None:
    data = lite()
    assert validator.is_valid(data)
    table = data
    for key in keys[:-1]:
        table = table[key]
    table[keys[-1]] = value
    assert not validator.is_valid(data)


def test_every_key_is_described() -> None:
    lacking = [
        f"{name}.{key}"
        for name, node in file_schema()["$defs"].items()
        for key, child in node.get("properties", {}).items()
        if "description" not in child and "const" not in child
    ]
    assert lacking == []
