"""A stand-in for Ray, of which the tests need no cluster: `init`, `remote`, `wait`, `get` and their like.

Tasks run here, one after the other, the last one first; what they are given and give goes through pickle, as between
processes. That zoo works with Ray itself is not shown by it.
"""

from __future__ import annotations

import pickle
import types
from collections.abc import Callable
from typing import Any


class RayError(Exception):
    """Base of what Ray raises."""


class Ray(types.ModuleType):
    """In place of the module `ray`.

    Args:
        gpus: of the cluster.
        dies_at: name of a function whose task loses its worker.
    """

    def __init__(self, gpus: int = 0, dies_at: str = "") -> None:
        super().__init__("ray")
        self.exceptions = types.SimpleNamespace(RayError=RayError)
        self.started: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.tasks: list[str] = []
        self.cancelled = 0
        self._up, self._gpus, self._dies_at = False, gpus, dies_at
        self._jobs: dict[int, bytes] = {}

    def is_initialized(self) -> bool:
        return self._up

    def init(self, **how: Any) -> None:
        if how["address"] not in ("local", "10.0.0.1:6379"):
            raise ConnectionError(f"Could not find any running Ray instance at {how['address']}.")
        self.started.append(how)
        self._up = True

    def shutdown(self) -> None:
        self._up = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0, **({"GPU": float(self._gpus)} if self._gpus else {})}

    def remote(self, **resources: Any) -> Callable[[Callable[..., Any]], Any]:
        self.asked.append(resources)

        def decorate(function: Callable[..., Any]) -> Any:
            def send(*arguments: Any) -> int:
                self._jobs[len(self._jobs)] = pickle.dumps((function, arguments))
                return len(self._jobs) - 1

            return types.SimpleNamespace(remote=send)

        return decorate

    def wait(self, waiting: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        return waiting[-num_returns:], waiting[:-num_returns]

    def get(self, number: int) -> Any:
        function, arguments = pickle.loads(self._jobs[number])  # noqa: S301
        name = arguments[0].__name__
        if name == self._dies_at:
            raise RayError("A worker died or was killed while executing a task")
        self.tasks.append(name)
        return pickle.loads(pickle.dumps(function(*arguments)))  # noqa: S301

    def cancel(self, number: int, force: bool) -> None:
        self.cancelled += 1
