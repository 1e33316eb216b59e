"""The benchmarks' harness, without measuring: pairs, failures, and what repeated rows leave of the table."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HARNESS, REPORT = "harness", "report"


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, ModuleType]]:
    """The modules harness and report of tests/benchmarks, whose scripts import each other by these names."""
    import importlib

    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "benchmarks"))
    yield importlib.import_module(HARNESS), importlib.import_module(REPORT)
    for name in (HARNESS, REPORT, "tools"):
        if name not in before:
            sys.modules.pop(name, None)


def facts(cpu: str = "one") -> dict[str, Any]:
    return {"date": "today", "machine": {"cpu": cpu, "cores": 2, "memory_gib": 4.0, "system": "some"},
            "versions": {"python": "3"}, "order": ["first", "second"]}  # fmt: skip


def row(lines: list[Any], busy: float = 0.0) -> dict[str, Any]:
    return {"load": 0.1, "busy_cores": busy, "date": "today", "commit": "abc", "runs": 5,
            "lines": [line.as_json() for line in lines]}  # fmt: skip


def test_sides_run_in_turns_and_the_ratio_is_the_median_of_the_pairs(parts: Any, tmp_path: Path) -> None:
    harness, _ = parts
    order: list[str] = []
    times = {"zoo": iter([9.0, 1.0, 2.0, 6.0]), "other": iter([9.0, 1.0, 1.0, 2.0])}

    def side(name: str) -> Any:
        def measure() -> dict[str, float]:
            order.append(name)
            return {"seconds": next(times[name])}

        return measure

    bench = harness.Bench(3, False, tmp_path, lambda name: name, lambda text: None)
    taken = bench.turns({name: side(name) for name in times}, warm=1)
    assert order == ["zoo", "other"] * 4
    line = harness.compare(taken, "it", "other", target=harness.Target(2.0))
    assert line.ratios() == [1.0, 2.0, 3.0]  # without the run that warms up
    assert line.ratio() == 2.0
    assert line.met is True
    assert harness.compare(taken, "it", "other", kind="speed", target=harness.Target(0.6, most=False)).met is False


def test_a_side_that_fails_is_told_and_stops_no_other(parts: Any, tmp_path: Path) -> None:
    harness, report = parts

    def fails() -> dict[str, float]:
        raise harness.NotMeasured("cannot be installed")

    bench = harness.Bench(2, False, tmp_path, lambda name: name, lambda text: None)
    taken = bench.turns({"zoo": lambda: {"seconds": 2.0}, "a": fails, "b": lambda: {"seconds": 1.0}})
    lines = [harness.compare(taken, "it", other) for other in ("a", "b")]
    assert lines[1].ours == [2.0, 2.0]
    text = report.markdown(report.merged(tmp_path / "none.json", facts(), {"first": row(lines)}))
    assert "| it | not measured: a: cannot be installed | a |" in text
    assert "time 2.00 (2.00 to 2.00)" in text


def test_a_child_that_ends_is_told_with_its_last_words(parts: Any) -> None:
    harness, _ = parts
    child = harness.Child([sys.executable, "-c", "raise SystemExit('no such thing')"], {})
    with pytest.raises(harness.NotMeasured, match="ended with 1: no such thing"):
        child.answer()
    child.close()


def test_repeated_rows_replace_their_own_and_leave_the_others_and_the_notes(parts: Any, tmp_path: Path) -> None:
    harness, report = parts
    slow, fast = ([harness.Line("it", "other", ours=[time], theirs=[1.0])] for time in (2.0, 1.5))
    for rows in ({"second": row(slow), "first": row(slow)}, {"second": row(fast, busy=1.0)}):
        report.write(report.merged(tmp_path / "results.json", facts(), rows), tmp_path)
        page = tmp_path / "RESULTS.md"
        page.write_text(page.read_text().replace("\nNote.\n", "") + "\nNote.\n")
    kept = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [(name, entry["lines"][0]["ratio"]["median"]) for name, entry in kept.items()] == [
        ("first", 2.0), ("second", 1.5),
    ]  # fmt: skip
    text = page.read_text()
    assert text.count("| measure |") == 1
    assert text.endswith("\nNote.\n")
    assert "time 1.50 (1.50 to 1.50) * |" in text  # measured beside other programs
    other = report.merged(tmp_path / "results.json", facts("another"), {"first": row(fast)})
    assert list(other["rows"]) == ["first"]  # one machine a table
