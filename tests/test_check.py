"""`zoo check`: what a contribution to the registry has to stand, and in which words it is told what is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from zoo import registry
from zoo.check import Report, as_text, check, facts, networks, reading, together
from zoo.check.addresses import check as ask
from zoo.check.findings import Finding
from zoo.check.known import network
from zoo.index import ORIGINS

LITE = registry.folder() / "torch" / "efficientnet-lite.toml"


@pytest.fixture
def contribution(tmp_path: Path) -> Path:
    """A registry of one file, whose model is efficientnet-lite0 under a name of today's form."""
    root = tmp_path / "registry"
    (root / "torch").mkdir(parents=True)
    (root / "checks").mkdir()
    shutil.copy(registry.folder() / "checks" / "efficientnet-lite0.json", root / "checks")
    path = root / "torch" / "lite.toml"
    path.write_text(LITE.read_text().replace('"efficientnet-lite0".', '"lite0.mine".').replace(
        '[models."efficientnet-lite0"]', '[models."lite0.mine"]'
    ))  # fmt: skip
    return path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def found(path: Path) -> list[str]:
    """What the rules on one card say, the file called x.toml."""
    stated, findings = reading.of_file(path, "x.toml")
    return as_text([*findings, *(f for one in stated for f in (*facts.check(one), *networks.check(one)))])


def test_a_sound_contribution_passes(contribution: Path) -> None:
    assert found(contribution) == []


