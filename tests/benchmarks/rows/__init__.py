"""The rows of the table, one module per group: name -> what measures it and returns its lines."""

from __future__ import annotations

from collections.abc import Callable

from harness import Bench, Line

from . import convert, fetch, load, pictures, predict, startup, train

ROWS: dict[str, Callable[[Bench], list[Line]]] = {
    **startup.ROWS,
    **fetch.ROWS,
    **convert.ROWS,
    **load.ROWS,
    **predict.ROWS,
    **train.ROWS,
    **pictures.ROWS,
}
