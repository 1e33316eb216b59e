"""Which object of a .t7 file is the network, and which tensors of the file the network does not use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.errors import FormatError
from zoo.formats.pickles import shown
from zoo.formats.torch7.objects import Object, Table, Tensor
from zoo.formats.torch7.translate import PREFIXES, State

MAX_UNUSED = 100_000

LEFT_OUT = "belongs to modules that were left out"
RUN = "kept from the last run"
REASONS = {
    "gradWeight": "a gradient, which only training needs",
    "gradBias": "a gradient, which only training needs",
    "gradInput": "a gradient, which only training needs",
    **dict.fromkeys(("output", "_output", "finput", "fgradInput", "noise", "buffer", "indices", "columns"), RUN),
    **dict.fromkeys(("save_mean", "save_std", "ones", "norm", "normp", "scale", "_input", "_gradOutput"), RUN),
}


def is_network(value: Any) -> bool:
    """Whether a record is a module, and no criterion."""
    if not isinstance(value, Object) or not isinstance(value.fields, Table) or "Criterion" in value.name:
        return False
    package = value.name.rpartition(".")[0]
    if value.name in ("nngraph.Node", "graph.Node", "graph.Graph"):
        return False
    return package in PREFIXES or any(key in value.fields.items for key in ("modules", "gradInput"))


def network(roots: list[Any], where: str) -> Object:
    """Returns the network: what the file holds, or the only one in its table, or in the tables of that.

    Raises:
        FormatError: there is none, or there are several.
    """
    level = list(roots)
    keys: list[str] = []
    for _ in range(4):
        found = list({id(value): value for value in level if is_network(value)}.values())
        if len(found) == 1:
            network: Object = found[0]
            return network
        if found:
            raise FormatError(
                f"{where}: holds {len(found)} networks, {_named(keys)}; save the one you want on its own, as "
                "torch.save('net.t7', checkpoint.model)"
            )
        tables = [value for value in level if isinstance(value, Table)]
        named = [(_key(key), value) for table in tables for key, value in table.items.items()]
        keys = keys or [key for key, _ in named]
        level = [value for _, value in named]
    kinds = sorted({value.name if isinstance(value, Object) else type(value).__name__.lower() for value in roots})
    told = _named(keys) if keys else f"only: {shown(', '.join(kinds))}"
    raise FormatError(f"{where}: holds no nn network, {told}; expected what torch.save(path, network) writes")


def _named(keys: list[str], limit: int = 12) -> str:
    more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return f"under the keys {', '.join(keys[:limit])}{more}" if keys else "one after the other"


def _key(key: Any) -> str:
    return shown(key if isinstance(key, str) else str(key) if isinstance(key, int | float) else "?", 40)


def unused(roots: list[Any], network: Object, state: State, params: Mapping[str, Any]) -> dict[str, str]:
    """Returns every tensor of the file that is no parameter of the network -> why."""
    found: dict[str, str] = {}
    visited: set[int] = set()
    # Last in, first out: the network before what stands beside it, so that its tensors have its paths.
    left: list[tuple[Any, str, str]] = [
        (root, f"{i + 1}" if len(roots) > 1 else "", "stands beside the network")
        for i, root in reversed(list(enumerate(roots)))
    ]
    left.append((network, "", "is no parameter of the module"))
    while left:
        value, path, reason = left.pop()
        if id(value) in visited:
            continue
        if isinstance(value, Tensor):
            visited.add(id(value))
            names = state.used.get(id(value), set())
            if value.size and names.isdisjoint(params):
                reason = LEFT_OUT if names else reason
                if len(found) >= MAX_UNUSED:
                    raise FormatError(f"{state.where}: more than {MAX_UNUSED:,} tensors that the network does not use")
                found[_free(found, params, path or "1")] = reason
        elif isinstance(value, Object | Table):
            visited.add(id(value))
            left.extend(_inside(value, path, reason, state))
    return found


def _free(found: dict[str, str], params: Mapping[str, Any], path: str) -> str:
    chosen, count = path, 1
    while chosen in found or chosen in params:
        count += 1
        chosen = f"{path}_{count}"
    return chosen


def _inside(value: Object | Table, path: str, reason: str, state: State) -> list[tuple[Any, str, str]]:
    """What a record holds, with paths; the modules of a container come last, so that they are looked at first."""
    table = value.fields if isinstance(value, Object) else value
    if not isinstance(table, Table):
        return [(table, path, reason)]
    inside, modules = [], []
    module = isinstance(value, Object) and is_network(value)
    if module and id(value) not in state.seen and reason != "stands beside the network":
        reason = LEFT_OUT
    for key, entry in reversed(table.items.items()):
        if not isinstance(entry, Object | Table | Tensor):
            continue
        if module and key == "modules" and isinstance(entry, Table):
            for i, child in reversed(list(enumerate(entry.sequence(), 1))):
                modules.append((child, f"{path}.{i}" if path else str(i), reason))
            continue
        told = REASONS.get(key, reason) if module and isinstance(key, str) and isinstance(entry, Tensor) else reason
        inside.append((entry, f"{path}.{_key(key)}" if path else _key(key), told))
    return [*inside, *modules]
