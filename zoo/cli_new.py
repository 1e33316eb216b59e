"""`zoo new`: what its flags say, or its questions find out, as the facts of a card."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from zoo.cli_options import as_json_option
from zoo.errors import UsageError

_PATH = click.Path(path_type=Path)
_RESIZES = {"short-side": "size", "square": "size", "crop-fraction": "fraction", "crop-padding": "padding"}


@click.command()
@click.argument("name", metavar="ARCHITECTURE.PUBLISHER")
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="PLACE",
    help="https://..., package==version:member, hf:owner/repo/file, or a path; once per file.",
)
@click.option(
    "--also", multiple=True, metavar="ROLE|NAME=PLACE", help="A further place of a file, such as weights=https://..."
)
@click.option("--sha256", multiple=True, metavar="FILE=HASH", help="Hash that its publisher states.")
@click.option("--origin", help="Framework it came from: caffe, keras, tensorflow, torch, mxnet.")
@click.option("--family", help="Family, such as resnet: names the file.")
@click.option(
    "--architecture", metavar="NETWORK[/PUBLISHER]", help="For weights that carry no graph; see `zoo architectures`."
)
@click.option("--called", metavar="TEXT", help="The architecture as its paper calls it.")
@click.option("--summary", metavar="TEXT", help="One line for people.")
@click.option("--notes", metavar="TEXT", help="What a user should know before trusting the numbers.")
@click.option("--paper", nargs=3, metavar="TITLE URL YEAR", help="The paper of the architecture.")
@click.option("--dataset", help="What it was trained on, such as ILSVRC2012.")
@click.option("--labels", metavar="LIST", help="List in registry/labels, such as imagenet-2012.")
@click.option("--label-offset", type=int, help="Index of the list's first class among the outputs.")
@click.option("--size", metavar="ROWS[xCOLUMNS]", help="Input of the network, pixels.")
@click.option("--channel-order", help="RGB, BGR or gray.")
@click.option("--value-range", metavar="0..1|0..255", help="Range of a pixel before mean and std.")
@click.option("--mean", metavar="A,B,C|none", help="Subtracted; in channel order, on the value range.")
@click.option("--std", metavar="A,B,C|none", help="Divided by, after that.")
@click.option(
    "--resize", metavar="KIND:NUMBER", help="short-side:256, square:256, crop-fraction:0.875 or crop-padding:32."
)
@click.option("--interpolation", help="nearest, bilinear, bicubic, lanczos or area.")
@click.option("--library", help="That resized: pil, opencv, tensorflow, torchvision or skimage.")
@click.option("--antialias/--no-antialias", default=None, help="Whether that widened its kernel when it shrank.")
@click.option(
    "--license", "licenses", multiple=True, metavar="code|weights|training_data|note=TEXT", help="SPDX identifiers."
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="TOP1,TOP5,PROTOCOL,SOURCE",
    help="Published accuracy in percent; top-5 may be unknown.",
)
@click.option("--measured-on", default="ILSVRC2012 validation", show_default=True, help="Data set of --metric.")
@click.option(
    "--source", "sources", multiple=True, metavar="KEY=TEXT", help="Who states a fact, such as preprocessing=..."
)
@click.option("--reference", type=_PATH, metavar="OUT.npz", help="The origin's logits for zoo's test image (`output`).")
@click.option("--framework", metavar="TEXT", help="What computed them, with version.")
@click.option(
    "--into", type=_PATH, metavar="FILE.toml", help="File of cards; default: registry/ORIGIN/FAMILY-PUBLISHER.toml."
)
@click.option("--ask/--no-ask", default=None, help="Ask for what is missing; default: in a terminal.")
@as_json_option
def new(name: str, ask: bool | None, as_json: bool, **flags: Any) -> None:
    """Make a card from a model's files.

    Fetches and hashes them, tells their format, counts parameters, converts, compares with --reference, and writes the
    card. What neither the files nor a flag say is written "unknown" and told at the end. ARCHITECTURE.PUBLISHER is the
    model's name, such as resnet50.torchvision-v1.
    """
    from zoo import show
    from zoo.new import make

    if ask if ask is not None else sys.stdin.isatty():
        _ask(flags)
    made = make(
        name,
        facts_of(flags),
        flags["files"],
        also=_several(flags["also"], "also"),
        sha256=_pairs(flags["sha256"], "sha256"),
        into=flags["into"],
        reference=flags["reference"],
        framework=flags["framework"],
        tell=lambda text: click.echo(text, err=True),
    )
    findings = _checked(made.path, made.card.name)
    if as_json:
        facts = {
            "file": str(made.path), "check": None if made.check is None else str(made.check), "error": made.error,
            "missing": made.missing, "findings": findings, "card": made.card.model_dump(mode="json", exclude_none=True),
        }  # fmt: skip
        click.echo(show.as_json(facts))
        return
    for text in findings:
        click.echo(text, err=True)
    if made.missing:
        click.echo(f"still to fill in, in {made.path}:", err=True)
        for text in made.missing:
            click.echo(f"  {text}", err=True)
    click.echo(str(made.path))
    if made.check is not None:
        click.echo(str(made.check))


def _checked(path: Path, name: str) -> list[str]:
    """Returns what `zoo check` says of the new card."""
    from zoo.check import check

    return [str(finding) for finding in check([path]).findings if finding.model == name]


def _ask(flags: dict[str, Any]) -> None:
    """Asks for what no flag says; an empty answer leaves it unknown, where it may be that."""
    needed = {
        "origin": "Framework (caffe, keras, tensorflow, torch, mxnet)",
        "family": "Family, such as resnet",
        "files": "Where the file is (https://..., package==version:member, hf:owner/repo/file, a path)",
        "called": "Architecture, as its paper calls it",
    }
    optional = {
        "architecture": "Network/publisher for files of weights (`zoo architectures`), else empty",
        "dataset": "Trained on, such as ILSVRC2012",
        "labels": "Label list, such as imagenet-2012",
        "channel_order": "Order of the colours (RGB, BGR, gray)",
        "value_range": "Range of a pixel before mean and std (0..1 or 0..255)",
        "mean": "Mean, such as 0.485,0.456,0.406, or none",
        "std": "Std, such as 0.229,0.224,0.225, or none",
        "resize": "Resize (short-side:256, square:256, crop-fraction:0.875, crop-padding:32)",
        "interpolation": "Interpolation (nearest, bilinear, bicubic, lanczos, area)",
        "library": "Library that resized (pil, opencv, tensorflow, torchvision, skimage)",
    }
    told = []
    for key, question in needed.items():
        if not flags[key]:
            answer = click.prompt(question, err=True)
            flags[key] = (answer,) if key == "files" else answer
    own = [Path(text).name for text in flags["files"] if Path(text).is_file()]
    for name in own[len(flags["also"]) :]:  # a card cannot name a file that others do not have
        answer = click.prompt(f"Where others get {name} (https://..., package==version:member, hf:...)", err=True)
        flags["also"] = (*flags["also"], f"{name}={answer}")
    for key, question in optional.items():
        if flags[key] is None:
            flags[key] = click.prompt(f"{question} [unknown]", default="", show_default=False, err=True) or None
            told += ["preprocessing" if key not in ("dataset", "labels", "architecture") else key] if flags[key] else []
    stated = _pairs(flags["sources"], "source")
    for key in dict.fromkeys(told):
        if key != "architecture" and key not in stated:
            answer = click.prompt(f"Page or file that states {key}, with its commit or version", err=True)
            flags["sources"] = (*flags["sources"], f"{key}={answer}")


# ------------------------------------------------------------------------------------------------------ flags -> facts


def facts_of(flags: dict[str, Any]) -> dict[str, Any]:
    """Returns what the flags say, as a card has it."""
    facts: dict[str, Any] = {
        key: flags[key] for key in ("origin", "family", "summary", "notes", "dataset") if flags[key]
    }  # fmt: skip
    if flags["called"]:
        facts["architecture"] = flags["called"]
    if flags["architecture"]:
        facts["source"] = {"architecture": flags["architecture"]}
    if flags["paper"]:
        title, url, year = flags["paper"]
        facts["paper"] = {"title": title, "url": url, "year": _number(year, "paper", int)}
    labels = {"list": flags["labels"], "offset": flags["label_offset"]}
    parts = {
        "labels": {key: value for key, value in labels.items() if value is not None},
        "preprocessing": _preprocessing(flags),
        "license": _pairs(flags["licenses"], "license"),
        "sources": _pairs(flags["sources"], "source"),
    }
    facts |= {key: part for key, part in parts.items() if part}
    if flags["metrics"]:
        facts["metrics"] = [_metric(text, flags["measured_on"]) for text in flags["metrics"]]
    return facts


def _preprocessing(flags: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        key: flags[key] for key in ("channel_order", "interpolation", "library", "antialias") if flags[key] is not None
    }  # fmt: skip
    if flags["size"]:
        sides = [_number(side, "size", int) for side in str(flags["size"]).split("x")]
        if len(sides) > 2:
            raise UsageError(f"size: expected rows, or rows and columns as 224x224, got {flags['size']!r}")
        found["height"], found["width"] = sides[0], sides[-1]
    if flags["value_range"]:
        found["value_range"] = [_number(end, "value-range") for end in str(flags["value_range"]).split("..")]
    for key in ("mean", "std"):
        text = flags[key]
        if text:
            found[key] = text if text == "none" else [_number(part, key) for part in text.split(",")]
    if flags["resize"]:
        kind, _, number = flags["resize"].partition(":")
        if kind not in _RESIZES:
            expected = ", ".join(f"{kind}:{key.upper()}" for kind, key in _RESIZES.items())
            raise UsageError(f"resize: expected one of {expected}, got {flags['resize']!r}")
        of = float if kind == "crop-fraction" else int
        found["resize"] = {"kind": kind, _RESIZES[kind]: _number(number, "resize", of)}
    return found


def _metric(text: str, dataset: str) -> dict[str, Any]:
    parts = [part.strip() for part in re.split(r",", text, maxsplit=3)]
    if len(parts) != 4:
        raise UsageError(f"metric: expected TOP1,TOP5,PROTOCOL,SOURCE, got {text!r}; the protocol has no comma")
    top1, top5 = (
        part if part == "unknown" else round(_number(part, "metric") / 100, 6) for part in parts[:2]
    )  # fmt: skip
    return {"dataset": dataset, "top1": top1, "top5": top5, "protocol": parts[2], "source": parts[3]}


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key or not value.strip():
            raise UsageError(f"{option}: expected KEY=TEXT, got {text!r}")
        found[key] = value
    return found


def _several(texts: tuple[str, ...], option: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        for key, value in _pairs((text,), option).items():
            found.setdefault(key, []).append(value)
    return found


def _number(text: str, option: str, of: Callable[[str], Any] = float) -> Any:
    try:
        return of(text)
    except ValueError:
        what = "a whole number" if of is int else "a number"
        raise UsageError(f"{option}: expected {what}, got {text!r}") from None
