"""What every row is measured with: processes in turns, figures in pairs, and a line that says what came of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MARK = "RESULT "
"""Begins the lines of a child's output that are meant for the harness: see children/protocol.py."""
LIMIT = 900
"""Seconds after which a child that answers nothing is ended."""

LONG, FEW = 60, 2
"""Seconds of a run, and the number of such runs that are enough: another tool may take minutes."""

Measured = dict[str, float]
"""Of one run: `seconds`, and what else the child tells, such as `memory` in bytes."""
Taken = dict[str, list[Measured]]


class NotMeasured(Exception):
    """A measurement cannot be made; the message says why."""


@dataclass(frozen=True)
class Target:
    """What a ratio is to be.

    Args:
        bound: the ratio.
        most: whether it is the largest allowed one, else the smallest.
    """

    bound: float
    most: bool = True

    def met(self, ratio: float) -> bool:
        return ratio <= self.bound if self.most else ratio >= self.bound

    def __str__(self) -> str:
        return f"{'at most' if self.most else 'at least'} {self.bound:g}"


@dataclass
class Line:
    """One comparison: zoo's figure beside another's.

    Args:
        what: what was measured.
        against: with what it is compared.
        kind: what `ratio` divides: `time` ours by theirs, `speed` theirs by ours, `memory` ours by theirs.
        ours: zoo's figures, seconds or bytes, one for each run.
        theirs: those of the other.
        target: what the ratio is to be, in words; empty where nothing was promised.
        met: whether it is; None without a target or figures.
        reason: why there are no figures.
        images: number of images that a run handles, where speed is told in images per second.
        peak: largest memory of any run of zoo's and of the other's, bytes, where that was measured.
    """

    what: str
    against: str
    kind: str = "time"
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    target: str = ""
    met: bool | None = None
    reason: str = ""
    images: int | None = None
    peak: tuple[float, float] | None = None

    def ratios(self) -> list[float]:
        """Returns the ratio of each pair of runs."""
        pairs = zip(self.ours, self.theirs, strict=False)
        return [theirs / ours if self.kind == "speed" else ours / theirs for ours, theirs in pairs]

    def ratio(self) -> float:
        return statistics.median(self.ratios())

    def as_json(self) -> dict[str, Any]:
        facts = asdict(self)
        if self.ratios():
            facts["ratio"] = {"median": self.ratio(), "smallest": min(self.ratios()), "largest": max(self.ratios())}
        return facts

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Line:
        return cls(**{key: value for key, value in facts.items() if key != "ratio"})


def _enough(runs: Sequence[Measured]) -> bool:
    return len(runs) >= FEW and statistics.median(run["seconds"] for run in runs) > LONG


def compare(
    taken: Taken,
    what: str,
    against: str,
    *,
    ours: str = "zoo",
    kind: str = "time",
    target: Target | None = None,
    images: int | None = None,
    key: str = "seconds",
) -> Line:
    """Compares what was taken by two sides.

    Args:
        taken: of `Bench.turns`.
        what: what was measured.
        against: the other side.
        ours: zoo's side.
        kind: see `Line`.
        target: what the ratio is to be.
        images: see `Line`.
        key: which figure of a run.
    """
    line = Line(what, against, kind, target=str(target or ""), images=images)
    for side in (ours, against):
        if "error" in taken.get(side, {"error": ""}):
            line.reason = f"{side}: {taken[side]['error']}" if side in taken else f"{side}: was not run"  # type: ignore[call-overload]
            return line
    line.ours = [run[key] for run in taken[ours]]
    line.theirs = [run[key] for run in taken[against]]
    memory = [max(run.get("memory", 0) for run in taken[side]) for side in (ours, against)]
    line.peak = (memory[0], memory[1]) if any(memory) else None
    if target is not None:
        line.met = target.met(line.ratio())
    return line


class Child:
    """A process of children/ that measures when it is told to; see protocol.py there."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed in close
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment
        )

    def answer(self) -> dict[str, Any]:
        """Returns what the child tells next.

        Raises:
            NotMeasured: it ended, or told nothing in time.
        """
        assert self._process.stdout is not None
        timer = threading.Timer(LIMIT, self._process.kill)
        timer.start()
        try:
            for line in self._process.stdout:
                if line.startswith(MARK):
                    return dict(json.loads(line.removeprefix(MARK)))
        finally:
            timer.cancel()
        code = self._process.wait()
        self._errors.seek(0)
        last = [line.strip() for line in self._errors.read().splitlines() if line.strip()]
        raise NotMeasured(f"ended with {code}: {last[-1][:300] if last else 'said nothing'}")

    def again(self) -> dict[str, Any]:
        """Has it measure once more; arguments and errors as in `answer`."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended: answer tells why
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()


