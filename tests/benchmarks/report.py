"""Where it was measured, and the table of what was."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import tools
from harness import ROOT, Line

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
"""What stands between them in RESULTS.md is written by the run; the rest is by hand."""
BUSY = 0.2
"""Cores that other programs keep busy, above which the figures are marked."""
PACKAGES = ("keras", "tensorflow", "numpy", "pillow", "pydantic", "safetensors", "h5py", "scikit-learn")
HEADER = "# Measured figures\n\n"


def machine() -> dict[str, Any]:
    """Returns what the figures depend on and a machine keeps."""
    cpu = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_gib": round(memory, 1), "system": platform.platform()}


def versions() -> dict[str, str]:
    """Returns package -> version, of zoo's environment and of the other tools'."""
    own = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **own, **tools.versions()}


def commit() -> str:
    """Returns the checkout's commit, with a plus where something was changed since; empty without git."""
    try:
        told = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=10", "--dirty=+"]
        return subprocess.run(told, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def busy(seconds: float = 1.0) -> float:
    """Returns how many cores the machine keeps busy while this process sleeps."""

    def ticks() -> tuple[int, int]:
        numbers = [int(part) for part in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]

    before = ticks()
    time.sleep(seconds)
    after = ticks()
    every, idle = (then - now for now, then in zip(before, after, strict=True))
    return round((1 - idle / max(every, 1)) * (os.cpu_count() or 1), 2)


def load() -> float:
    return round(os.getloadavg()[0], 2)


def merged(path: Path, facts: dict[str, Any], rows: dict[str, Any]) -> dict[str, Any]:
    """Returns the results with new rows in place of older ones of the same machine, in the order of `facts`."""
    before = json.loads(path.read_text()) if path.exists() else {}
    kept = before.get("rows", {}) if before.get("machine") == facts["machine"] else {}
    every = {**kept, **rows}
    order = facts.pop("order")
    return {**facts, "rows": {name: every[name] for name in order if name in every}}


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def markdown(results: dict[str, Any]) -> str:
    """Returns the table and what it was measured on."""
    where = results["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    rows = results["rows"].values()
    loads = [row["load"] for row in rows]
    noisy = [row for row in rows if row["busy_cores"] > BUSY]
    text = [
        f"{where['cpu']}, {where['cores']} cores, {where['memory_gib']:g} GiB, {where['system']}; {results['date']}.",
        f"Load average when the rows began: {min(loads):g} to {max(loads):g}, the harness's own included.",
        f"Versions: {packages}.",
        "",
        "Medians. A ratio is the median of those of the pairs of runs, made in turns, with the smallest and the "
        'largest; "time" is zoo\'s by the other\'s (small is good), "speed" the reverse, "memory" zoo\'s peak by '
        "the size of the weights.",
        "",
        "| measure | zoo | against | its figure | ratio | to reach | met |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        marks = " *" if row["busy_cores"] > BUSY else ""
        text += [_row(Line.from_json(line), marks) for line in row["lines"]]
    if noisy:
        most = max(row["busy_cores"] for row in noisy)
        text += ["", f"\\* measured while other programs kept up to {most:g} cores busy: not to be relied on."]
    few = {name: row["runs"] for name, row in results["rows"].items() if row["runs"] < 5}
    if few:
        text += ["", f"Fewer than five runs: {', '.join(f'{name} ({runs})' for name, runs in few.items())}."]
    changed = sorted({row["commit"] for row in rows})
    text += ["", f"Measured at {', '.join(changed)}." if any(changed) else ""]
    return "\n".join(text).rstrip() + "\n"


def _row(line: Line, marks: str) -> str:
    if not line.ratios():
        return f"| {line.what} | not measured: {line.reason} | {line.against} | | | {line.target} | |"
    ours, theirs = statistics.median(line.ours), statistics.median(line.theirs)
    spread = f"{line.kind} {line.ratio():.2f} ({min(line.ratios()):.2f} to {max(line.ratios()):.2f}){marks}"
    met = {True: "yes", False: "**no**", None: ""}[line.met]
    peaks = [f", {peak / 1e6:,.0f} MB" if peak else "" for peak in line.peak or (0, 0)]
    figures = [figure(value, line) + peak for value, peak in zip((ours, theirs), peaks, strict=True)]
    return f"| {line.what} | {figures[0]} | {line.against} | {figures[1]} | {spread} | {line.target} | {met} |"


def figure(value: float, line: Line) -> str:
    """Returns seconds, bytes or images per second for people."""
    if line.kind == "memory":
        return f"{value / 1e6:,.0f} MB"
    if line.images:
        return f"{line.images / value:,.1f} images/s"
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.2f} s"


def write(results: dict[str, Any], folder: Path) -> None:
    """Writes results.json, and the table into RESULTS.md between its marks."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    page = folder / "RESULTS.md"
    text = page.read_text() if page.exists() else f"{HEADER}{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{markdown(results)}{END}{after}")
