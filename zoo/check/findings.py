"""One thing that `zoo check` has to say, with its file, line, key and the way to put it right."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from zoo.errors import Problem

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that someone should look at."""

    level: Level
    file: str
    line: int | None
    model: str
    """Name of the model; empty where it is the whole file."""
    field: str
    """Dotted key inside the card, `labels.offset`; empty where it is the whole card."""
    what: str
    fix: str

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        key = ".".join(part for part in (self.model, self.field) if part)
        level = "warning: " if self.level == "warning" else ""
        return f"{self.file}{line}: {level}{key + ': ' if key else ''}{self.what}; fix: {self.fix}"


def of_problem(file: str, model: str, problem: Problem) -> Finding:
    """Makes a finding of what reading a card refused."""
    what, fix = _fix(problem.what)
    field = problem.key.removeprefix(model).removeprefix(".") if model else problem.key
    return Finding("error", file, problem.line, model, field, what, fix)


def _fix(what: str) -> tuple[str, str]:
    """Splits a message into what is wrong and what to do, which most say themselves."""
    if what.startswith("unknown key; did you mean "):
        return "unknown key", f"write {what.removeprefix('unknown key; did you mean ').rstrip('?')}, or leave it out"
    if what.startswith("unknown key"):
        return what, "leave it out"
    if what == "is missing":
        return what, 'add it; "unknown" where no source gives it and the key may be that (`zoo schema` says which)'
    expected = re.match(r"expected (.*), got .*\Z", what, re.DOTALL) or re.match(r"expected (.*)\Z", what, re.DOTALL)
    if expected and "; " not in expected[1]:
        return what, f"write {expected[1]}"
    head, semicolon, tail = what.rpartition("; ")
    if semicolon:
        return head, tail
    return what, "write what is expected" if "expected" in what else "correct it"
