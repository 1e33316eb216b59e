"""What the command line prints: tables, cards and JSON as text. Takes values, returns strings."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from zoo.errors import UsageError

Row = dict[str, Any]

GAP = "  "
MODEL_COLUMNS = ("name", "origin", "top1", "params", "input", "classes", "license", "status")
NODE_COLUMNS = ("value", "shape", "error", "result", "")
FIRST = ("name", "aliases", "summary", "notes", "origin", "family", "architecture", "status")


def width() -> int | None:
    """Returns the terminal's columns, or None where stdout is a file or a pipe and nothing is to be cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def as_json(value: Any) -> str:
    """Returns JSON for programs; characters outside ASCII stay as they are."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], limit: int | None = None) -> str:
    """Lays out text in columns.

    Args:
        columns: headings.
        rows: one text per column.
        limit: characters per line; longer lines end in `…`. None leaves them whole.
    """
    lines = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    layout = GAP.join(f"{{:<{size}}}" for size in widths)  # one call a line: a list has over a thousand
    return "\n".join(_cut(layout.format(*line).rstrip(), limit) for line in lines)


def models(rows: Iterable[Row], limit: int | None = None, columns: Sequence[str] = MODEL_COLUMNS) -> str:
    """Returns the table of `zoo list`: rows of `zoo.index`, in columns that are keys of COLUMNS."""
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise UsageError(f"columns: expected some of {', '.join(COLUMNS)}, got {unknown[0]!r}")
    return table(columns, [[COLUMNS[name](row) for name in columns] for row in rows], limit)


def card(facts: Mapping[str, Any], limit: int | None = None) -> str:
    """Returns everything a card states (as JSON), one fact a line; what no source gives reads `unknown`."""
    facts = {**facts, "parameters": _counted(facts["parameters"])}
    if not facts.get("former_names"):
        facts.pop("former_names", None)  # few have any
    facts["files"] = {role: {**file, "size": _counted(file["size"], " bytes")} for role, file in facts["files"].items()}
    ordered = {key: facts.pop(key) for key in FIRST if key in facts} | facts
    lines: list[str] = []
    for key, value in ordered.items():
        if isinstance(value, dict) and lines:
            lines.append("")
        lines += _fact(key, value, 0, limit)
    return "\n".join(lines)


def predictions(shown: str, found: Iterable[Any], limit: int | None = None) -> str:
    """Returns one image's answers, best first; takes `zoo.Prediction`s."""
    rows = [f"  {answer.score:7.4f}  {answer.name}{_id(answer)}" for answer in found]
    return "\n".join([_cut(shown, limit), *(_cut(row, limit) for row in rows)])


def receipt(facts: Mapping[str, Any], limit: int | None = None) -> str:
    """Returns a receipt (nested JSON values) as indented text."""
    return "\n".join(line for key, value in facts.items() for line in _fact(key, value, 0, limit))


def conversion(made: Mapping[str, Any]) -> str:
    """Returns in one line what came of converting a model for `zoo check --files`."""
    parity = made["parity"]
    error = "no check to compare with" if parity is None else f"error {parity['relative_error']:.1e}"
    return f"{made['model']}: {made['tensors']} tensors used, {made['unused']} not needed, {error}"


def nodes(found: Mapping[str, Any], limit: int | None = None) -> str:
    """Returns the values of `zoo verify --against` in the order in which they are computed, and the verdict."""
    rows = [
        (
            row["name"],
            "x".join(map(str, row["shape"])),
            row["error"] if isinstance(row["error"], str) else f"{row['error']:.1e}",
            "equal" if row["equal"] else "differs",
            row["note"],
        )
        for row in found["rows"]
    ]
    verdict = _cut(found["summary"], limit)
    return f"{table(NODE_COLUMNS, rows, limit)}\n\n{verdict}" if rows else verdict


def _percent(value: float | str) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, float | int) else value


COLUMNS: dict[str, Callable[[Row], str]] = {
    **{
        key: lambda row, key=key: str(row[key])  # type: ignore[misc]
        for key in (
            "name",
            "origin",
            "family",
            "architecture",
            "format",
            "status",
            "classes",
            "license",
            "summary",
            "task",
            "paper",
        )
    },
    "aliases": lambda row: ", ".join(row["aliases"]) or "-",
    "dataset": lambda row: row["dataset"],
    "top1": lambda row: _percent(row["top1"]),
    "top5": lambda row: _percent(row["top5"]),
    "params": lambda row: "unknown" if row["parameters"] == "unknown" else _millions(row["parameters"]),
    "input": lambda row: "unknown" if row["height"] == "unknown" else f"{row['height']}x{row['width']}",
}
"""Column of `zoo list` -> its text, from a row of `zoo.index`."""


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f}M" if count >= 100_000 else str(count)


def _counted(count: int | str, unit: str = "") -> str:
    return count if isinstance(count, str) else f"{count:,}{unit}"


def _id(answer: Any) -> str:
    return "" if answer.id in (None, "", answer.name) else f"  ({answer.id})"


def _cut(line: str, limit: int | None) -> str:
    return line if limit is None or len(line) <= limit else line[: max(1, limit - 1)] + "…"


def _fact(key: str, value: Any, depth: int, limit: int | None) -> list[str]:
    """`key: value`, or the key and its parts indented under it; nothing for an optional fact that is not stated."""
    if value is None:
        return []
    indent = "  " * depth
    if isinstance(value, dict):
        return [f"{indent}{key}:", *(line for k, v in value.items() for line in _fact(k, v, depth + 1, limit))]
    if isinstance(value, list) and any(isinstance(child, dict | list) for child in value):
        lines = [f"{indent}{key}:"]
        for child in value:
            lines += _wrapped(f"{indent}  - ", _one_line(child), limit)
        return lines
    return _wrapped(f"{indent}{key}: ", _text(value), limit)


def _one_line(value: Any) -> str:
    if isinstance(value, dict):
        # a place's kind is the name of its next key
        told = {k: part for k, part in value.items() if part is not None and part is not False and k != "kind"}
        return "; ".join(f"{k}: {_text(part)}" for k, part in told.items())
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(_text(part) for part in value) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).strip()


def _wrapped(start: str, text: str, limit: int | None) -> list[str]:
    """Breaks a long fact over lines that hang under its beginning; a file or a pipe gets it on one line."""
    if limit is None:
        return [start + " ".join(text.split("\n"))]
    import textwrap

    under = " " * (len(start) - len(start.lstrip()) + 2)
    return textwrap.wrap(
        start + text, max(30, limit), subsequent_indent=under, break_long_words=False, break_on_hyphens=False
    )
