"""Fine-tuning beside plain Keras: a head on a frozen trunk from a folder of JPEGs, and a step over all layers."""

from __future__ import annotations

from collections.abc import Callable

from harness import Bench, Line, Measured, Target, compare

HEAD, LOOP = "Keras fit, trunk frozen", "bare Keras fit"
EPOCHS = 10
VARIANT, SIDE, IMAGES = "mobilenetv2-100", 160, 500
STEP_VARIANT, STEP_IMAGES = "mobilenetv2-100", 96


def head(augment: str, called: str, target: Target | None) -> Callable[[Bench], list[Line]]:
    def measure(bench: Bench) -> list[Line]:
        count, epochs = (60, 2) if bench.quick else (IMAGES, EPOCHS)
        with bench.folder() as folder:
            bench.files("photographs", folder / "data", count, 320, 240)

            def side(whose: str) -> Callable[[], Measured]:
                def measure_it() -> Measured:
                    with bench.folder() as home:  # zoo keeps features there from one run to the next
                        given = (whose, folder / "data", home / "run", VARIANT, SIDE, epochs, augment)
                        return bench.once("head", *given, home=home)

                return measure_it

            taken = bench.turns({"zoo": side("zoo"), HEAD: side("keras")})
        what = f"head training, {count} JPEGs, {epochs} epochs, {called}"
        return [
            compare(taken, what, HEAD, kind="speed", target=target, key="training"),
            compare(taken, f"{what}; the whole run, with model and report", HEAD, kind="speed"),
        ]

    return measure


def step(bench: Bench) -> list[Line]:
    """An epoch over all layers, with the judgement of a few images that follows it."""
    count = 32 if bench.quick else STEP_IMAGES
    commands = {
        name: lambda whose=whose: bench.command("step", whose, STEP_VARIANT, count, bench.runs + 1)
        for name, whose in {"zoo": "zoo", LOOP: "keras"}.items()
    }
    taken = bench.lockstep(commands)
    what = "full fine-tuning, MobileNetV2, batch 16"
    return [compare(taken, what, LOOP, kind="speed", target=Target(0.95, most=False), images=count)]


ROWS = {
    "train-head": head("none", "no augmentation", Target(5.0, most=False)),
    "train-head-augmented": head("auto", "augmented as the plan does", Target(5.0, most=False)),
    "train-all": step,
}
