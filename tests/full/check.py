"""Fetches and converts every model of the registry into an empty cache, and compares it with the origin's output.

    .venv/bin/python tests/full/check.py [PATTERN]

Prints a line for each: the error measured, or why it cannot be had. Ends with 1 if a model can be had but is not right.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time


def main(pattern: str) -> int:
    import zoo

    failed = 0
    for card in zoo.list_models(pattern):
        start = time.perf_counter()
        try:
            zoo.get(card.name, progress=False)
            parity = zoo.verify(card.name)["parity"]
            told = (
                "no check" if parity is None else f"error {parity['relative_error']:.1e} of {parity['tolerance']:.0e}"
            )
        except zoo.FetchError as error:
            told = f"not to be had: {error}"
        except zoo.ZooError as error:
            told, failed = f"FAILED: {error}", failed + 1
        print(f"{card.name}: {told} ({time.perf_counter() - start:.1f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        os.environ["ZOO_HOME"] = home
        sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "*"))
