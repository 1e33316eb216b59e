"""Images per second of converted networks, batches in memory, beside the same networks of keras.applications."""

from __future__ import annotations

from collections.abc import Callable

from harness import Bench, Line, Target, compare

BATCH = 32
THEIRS = "keras.applications"


def row(variant: str, called: str, batches: int) -> Callable[[Bench], list[Line]]:
    """Returns the row of a network: `batches` of 32 images in each run, as `predict` takes them."""

    def measure(bench: Bench) -> list[Line]:
        count = 1 if bench.quick else batches
        sides = {"zoo": "ours", THEIRS: "theirs"}
        commands = {
            name: lambda whose=whose: bench.command("predict", whose, variant, count * BATCH, BATCH)
            for name, whose in sides.items()
        }
        taken = bench.lockstep(commands)
        target = Target(0.97, most=False)
        return [compare(taken, f"predict, {called}", THEIRS, kind="speed", target=target, images=count * BATCH)]

    return measure


ROWS = {
    "predict-vgg16": row("vgg16", "VGG-16", 1),
    "predict-resnet50": row("resnet50", "ResNet-50", 2),
    "predict-mobilenet": row("mobilenetv1-100", "MobileNet", 6),
}
