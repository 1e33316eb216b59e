"""Reads files of cards so that one that is wrong hides no other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zoo import cards
from zoo.check.findings import Finding, Level, of_problem
from zoo.errors import CardError, UsageError
from zoo.index import ORIGINS, folder
from zoo.schema import ModelCard


@dataclass(frozen=True)
class Stated:
    """A card, and the file that states it."""

    card: ModelCard
    shown: str
    """How messages call the file."""
    path: Path
    text: str

    @property
    def in_registry(self) -> bool:
        """Whether the file lies where those of a registry lie: `registry/<origin>/`."""
        origin, root = self.path.parent.name, self.path.parent.parent.name
        return origin in ORIGINS and root in ("registry", "_registry")

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders beside which `labels/` and `checks/` may lie: the file's own, the one above, the registry's."""
        return (self.path.parent, self.path.parent.parent, folder())

    def beside(self, kind: str, name: str) -> Path | None:
        """Returns a file of `labels` or `checks`; None if it is in none of the roots."""
        paths = (root / kind / name for root in self.roots)
        return next((path for path in paths if path.is_file()), None)

    def finding(self, level: Level, field: str, what: str, fix: str) -> Finding:
        """Returns a finding about one key of the card."""
        key = tuple(int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", field))
        line = cards.line_of(self.text, self.card.name, key)
        return Finding(level, self.shown, line, self.card.name, field, what, fix)


@dataclass
class Contribution:
    """What is to be checked, and what it has to go with."""

    stated: list[Stated] = field(default_factory=list)
    others: list[Stated] = field(default_factory=list)
    """The rest of the built-in registry."""
    findings: list[Finding] = field(default_factory=list)
    """Of files and cards that cannot be read."""
    files: int = 0
    order: list[str] = field(default_factory=list)
    """The files, as messages call them."""


def read(paths: Sequence[Path]) -> Contribution:
    """Reads the files, and the rest of the built-in registry beside them; see `zoo.check.check`."""
    built_in = sorted(folder().resolve().glob("*/*.toml"))
    shown = {path: f"registry/{path.parent.name}/{path.name}" for path in built_in}
    chosen = {path.resolve(): str(path) for path in _files(paths)} if paths else shown
    found = Contribution(files=len(chosen), order=list(chosen.values()))
    for path, name in chosen.items():
        cards_of, findings = of_file(path, name)
        found.stated += cards_of
        found.findings += findings
    for path in built_in:
        if path not in chosen:  # what is wrong there is not this contribution's
            found.others += of_file(path, shown[path])[0]
    return found


def _files(paths: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob("*.toml"))
            if not inside:
                raise UsageError(f"{path}: holds no .toml files; expected files of cards")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"{path}: no such file or folder; expected .toml files of cards, or none for the registry")
    return list(dict.fromkeys(found))


def of_file(path: Path, shown: str) -> tuple[list[Stated], list[Finding]]:
    """Returns a file's cards, and what is wrong with those that cannot be read; `shown` is how messages call it."""
    found: list[Stated] = []
    findings: list[Finding] = []
    try:
        text = cards.read_text(path, shown)
        data = cards.tables(text, shown)
    except CardError as error:
        return [], [of_problem(shown, "", problem) for problem in error.problems]
    for name in data["models"]:
        try:
            found.append(Stated(cards.variant(data, name, text, shown), shown, path, text))
        except CardError as error:
            findings += [of_problem(shown, name, problem) for problem in error.problems]
    return found, findings
