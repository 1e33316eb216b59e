"""From the cache to a model in memory, each in a fresh process with Keras up; the files are in the page cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness import Bench, Line, Taken, Target, compare

KERAS, APPLICATIONS = "keras.saving.load_model of its .keras", "keras.applications, cached weights"
RAW, LAYERS = "raw read", "Keras's layer construction"
BOTH = f"3 x {RAW} + {LAYERS}"


def row(variant: str, function: str, called: str) -> Callable[[Bench], list[Line]]:
    def measure(bench: Bench) -> list[Line]:
        with bench.folder() as folder:
            bench.files("registered", folder, variant, "torchvision")
            home = folder / "home"
            bench.once("load", "prepare", folder, function, home=home)
            modes = {"zoo": "zoo", KERAS: "keras", APPLICATIONS: "applications", RAW: "raw", LAYERS: "layers"}
            taken = bench.turns({name: side(bench, mode, folder, function) for name, mode in modes.items()})
        what = f"`zoo.load`, warm, {called}"
        return [
            compare(taken, what, KERAS, target=Target(0.25)),
            compare(with_both(taken), what, BOTH, target=Target(1.0)),
            compare(taken, what, RAW),
            compare(taken, what, APPLICATIONS),
        ]

    return measure


def side(bench: Bench, mode: str, folder: Any, function: str) -> Callable[[], Any]:
    return lambda: bench.once("load", mode, folder, function, home=folder / "home")


def with_both(taken: Taken) -> Any:
    """Adds the side that stands for three raw reads and the layers."""
    if any("error" in taken[name] for name in (RAW, LAYERS)):
        return {**taken, BOTH: taken[RAW] if "error" in taken[RAW] else taken[LAYERS]}
    pairs = zip(taken[RAW], taken[LAYERS], strict=True)
    return {**taken, BOTH: [{"seconds": 3 * raw["seconds"] + layers["seconds"]} for raw, layers in pairs]}


def build(bench: Bench) -> list[Line]:
    """A Graph to a model, without files."""
    sides = {"zoo": "graph", "keras.applications, weights=None": "function"}
    commands = {name: lambda kind=kind: bench.command("build", kind) for name, kind in sides.items()}
    taken = bench.lockstep(commands)
    return [compare(taken, "build ResNet-152 from its graph", "keras.applications, weights=None", target=Target(1.5))]


ROWS = {
    "load-vgg16": row("vgg16", "VGG16", "VGG-16"),
    "load-resnet152": row("resnet152", "ResNet152", "ResNet-152"),
    "build-resnet152": build,
}