def test_the_built_in_registry_stands_what_a_contribution_has_to_stand() -> None:
    """But for the networks that Keras itself takes long to define, which `zoo check` examines in .ci/run."""
    folders = [path for path in registry.folder().iterdir() if path.name in ORIGINS and path.name != "keras"]
    report = check(folders)
    kerass, findings = zip(
        *(reading.of_file(path, path.name) for path in (registry.folder() / "keras").glob("*.toml")), strict=True
    )
    keras_cards = [one for cards in kerass for one in cards]
    findings = [
        *report.findings,
        *(f for few in findings for f in few),
        *(f for c in keras_cards for f in facts.check(c)),
    ]
    assert [str(finding) for finding in findings if finding.level == "error"] == []
    assert report.models + len(keras_cards) == len(registry.rows())
    assert report.not_checked == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("std = [128, 128, 128]", "sdt = [128, 128, 128]", [
            "x.toml:26: lite0.mine.preprocessing.std: is missing; fix: add it",
            "x.toml:29: lite0.mine.preprocessing.sdt: unknown key; fix: write 'std', or leave it out",
        ]),
        ("count = 1000", 'count = "many"', [
            'x.toml:23: lite0.mine.labels.count: expected a whole number or \'unknown\', got \'many\'; fix: write',
        ]),
        ('list = "imagenet-2012"', 'list = "imagenet-20l2"', [
            "x.toml:24: lite0.mine.labels.list: there is no label list 'imagenet-20l2'; fix: write 'imagenet-2012'",
        ]),
        ("count = 1000", "count = 1001", [
            "x.toml:23: lite0.mine.labels.offset: the list 'imagenet-2012' has 1000 classes, with offset 0 "
            "that is 1000 outputs, and the model has 1001; fix: write 1, if",
            "x.toml:55: lite0.mine.check.file: checks/efficientnet-lite0.json has 1000 logits, and the model has 1001",
        ]),
        ("mean = [127, 127, 127]", "mean = [0.5, 0.5, 0.5]", [
            "x.toml:29: lite0.mine.preprocessing.mean: [0.5, 0.5, 0.5] is not on the value_range, [0.0, 255.0]; ",
        ]),
        ('code = "Apache-2.0"', 'code = "unknown"\nnote = "?"', [
            "x.toml:36: lite0.mine.license.code: 'unknown' says nothing; fix: write an SPDX identifier, or \"not ",
            "x.toml:37: lite0.mine.license.note: says nothing; fix: quote the licence's words",
        ]),
        ('license = "LICENSE of', 'license = "?" # ', [
            "x.toml:81: lite0.mine.sources.license: says nothing; fix: name the page or file that states it",
        ]),
        ('\npreprocessing = "tensorflow', '\n"preprocessing.width" = "tensorflow', [
            'x.toml:26: lite0.mine.preprocessing.channel_order: no source is given for it; fix: add sources."pr',
        ]),
        ("parameters = 4652008", "parameters = 4694024", [
            "x.toml:63: lite0.mine.parameters: is 4694024, and efficientnet-lite0/lukemelas has 4652008: it counts the "
            "statistics of batch normalisation, which are not trained; fix: write 4652008",
        ]),
        ("parameters = 4652008", "parameters = 5416680", [
            "x.toml:63: lite0.mine.parameters: is 5416680, and efficientnet-lite0/lukemelas has 4652008; fix: write",
        ]),
        ("parameters = 4652008", "parameters = 4700000", []),
        ('source.architecture = "efficientnet-lite0"', 'source.architecture = "efficientnet-lite7"', [
            "x.toml:60: lite0.mine.source.architecture: no architecture 'efficientnet-lite7'; fix: write effic",
        ]),
        ('dialect = "lukemelas"', 'dialect = "google"', [
            "x.toml:11: lite0.mine.source.dialect: efficientnet-lite0 has no dialect 'google'",
        ]),
        ("width = 224", "width = 240", [
            "x.toml:62: lite0.mine.preprocessing.width: is 240, and height is 224; fix: correct one of them",
        ]),
        ('file = "efficientnet-lite0.json"', 'file = "other.json"', [
            "x.toml:55: lite0.mine.check.file: there is no checks/other.json; fix: add the origin framework's output",
        ]),
        ('framework = "PyTorch 2.13.0', 'framework = "PyTorch 3', [
            "x.toml:55: lite0.mine.check.framework: the card says 'PyTorch 3, efficientnet-lite-pytorch 0.1.0',",
        ]),
        ('status = "verified"', 'status = "unverified"', [
            "x.toml:7: warning: lite0.mine.status: is 'unverified', and the card has a check; fix: write \"verified\"",
        ]),
        ('origin = "torch"', 'origin = "keras"', [
            "x.toml:2: lite0.mine.origin: 'keras' belongs in registry/keras/, not in torch/; fix: move the file, or",
        ]),
        ('"lite0.mine"', '"lite0"', [
            'x.toml:72: lite0: the name is not an architecture, a dot and a publisher\'s tag; fix: call it archi',
        ]),
        ("[defaults]", "[defaults", ["x.toml:5: not TOML: "]),
        ("count = 1000", "count = 1000\noffset = 1", [
            "x.toml:25: lite0.mine.labels.offset: the list 'imagenet-2012' has 1000 classes, with offset 1 that is ",
        ]),
        ("size = ", "size = 1e3 # ", [
            "x.toml:75: lite0.mine.files.weights.size: expected a whole number or 'unknown', got 1000.0; fix: write a",
        ]),
        ('[models."lite0.mine"]', "[models.lite0.mine]", [
            'x.toml:57: models.lite0.mine: TOML takes the dot for a table in a table; fix: write the name in quotes, ',
        ]),
        ('dataset = "ILSVRC2012"', 'dataset = "\\u001b[2JILSVRC2012"', [
            "x.toml:6: lite0.mine.dataset: expected text without control characters, got '\\x1b[2JILSVRC2012'; fix: ",
        ]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_file_line_key_and_fix(
    contribution: Path, old: str, new: str, said: list[str]
) -> None:
    change(contribution, old, new)
    lines = found(contribution)
    for expected in said:
        key, _, what = expected.partition(": ")[2].partition(": ")
        assert [line for line in lines if f" {key}: {what}" in line and "; fix: " in line], lines
    assert bool(lines) == bool(said)


def other(path: Path, name: str, changes: dict[str, str] | None = None) -> Path:
    """A second file of the contribution, its model called `name`."""
    twin = path.with_name(f"{name}.toml")
    text = path.read_text().replace('"lite0.mine"', f'"{name}"')
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    twin.write_text(text)
    return twin


def between(*paths: Path) -> list[str]:
    """What the rules between cards say of the last file, next to the others."""
    cards = [reading.of_file(path, path.name)[0] for path in paths]
    return [str(f) for f in together.check(cards[-1], [one for of in cards[:-1] for one in of])]


def test_a_name_that_is_there_already_is_an_error(contribution: Path) -> None:
    twin = other(contribution, "lite0.yours", {"[defaults]": '[defaults]\naliases = ["lite0.mine"]'})
    assert between(contribution, twin)[0] == (
        "lite0.yours.toml:6: lite0.yours.aliases: the name 'lite0.mine' belongs to lite0.mine (lite.toml); "
        "fix: a name or alias can stand once, choose another"
    )


def test_one_file_in_two_models_is_told_unless_a_note_says_it(contribution: Path) -> None:
    twin = other(contribution, "lite0.yours")
    assert between(contribution, twin) == [
        "lite0.yours.toml:67: warning: lite0.yours.files.weights: has the sha256 of lite0.mine.files.weights "
        "(lite.toml); fix: leave one of the models out, or name lite0.mine in notes and say what differs"
    ]
    said = other(contribution, "lite0.yours", {'notes = """': 'notes = """\nThe file of lite0.mine, read otherwise.'})
    assert between(contribution, said) == []


def test_the_same_bytes_under_another_name_are_an_error(contribution: Path) -> None:
    twin = other(contribution, "lite0.yours", {"size = 18826032": "size = 18826033"})
    assert between(contribution, twin)[0].startswith(
        "lite0.yours.toml:67: lite0.yours.files.weights: efficientnet-lite0-57934424.pth (18826033 bytes) has the"
    )


def test_places_that_may_change_are_told_where_no_hash_is_stated(contribution: Path) -> None:
    text = contribution.read_text()
    start, end = text.index("places = ["), text.index("\n]\n", text.index("places = [")) + 3
    places = """places = [
  { kind = "hub", repo = "a/b", file = "c.pth" },
  { kind = "url", url = "https://raw.githubusercontent.com/a/b/master/c.pth" },
  { kind = "url", url = "https://raw.githubusercontent.com/a/b/0123456789012345678901234567890123456789/c.pth" },
]
"""
    contribution.write_text(text[:start] + places + text[end:])
    assert found(contribution) == []
    change(
        contribution,
        'sha256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"',
        'sha256 = "unknown"',
    )
    assert [line.partition(";")[0] for line in found(contribution)] == [
        "x.toml:71: warning: lite0.mine.files.weights.places[0].revision: 'main' may be another file tomorrow, and no "
        "sha256 is stated",
        "x.toml:71: warning: lite0.mine.files.weights.places[1].url: 'master' may be another file tomorrow, and no "
        "sha256 is stated",
    ]


def test_an_address_that_others_cannot_reach_is_told(contribution: Path) -> None:
    place = '{ kind = "url", url = "https://HOST/a.pth" },'
    change(contribution, "places = [", f"places = [{place}")
    for host in ("127.0.0.1:8000", "10.1.2.3", "169.254.169.254", "fileserver", "nas.local"):
        change(contribution, "HOST", host)
        assert f"{host.partition(':')[0]} is an address of one machine or network" in " ".join(found(contribution))
        change(contribution, f"//{host}/", "//HOST/")
    change(contribution, "HOST", "example.org")
    assert found(contribution) == []


def test_what_is_said_of_several_models_of_a_file_is_one_line() -> None:
    same = [Finding("error", "x.toml", 3, name, "labels.list", "is wrong", "correct it") for name in "abcdef"]
    assert as_text(same) == ["x.toml:3: a.labels.list: is wrong; fix: correct it (also b, c, d and 2 more)"]


def test_a_size_that_the_network_cannot_take_is_told(contribution: Path) -> None:
    for old, new in {'efficientnet-lite0"\np': 'vgg16"\np', '"lukemelas"': '"torchvision"', "= 224": "= 256"}.items():
        change(contribution, old, new)
    assert [
        line for line in found(contribution) if "preprocessing.height: vgg16 cannot take it: vgg16: size=256" in line
    ]


def test_the_networks_own_outputs_count() -> None:
    assert network("resnet50", "slim", 1001, 224).outputs == 1001
    assert network("resnet50", "torchvision", 1000, 224)[1:] == (25_557_032, 53_120)


# -- the command


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    command = [sys.executable, "-m", "zoo", "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


def test_the_exit_code_tells_errors_from_warnings(contribution: Path) -> None:
    change(contribution, '"lite0.mine"', '"lite0-of-mine.x"')
    good = run(str(contribution))
    assert (good.returncode, good.stdout) == (0, good.stdout)
    assert "warning: lite0-of-mine.x.files.weights: has the sha256 of efficientnet-lite0.files.weights" in good.stdout
    assert "1 model in 1 file: 0 errors, 1 warning (" in good.stderr
    change(contribution, "count = 1000", "count = 10")
    bad = run("--json", str(contribution.parent))
    facts = json.loads(bad.stdout)
    assert (bad.returncode, facts["errors"]) == (1, 3)
    assert facts["findings"][0] == {
        "level": "error",
        "file": str(contribution),
        "line": 20,
        "model": "lite0-of-mine.x",
        "field": "labels.count",
        "what": "the list 'imagenet-2012' has 1000 classes, with offset 0 that is 1000 outputs, and the model has 10",
        "fix": "correct count, list or offset",
    }


def test_a_path_that_is_not_there_is_an_impossible_argument(tmp_path: Path) -> None:
    assert run(str(tmp_path / "gone.toml")).stderr.startswith(f"zoo: {tmp_path / 'gone.toml'}: no such file or folder;")
    assert run(str(tmp_path)).returncode == 2


# -- addresses


class Server(BaseHTTPRequestHandler):
    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        Server.asked.append((self.path, self.headers["Range"]))
        bodies = {"/there": b"\x80" * 18826032, "/short": b"\x80" * 99, "/page": b"<!DOCTYPE html><html>log in</html>"}
        body = bodies.get(self.path)
        if body is None:
            self.send_error(404)
            return
        part = body[:512] if self.path != "/short" else body
        self.send_response(206 if part is not body else 200)
        self.send_header("Content-Length", str(len(part)))
        if part is not body:
            self.send_header("Content-Range", f"bytes 0-{len(part) - 1}/{len(body)}")
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Server.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_addresses_are_asked_for_their_first_bytes_and_their_size(contribution: Path, server: str) -> None:
    text = contribution.read_text()
    start, end = text.index("places = ["), text.index("\n]\n", text.index("places = [")) + 3
    names = ("there", "short", "page", "gone", 'gone-by-now", status = "dead', 'there?again", status = "dead')
    places = "".join(f'  {{ kind = "url", url = "{server}/{name}" }},\n' for name in names)
    contribution.write_text(text[:start] + f"places = [\n{places}]\n" + text[end:])
    (one,), _ = reading.of_file(contribution, "x.toml")
    report = Report(1, 1, [])
    ask([one], report, lambda text: None)
    assert sorted(str(finding) for finding in report.findings) == [
        f"x.toml:69: lite0.mine.files.weights.size: {server}/short has 99 bytes, and the card says 18826032; "
        "fix: correct the size and the hash, or the address",
        f"x.toml:71: warning: lite0.mine.files.weights.places[2]: {server}/page: sends a web page in place of the "
        'file; fix: correct it, or write status = "dead" and seen = "who saw it, and when"',
        f"x.toml:71: warning: lite0.mine.files.weights.places[3]: {server}/gone: answers 404 Not Found; "
        'fix: correct it, or write status = "dead" and seen = "who saw it, and when"',
    ]
    assert {asked for _, asked in Server.asked} == {"bytes=0-511"}
    assert [answer["answers"] for answer in report.addresses] == [True, True, False, False, False, False]


def test_an_address_that_is_the_only_one_and_gone_is_an_error(contribution: Path, server: str) -> None:
    text = contribution.read_text()
    start, end = text.index("places = ["), text.index("\n]\n", text.index("places = [")) + 3
    contribution.write_text(text[:start] + f'places = [{{ kind = "url", url = "{server}/gone" }}]\n' + text[end:])
    (one,), _ = reading.of_file(contribution, "x.toml")
    report = Report(1, 1, [])
    ask([one], report, lambda text: None)
    assert [finding.level for finding in report.findings] == ["error"]


# -- files


@pytest.mark.weights
def test_files_are_converted_and_compared(contribution: Path) -> None:
    change(contribution, '"lite0.mine"', '"lite0-of-mine.x"')
    report = check([contribution], files=True)
    (made,) = report.converted
    assert (made["problem"], made["tensors"]) == (None, 247)
    assert made["parity"]["relative_error"] <= 1e-4
    change(contribution, "mean = [127, 127, 127]", "mean = [0, 0, 0]")
    (error,) = [finding for finding in check([contribution], files=True).findings if finding.level == "error"]
    assert "PyTorch 2.13.0, efficientnet-lite-pytorch 0.1.0 gave" in error.what
    assert (error.field, error.line) == ("check", 65)
