"""Start-up: whole processes, from start to end."""

from __future__ import annotations

import sys
from collections.abc import Callable

from harness import Bench, Line, Measured, Target, compare

PYDANTIC = "import pydantic"
TIMM = "timm.list_models()"
TIMES = 3
"""So many more runs than asked for: a process of 0.2 s is soon disturbed."""


def row(command: list[str], what: str, most: float, *, with_timm: bool = False) -> Callable[[Bench], list[Line]]:
    """Returns the row of a command of zoo's, beside an import of pydantic and a process that lists timm's models."""

    def measure(bench: Bench) -> list[Line]:
        def zoo() -> Measured:
            return bench.process([sys.executable, *command])

        sides = {"zoo": zoo, PYDANTIC: lambda: bench.process([sys.executable, "-c", PYDANTIC])}
        # The first run compiles bytecode and the registry's index, as the first one after an installation does.
        taken = bench.turns(sides, runs=bench.runs * TIMES, warm=1)
        lines = [compare(taken, what, PYDANTIC, target=Target(most))]
        if with_timm:
            listing = {"zoo": zoo, TIMM: lambda: bench.process(bench.command("timm_list", tool="tools"))}
            lines.append(compare(bench.turns(listing, warm=1), what, TIMM, target=Target(0.1)))
        return lines

    return measure


def first(bench: Bench) -> list[Line]:
    """`zoo list` with an empty cache: the registry's index is compiled."""

    def empty() -> Measured:
        with bench.folder() as home:
            return bench.process([sys.executable, "-m", "zoo", "list"], home)

    sides = {"zoo": empty, PYDANTIC: lambda: bench.process([sys.executable, "-c", PYDANTIC])}
    return [compare(bench.turns(sides, warm=1), "`zoo list`, the first ever", PYDANTIC)]


def every(bench: Bench) -> list[Line]:
    """All cards, validated, in one process."""
    sides = {
        "zoo": lambda: bench.process([sys.executable, "-c", EVERY]),
        PYDANTIC: lambda: bench.process([sys.executable, "-c", PYDANTIC]),
    }
    return [compare(bench.turns(sides, warm=1), "every card of the registry, in one process", PYDANTIC)]


EVERY = "import zoo; zoo.list_models()"
ROWS = {
    "start-list": row(["-m", "zoo", "list"], "`zoo list`", 1.5, with_timm=True),
    "start-info": row(
        ["-m", "zoo", "info", "efficientnet-lite0"], "`zoo info efficientnet-lite0`", 1.5, with_timm=True
    ),
    "start-import": row(["-c", "import zoo"], "`import zoo`", 1.2),
    "start-first": first,
    "start-every": every,
}
