"""Prints how long the light commands take, beside what they are measured against; run by `make bench`."""

from __future__ import annotations

import os
import subprocess
import sys
import time

RUNS = 15
COMMANDS = {
    "python, nothing else": ["-c", "pass"],
    "import pydantic": ["-c", "import pydantic"],
    "one pydantic model": ["-c", "import pydantic\nclass Model(pydantic.BaseModel):\n    name: str"],
    "import zoo": ["-c", "import zoo"],
    "zoo list": ["-m", "zoo", "list"],
    "zoo info efficientnet-lite0": ["-m", "zoo", "info", "efficientnet-lite0"],
    "zoo --help": ["-m", "zoo", "--help"],
}


def best(arguments: list[str], runs: int = RUNS) -> float:
    """Returns the shortest of several runs, in seconds: the one that other programs disturbed least."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=os.environ)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    seconds = {name: best(arguments) for name, arguments in COMMANDS.items()}
    reference = seconds["import pydantic"]
    for name, value in seconds.items():
        print(f"{name:30} {1000 * value:6.0f} ms   {value / reference:5.2f} x import pydantic")


if __name__ == "__main__":
    main()
