"""Reads model files that nobody vouches for in a child process with limits on memory, time and disk.

What runs there is the format reader, bytes -> Graph or arrays. The result comes back as a folder of plain data
(`zoo.graph_io`), never as a pickle. The child has no network and starts no programs as far as Python can forbid it,
and ends when its parent does. Memory is limited where the system can (POSIX); time everywhere.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from zoo import cache, errors
from zoo.errors import FormatError, ZooError
from zoo.formats.options import Options

if TYPE_CHECKING:
    import numpy as np

    from zoo.graph import Graph

# The parent's sys.path, because the child has to find the same zoo and the same numpy.
_START = (
    "import json, sys; request = json.loads(sys.stdin.buffer.readline()); sys.path[:] = request['path']; "
    "from zoo import sandbox; sandbox.child(request)"
)
_ERROR = "error.json"
_SAID = "stderr.txt"
_OUT_OF_MEMORY = 3
_KILLED = (9, 6)  # by the system when memory ran out; by C++ when an allocation failed
_FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.startfile", "pty.")
_TRUST = "if you trust the file, read it without the sandbox (--no-sandbox, sandbox=False)"


@dataclass(frozen=True)
class Limits:
    """What reading may take.

    Args:
        memory: bytes of address space, the mapped files among them.
        seconds: of wall clock, and of processor time.
        disk: bytes of the largest file that may be written.
    """

    memory: int
    seconds: float
    disk: int

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Limits:
        """Returns limits that no sound file of this size comes near: readers hold a file about twice."""
        size = 0
        for path in paths:
            with contextlib.suppress(OSError):
                size += path.stat().st_size
        return cls(memory=(2 << 30) + 6 * size, seconds=60 + size / 5e6, disk=(256 << 20) + 4 * size)


def read(
    format: str | None,
    paths: Sequence[Path],
    *,
    options: Options | None = None,
    limits: Limits | None = None,
    told: bool = False,
) -> Graph | dict[str, np.ndarray]:
    """Reads the files of one model in a child process.

    Args:
        format: module of `zoo.formats` whose `read` takes `paths` in this order.
        paths: the files.
        options: what the files do not say.
        limits: what it may take; default: by the files' size.
        told: call `zoo.formats.read`, which tells the files apart itself, and the format if it is None.

    Returns:
        What the reader returns; arrays are read-only.

    Raises:
        FormatError: the files are damaged, or reading them took more than the limits allow.
        UsageError: the format is unknown, or needs other files.
    """
    limits = limits or Limits.of(paths)
    where = ", ".join(path.name for path in paths)
    with _folder() as folder:
        request = {
            "path": [os.path.abspath(place) for place in sys.path],
            "format": format,
            "told": told,
            "files": [str(path.absolute()) for path in paths],
            "options": asdict(options or Options()),
            "folder": str(folder),
            "limits": asdict(limits),
        }
        with cache.disk_errors(folder, writable=None):
            status = _run(request, limits, where)
        _raise(folder / _ERROR)
        if status:
            _died(status, limits, where, folder / _SAID)
        from zoo import graph_io

        try:
            return graph_io.load(folder, [path.absolute() for path in paths])
        except FormatError as error:
            raise FormatError(f"{where}: {str(error).replace(str(folder), 'the reader gave')}") from error


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Gives an empty folder: in the cache, where what a killed process leaves is found, or else a temporary one."""
    from zoo.fetch import parts

    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(parts.scratch("sandbox"))
        except OSError:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zoo-", ignore_cleanup_errors=True)))
        yield folder