class Bench:
    """How often, how large and where; and the interpreters.

    Args:
        runs: runs of each side.
        quick: small sizes, to try the harness out: the figures say nothing.
        work: an empty folder with room for some GB.
        tools: name of a set of packages -> interpreter that has them; raises NotMeasured.
        say: is given what is going on.
    """

    def __init__(
        self, runs: int, quick: bool, work: Path, tools: Callable[[str], str], say: Callable[[str], None]
    ) -> None:
        self.runs, self.quick, self.work, self.tool, self._say = runs, quick, work, tools, say

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder that is removed in the end."""
        path = Path(tempfile.mkdtemp(dir=self.work))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def environment(self, home: Path | None = None) -> dict[str, str]:
        """Returns the environment of the processes: this checkout's zoo, a cache of its own, the TensorFlow backend."""
        found = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        return {**found, "ZOO_HOME": str(home or self.work / "home")}

    def command(self, script: str, *arguments: object, tool: str | None = None) -> list[str]:
        """Returns the command of a script of children/, in zoo's interpreter or in that of a set of packages."""
        python = sys.executable if tool is None else self.tool(tool)
        return [python, str(HERE / "children" / f"{script}.py"), *map(str, arguments)]

    def once(self, script: str, *arguments: object, tool: str | None = None, home: Path | None = None) -> Measured:
        """Runs a script of children/ in a fresh process; returns what it tells.

        Raises:
            NotMeasured: it fails, or its packages cannot be installed.
        """
        child = Child(self.command(script, *arguments, tool=tool), self.environment(home))
        try:
            return child.answer()
        finally:
            child.close()

    def files(self, *arguments: object) -> list[Path]:
        """Has files.py write files, by a function of it and its arguments; returns their paths."""
        command = [sys.executable, str(HERE / "files.py"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment())
        if done.returncode:
            raise NotMeasured(f"files.py {arguments[0]}: {done.stderr.strip()[-300:]}")
        return [Path(path) for path in json.loads(done.stdout.splitlines()[-1])]

    def process(self, command: Sequence[str], home: Path | None = None) -> Measured:
        """Returns the seconds of a whole process from start to end.

        Raises:
            NotMeasured: it fails.
        """
        start = time.perf_counter()
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=self.environment(home)
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            raise NotMeasured(f"{command[0]}: ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        return {"seconds": seconds}

    def turns(self, sides: Mapping[str, Callable[[], Measured]], runs: int | None = None, warm: int = 0) -> Taken:
        """Measures the sides in turns, A B A B: what else the machine does meets all alike.

        A side whose runs take longer than `LONG` has `FEW` of them. One that fails is left out from then on, and has
        {"error": reason} in place of its figures.

        Args:
            sides: name -> what measures it once.
            runs: of each; default: as many as were asked for.
            warm: runs before those that count.
        """
        taken: dict[str, Any] = {name: [] for name in sides}
        for number in range(-warm, self.runs if runs is None else runs):
            for name, measure in sides.items():
                if "error" in taken[name] or _enough(taken[name]):
                    continue
                try:
                    found = measure()
                except Exception as error:  # one side's failure is not the others'
                    text = " ".join(str(error).split()) or type(error).__name__
                    taken[name] = {"error": text}
                    self._say(f"  {name}: {text}")
                    continue
                if number >= 0:
                    taken[name].append(found)
                    self._say(f"  {name}: {found['seconds']:.3f} s")
        return taken

    def lockstep(self, commands: Mapping[str, Callable[[], Sequence[str]]], warm: int = 1) -> Taken:
        """Measures in turns what needs a process that has long started: one child for each side, told when to run.

        Args:
            commands: name -> what gives the child's command.
            warm: runs before those that count.
        """
        children: dict[str, Child] = {}

        def side(name: str) -> Callable[[], Measured]:
            def measure() -> Measured:
                if name not in children:
                    children[name] = Child(commands[name](), self.environment())
                    children[name].answer()  # that it is ready
                return children[name].again()

            return measure

        try:
            return self.turns({name: side(name) for name in commands}, warm=warm)
        finally:
            for child in children.values():
                child.close()
