"""Work that is spread over processes and machines by Ray: functions and their arguments out, results back.

Every machine of a cluster needs zoo. For models and folds each also sees data, output and cache ($ZOO_HOME) under the
same paths; for features (`spread.py`) nothing has to be shared.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.errors import UsageError, ZooError

LOCAL = "local"
_PASSED_ON = (
    "ZOO_HOME", "ZOO_REGISTRY", "ZOO_OFFLINE", "KERAS_BACKEND", "TF_FORCE_GPU_ALLOW_GROWTH",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
)  # fmt: skip


@dataclass(frozen=True)
class Cluster:
    """Where tasks run, and what each of them takes.

    Args:
        address: of a Ray cluster, `auto` for the one of this machine, or `local` to start one for as long as it takes.
        num_cpus: cores of a task.
        num_gpus: GPUs of a task, or a share of one; default: one where the cluster has any.
    """

    address: str = LOCAL
    num_cpus: float = 1
    num_gpus: float | None = None

    @classmethod
    def of(cls, wish: Cluster | str | bool | None) -> Cluster | None:
        """Returns the cluster that is meant: none, a local one (True), the one at an address, or itself.

        Raises:
            UsageError: Ray is not installed; the wish is none of these; a number is impossible.
        """
        if wish is None or wish is False:
            return None
        cluster = cls() if wish is True else cls(wish) if isinstance(wish, str) else wish
        if not isinstance(cluster, Cluster):
            raise UsageError(f"ray: expected True, an address or a zoo.finetune.Cluster, got {type(wish).__name__}")
        for name, least in (("num_cpus", "above 0"), ("num_gpus", "at least 0")):
            value = getattr(cluster, name)
            if value is not None and (value < 0 or (value == 0 and name == "num_cpus")):
                raise UsageError(f"{name}={value!r}: expected a number {least}")
        _ray()
        # TensorFlow and JAX would otherwise take a GPU's whole memory, in this process and in every task.
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        return cluster


def fan_out(
    cluster: Cluster, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, Any]]:
    """Runs a function once per job, each as a Ray task; yields (number of the job, result) as they come.

    Args:
        cluster: where.
        function: of a module that can be imported there.
        jobs: arguments of each call.

    Raises:
        ZooError: one of zoo's own errors is raised as it was there; any other, and the death of a worker, as this.
        UsageError: there is no such cluster; an argument cannot be sent to another process.
    """
    if not jobs:
        return
    with session(cluster) as ray:
        waiting: dict[Any, int] = {}
        try:
            task = ray.remote(num_cpus=cluster.num_cpus, num_gpus=gpus_each(ray, cluster), max_retries=1)(_guarded)
            for number, job in enumerate(jobs):
                waiting[_send(task, function, job)] = number
            while waiting:
                (done, *_), _rest = ray.wait(list(waiting), num_returns=1)
                number = waiting.pop(done)
                try:
                    result, error = ray.get(done)
                except ray.exceptions.RayError as trouble:
                    raise ZooError(f"ray: a task ended without a result: {line(trouble)}") from trouble
                if error is not None:
                    raise error
                yield number, result
        finally:
            for left in waiting:
                ray.cancel(left, force=True)


@contextlib.contextmanager
def session(cluster: Cluster) -> Iterator[Any]:
    """Gives Ray, connected: as the caller has left it, or for as long as this lasts.

    Raises:
        UsageError: Ray is not installed; there is no such cluster.
    """
    ray = _ray()
    own = not ray.is_initialized()
    if own:
        _start(ray, cluster)
    try:
        yield ray
    finally:
        if own:
            ray.shutdown()


def gpus_each(ray: Any, cluster: Cluster) -> float:
    """Returns how many GPUs a task takes."""
    if cluster.num_gpus is not None:
        return cluster.num_gpus
    return 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0


def passed_on() -> dict[str, str]:
    """Returns the variables of this process that tasks have as well."""
    return {name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)}


def sendable(value: Any) -> Any:
    """Returns a path as an absolute one, as tasks have working folders of their own; anything else as it is."""
    path = isinstance(value, str | os.PathLike) and os.path.exists(value)
    return os.path.abspath(value) if path else value


def _guarded(function: Callable[..., Any], job: tuple[Any, ...]) -> tuple[Any, ZooError | None]:
    """Runs in the task; errors come back as values, without Ray's pages of text around them."""
    from zoo.quiet import silence

    silence()
    try:
        return function(*job), None
    except ZooError as error:
        return None, error
    except Exception as error:
        return None, ZooError(f"unexpected {type(error).__name__}: {line(error)}")


def _start(ray: Any, cluster: Cluster) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what goes wrong comes back as an error
    try:
        ray.init(
            address=cluster.address,
            runtime_env={"env_vars": passed_on()},
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"ray={cluster.address!r}: no cluster there ({line(error)}); start one, or use local"
        ) from error


def _send(task: Any, function: Callable[..., Any], job: tuple[Any, ...]) -> Any:
    try:
        return task.remote(function, job)
    except Exception as error:
        # What cannot be sent is told by one of these, or by Ray's own serializer.
        if not isinstance(error, TypeError | AttributeError | ValueError) and "Pickling" not in type(error).__name__:
            raise
        raise UsageError(
            f"ray: model and data go to other processes, and one cannot ({line(error)}); use a path or arrays"
        ) from error


def _ray() -> Any:
    try:
        found = importlib.import_module("ray")
    except ImportError:
        found = None
    if not hasattr(found, "init"):  # a folder named ray, such as Ray's own in /tmp, can be imported as well
        raise UsageError("ray: is not installed; pip install 'convnet-zoo[ray]'")
    return found


def line(error: BaseException) -> str:
    """Returns the last line of what an error says; Ray's have pages."""
    return (str(error).strip().split("\n")[-1] or type(error).__name__)[:300]