def _run(request: dict[str, Any], limits: Limits, where: str) -> int:
    """Runs the child and returns its exit status, negative if a signal ended it."""
    # One thread: each would take address space for its own heap, and readers do not calculate.
    single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with open(Path(request["folder"]) / _SAID, "wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START],
            env={**os.environ, **single, "MALLOC_ARENA_MAX": "2"},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
    assert process.stdin is not None
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()  # and stays open: its end is how the child learns of the parent's
        return process.wait(limits.seconds)
    except subprocess.TimeoutExpired:
        raise FormatError(
            f"{where}: reading took more than {limits.seconds:.0f} s and was stopped: damaged or hostile; {_TRUST}"
        ) from None
    finally:
        process.kill()
        process.wait()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _died(status: int, limits: Limits, where: str, said: Path) -> NoReturn:
    if status == _OUT_OF_MEMORY or -status in _KILLED:
        why = f"reading needs more memory than the {cache.megabytes(limits.memory)} it may have"
    elif os.name != "nt" and status == -signal.SIGXCPU:
        why = f"reading took more than {limits.seconds:.0f} s and was stopped"
    elif status < 0:
        with contextlib.suppress(ValueError):
            raise FormatError(f"{where}: the reader was ended by {signal.Signals(-status).name}: damaged or hostile")
        why = f"the reader was ended by signal {-status}"
    else:
        lines = said.read_bytes()[-2000:].decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "without a word")
        why = f"the reader ended with status {status} ({_printable(last[:200])})"
    raise FormatError(f"{where}: {why}: damaged or hostile; {_TRUST}")


def _raise(path: Path) -> None:
    """Raises the error that the child reported, if it did."""
    try:
        with path.open("rb") as stream:
            told = json.loads(stream.read(1 << 16))
        kind, text = getattr(errors, str(told["kind"]), None), str(told["text"])
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError):
        kind, text = FormatError, "the reader failed and did not say why"
    if not (isinstance(kind, type) and issubclass(kind, ZooError)):
        kind = FormatError
    raise kind(_printable(text))


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


# ---------------------------------------------------------------------------------------------------- in the child


def child(request: dict[str, Any]) -> None:
    """Reads the files and leaves the result, or the error, in the folder."""
    limits = Limits(**request["limits"])
    folder = Path(request["folder"])
    try:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        _limit(limits)
        from zoo import formats, graph_io

        files = [Path(path) for path in request["files"]]
        for module in formats.libraries(files, request["format"]):
            importlib.import_module(module)
        sys.addaudithook(_forbid)
        shape = request["options"].pop("input_shape")
        options = Options(input_shape=tuple(shape) if shape else None, **request["options"])
        if request["told"]:
            model = formats.read(files, request["format"], options)
        else:
            model = formats.read_parts(request["format"], files, options)
        graph_io.save(model, folder, files)
        code = 0
    except ZooError as error:
        code = _tell(folder, type(error).__name__, str(error))
    except MemoryError:
        code = _OUT_OF_MEMORY
    except BaseException as error:
        names = ", ".join(Path(path).name for path in request["files"])
        code = _tell(folder, "FormatError", f"{names}: the reader failed with {type(error).__name__}: {error}")
    sys.stdout.flush()
    os._exit(code)  # nothing to tidy up, and the files' views need no taking apart


def _tell(folder: Path, kind: str, text: str) -> int:
    with contextlib.suppress(OSError, MemoryError):
        (folder / _ERROR).write_text(json.dumps({"kind": kind, "text": text[:4000]}), "utf-8")
    return 1


def _end_with_parent() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(1)


def _limit(limits: Limits) -> None:
    try:
        import resource
    except ImportError:  # Windows: the parent's clock remains
        return
    seconds = int(limits.seconds) + 1
    for kind, value in (
        ("RLIMIT_AS", limits.memory),
        ("RLIMIT_CPU", seconds),
        ("RLIMIT_FSIZE", limits.disk),
        ("RLIMIT_CORE", 0),
    ):
        # macOS knows RLIMIT_AS but refuses it.
        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, kind), (value, value))


def _forbid(event: str, arguments: object) -> None:
    if event.startswith(_FORBIDDEN):
        raise FormatError(f"the reader tried {event}, which no reader does; please report the file")
