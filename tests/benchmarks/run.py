"""Measures what zoo exists for beside what one would use instead, in one run; `make bench`.

    python tests/benchmarks/run.py [--only ROW,...] [--runs 5] [--quick] [-o FOLDER] [--list]

Writes results.json and, between its marks, the table of RESULTS.md into a folder, by default tests/benchmarks/results;
`--only` measures some rows again and leaves the others as they were. The packages of the other tools are installed by
pip into .venv-bench; nothing else is downloaded: networks get generated weights at their full size, images are made. A
row that fails says why and stops no other. `--quick` tries the harness out at small sizes, and writes only with -o.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import report
import tools
from harness import HERE, ROOT, Bench, Line

sys.path.insert(0, str(ROOT))

from rows import ROWS  # needs this checkout's zoo


def main() -> int:
    """Measures; returns 1 where zoo's side of a row failed."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", metavar="ROW,...", help="these rows; a beginning stands for all that have it")
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--list", action="store_true", help="print the names of the rows")
    options.add_argument("--work", type=Path, help="folder for some GB of files; default: a temporary one")
    options.add_argument("-o", "--output", type=Path)
    given = options.parse_args()
    if given.list:
        print("\n".join(ROWS))
        return 0
    asked = given.only.split(",") if given.only else [""]
    names = [name for name in ROWS if any(name.startswith(part) for part in asked)]
    unknown = [part for part in asked if not any(name.startswith(part) for name in ROWS)]
    if unknown:
        options.error(f"no row {', '.join(unknown)}; expected some of {', '.join(ROWS)}")
    output = given.output or (None if given.quick else HERE / "results")
    began = report.busy()
    if began > report.BUSY:
        say(f"other programs keep {began} cores busy (load {report.load()}): the figures will be marked")
    failed = False
    with tempfile.TemporaryDirectory(dir=given.work, prefix="zoo-bench-") as folder:
        bench = Bench(given.runs, given.quick, Path(folder), tools.interpreter, say)
        for name in names:
            row = measure(name, bench)
            failed |= any(line["reason"].startswith("zoo") or not line["against"] for line in row["lines"])
            results = kept(output, {name: row})
            print(report.markdown({**results, "rows": {name: row}}).split("| --- |\n")[-1].split("\n\n")[0], flush=True)
    return int(failed)


def measure(name: str, bench: Bench) -> dict[str, Any]:
    """Measures one row; what fails becomes a line that says so."""
    say(f"{name} ...")
    facts = {"load": report.load(), "busy_cores": report.busy(), "date": report.now(), "commit": report.commit()}
    start = time.monotonic()
    try:
        lines = ROWS[name](bench)
    except Exception as error:  # one row's failure is not the others'
        traceback.print_exc()
        lines = [Line(name, "", reason=" ".join(str(error).split()) or type(error).__name__)]
    runs = min((len(line.ratios()) for line in lines if line.ours), default=0)
    took = round(time.monotonic() - start, 1)
    say(f"{name}: {took:.0f} s")
    return {**facts, "took": took, "runs": runs, "quick": bench.quick, "lines": [line.as_json() for line in lines]}


def kept(output: Path | None, rows: dict[str, Any]) -> dict[str, Any]:
    """Returns the results with these rows, which are then in the folder: what is measured stays if a later row ends."""
    facts = {
        "date": report.now(), "machine": report.machine(), "versions": report.versions(), "order": list(ROWS),
    }  # fmt: skip
    if output is None:
        return report.merged(Path("no such file"), facts, rows)
    results = report.merged(output / "results.json", facts, rows)
    report.write(results, output)
    return results


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
