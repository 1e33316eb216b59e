"""Keeps TensorFlow's start-up messages off the terminal of the command line.

While its shared libraries load, TensorFlow writes to file descriptor 2 whatever the level says: `All log messages
before absl::InitializeLog()`, and a note that there is no CUDA. So that one import, and nothing else, writes to a
temporary file, which is shown if the import fails. Whoever sets TF_CPP_MIN_LOG_LEVEL sees everything as it comes.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_silenced = False


def silence() -> None:
    """Hides Python warnings and TensorFlow's messages from now on, except what the user asked to see."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    global _silenced
    if LEVEL not in os.environ:
        _silenced = True
        os.environ[LEVEL] = "3"
        sys.meta_path.insert(0, _TensorFlow())


class _TensorFlow:
    """Runs the first import of tensorflow, whichever module asks for it, with file descriptor 2 set aside.

    A finder for sys.meta_path. Python's own base class of finders, and what is imported below when it is needed, would
    take longer than `zoo list` itself.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        import importlib.util

        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def quietly(module: ModuleType) -> None:
            with _stderr_aside():
                run(module)
            import logging

            # Its Python side has a log of its own, which tells users how to write tf.functions.
            logging.getLogger("tensorflow").setLevel(logging.ERROR)

        spec.loader.exec_module = quietly  # type: ignore[method-assign]
        return spec


@contextmanager
def converting() -> Iterator[None]:
    """Keeps what a converter's shared libraries write off the terminal, where `silence` was asked for."""
    if not _silenced:
        yield
        return
    with _stderr_aside():
        yield


@contextmanager
def _stderr_aside() -> Iterator[None]:
    import tempfile

    try:
        terminal = os.dup(2)
    except OSError:  # started without a stderr: nothing to keep clean
        yield
        return
    with tempfile.TemporaryFile() as aside:
        sys.stderr.flush()
        os.dup2(aside.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            if failed:
                aside.seek(0)
                sys.stderr.write(aside.read().decode(errors="replace"))
