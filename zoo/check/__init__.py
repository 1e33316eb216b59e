"""What a contribution to the registry has to stand: the cards of some files, or of the whole registry, checked.

Reading a card refuses what it cannot mean. Here it is compared with what else is known: the label lists, the networks
of `zoo.architectures`, the other cards, and, if asked for, the addresses and the files themselves. A rule is a
function from a card to what is wrong with it; those of one subject are in one module of this folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zoo.check.findings import Finding
from zoo.check.reading import read

__all__ = ["Finding", "Report", "check"]

Tell = Callable[[str], None]


@dataclass
class Report:
    """What was checked and what was found."""

    files: int
    models: int
    findings: list[Finding]
    """In the order of the files."""
    not_checked: list[str] = field(default_factory=list)
    """What could not be looked at, and why."""
    addresses: list[dict[str, Any]] = field(default_factory=list)
    """With `online`: per address, what it answered."""
    converted: list[dict[str, Any]] = field(default_factory=list)
    """With `files`: per model, what came of it."""
    seconds: float = 0.0

    def count(self, level: str) -> int:
        """Returns how many findings are of a level, `error` or `warning`."""
        return sum(finding.level == level for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Returns everything in JSON's types."""
        return {**asdict(self), "errors": self.count("error"), "warnings": self.count("warning")}


def check(
    paths: Sequence[str | Path] = (),
    *,
    online: bool = False,
    files: bool = False,
    offline: bool | None = None,
    tell: Tell = lambda text: None,
) -> Report:
    """Checks cards.

    Args:
        paths: TOML files, or folders of them; default: the whole built-in registry. The rest of the registry is read
            beside them, because a name or a file may be there already.
        online: ask every address of theirs whether it answers, and for what size.
        files: convert the models: every tensor accounted for, the numbers compared with the origin's. The files are
            taken from the cache, and fetched where `paths` are given.
        offline: for `files`: never use the network; default: whether ZOO_OFFLINE is 1.
        tell: is given a line now and then about what is going on.

    Returns:
        The report; a card that is wrong is a finding, not an exception.

    Raises:
        UsageError: a path is not there, or holds no TOML files.
    """
    from zoo.check import facts, networks, together

    start = time.perf_counter()
    contribution = read([Path(path) for path in paths])
    findings = list(contribution.findings)
    not_checked = facts.not_checked(contribution.stated)
    networks.prepare(contribution.stated)
    for stated in contribution.stated:
        findings += facts.check(stated)
        findings += networks.check(stated)
    findings += together.check(contribution.stated, contribution.others)
    report = Report(contribution.files, len(contribution.stated), findings, not_checked)
    if online:
        from zoo.check import addresses

        addresses.check(contribution.stated, report, tell)
    if files:
        from zoo.check import conversions

        conversions.check(contribution.stated, report, tell, fetch=bool(paths), offline=offline)
    order = {shown: place for place, shown in enumerate(contribution.order)}
    report.findings.sort(key=lambda finding: (order.get(finding.file, 0), finding.line or 0))
    report.seconds = time.perf_counter() - start
    return report


def as_text(findings: Iterable[Finding]) -> list[str]:
    """Returns a line per finding; one for those that say the same of several models of a file."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.file, finding.level, finding.field, finding.what, finding.fix), []).append(finding)
    lines = []
    for group in groups.values():
        others = [finding.model for finding in group[1:]]
        shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        lines.append(f"{group[0]}" + (f" (also {shown})" if others else ""))
    return lines
