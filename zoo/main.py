"""The process `zoo`: how it starts and ends, and what every command says when something goes wrong.

The two commands that are asked most, `zoo list` and `zoo info NAME`, are answered here when they are given no options:
click, which parses all others in `zoo.cli`, takes as long to import as either takes in all.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any, NoReturn

from zoo.errors import ZooError, ZooWarning

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main() -> NoReturn:
    """Runs the command line and ends the process with its exit code."""
    from zoo.quiet import silence

    silence()
    warnings.filterwarnings("always", category=ZooWarning)
    warnings.showwarning = _warn
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # the terminal shows ^C
        code = complain("interrupted", INTERRUPTED)
    except ZooError as error:
        code = complain(str(error), error.exit_code)
    except BrokenPipeError:
        code = _reader_left()
    except Exception as error:
        if os.environ.get("ZOO_DEBUG") == "1":
            raise
        code = complain(f"unexpected {type(error).__name__}: {error}; ZOO_DEBUG=1 shows the traceback", 1)
    sys.exit(code)


def complain(text: str, code: int) -> int:
    """Prints one line on stderr, whatever the text holds; returns the exit code."""
    print("zoo: " + " ".join(text.split()), file=sys.stderr)
    return code


def _run(words: list[str]) -> int:
    """Answers, or has click parse the words; returns the exit code."""
    if not any(word.startswith("-") for word in words):
        if words[:1] == ["list"] and len(words) <= 2:
            from zoo.cli_facts import listed

            print(listed(*words[1:]))
            return 0
        if words[:1] == ["info"] and len(words) == 2:
            from zoo.cli_facts import described

            print(described(words[1]))
            return 0
    from zoo import cli

    return cli.run()


def _warn(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Prints what zoo itself warns of as one line, once; of others' only what the user asked to see."""
    text = str(message) if issubclass(category, ZooWarning) else warnings.formatwarning(message, category, *where[:2])
    if text not in _warned:
        _warned.add(text)
        print("zoo: " + " ".join(text.split()) if issubclass(category, ZooWarning) else text, file=sys.stderr)


_warned: set[str] = set()


def _reader_left() -> int:
    """`zoo list | head` is no error; pointing stdout elsewhere keeps Python from complaining when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
