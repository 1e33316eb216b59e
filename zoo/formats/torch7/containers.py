"""Torch7's modules that hold modules, and those that pass tables of values on."""

from __future__ import annotations

from typing import Any

from zoo.formats.torch7.objects import Object, Table
from zoo.formats.torch7.translate import Container, Flow, Op, Step, Value, Walk, broken, entries_of


def sequential(walk: Walk, step: Step) -> Flow:
    """Sequential, and modules that are one by inheritance: each takes what the one before put out."""
    flow = step.flow
    for i, child in enumerate(step.children(), 1):
        flow = walk.child(step, i, child, flow)
    return flow


def wrapper(walk: Walk, step: Step) -> Flow:
    """A module around one other, which does the work: `modules[1]` or, in older ones, `module`."""
    held = step.children() if isinstance(step.get("modules"), Table) else []
    inner = held[0] if held else step.get("module")
    if not isinstance(inner, Object):
        raise step.damaged("holds no module")
    return walk.child(step, 1, inner, step.flow)


def replicas(walk: Walk, step: Step) -> Flow:
    """DataParallelTable: the same network on each graphics card; the first has the path of the whole."""
    held = step.children()
    if not held:
        raise step.damaged("holds no module")
    return walk.run(held[0], step.path, step.flow)


def concat_table(walk: Walk, step: Step) -> Flow:
    """ConcatTable: all modules take the same, and put out a table."""
    return [walk.child(step, i, child, step.flow) for i, child in enumerate(step.children(), 1)]


def _spread(walk: Walk, step: Step, held: list[Object]) -> Flow:
    if step.flow is not None and len(step.table) != len(held):
        raise step.damaged(f"gets a table of {len(step.table)} for {len(held)} modules")
    flows = [None] * len(held) if step.flow is None else step.table
    return [walk.child(step, i, child, flow) for i, (child, flow) in enumerate(zip(held, flows, strict=True), 1)]


def parallel_table(walk: Walk, step: Step) -> Flow:
    """ParallelTable: each module takes its own entry of a table."""
    return _spread(walk, step, step.children())


def map_table(walk: Walk, step: Step) -> Flow:
    """MapTable: one module, shared, takes each entry of a table."""
    held = step.children()
    inner = held[0] if held else step.get("module")
    if not isinstance(inner, Object):
        raise step.damaged("holds no module")
    return _spread(walk, step, [inner] * (len(step.table) if step.flow is not None else 1))


def concat(walk: Walk, step: Step) -> Flow:
    """Concat: all modules take the same; their outputs are joined on one dimension."""
    flow = concat_table(walk, step)
    if broken(flow):
        return None
    joined = Step(step.module, step.path, flow, step.state)
    return _join(joined, joined.values, joined.integer("dimension"))


def depth_concat(walk: Walk, step: Step) -> Flow:
    """DepthConcat: as Concat, smaller maps in the middle of zeros; an odd row more goes below and right."""
    flow = concat_table(walk, step)
    if broken(flow):
        return None
    joined = Step(step.module, step.path, flow, step.state)
    values = joined.values
    shapes = [joined.state.shape(value) for value in values]
    if len({len(shape) for shape in shapes}) > 1:
        raise step.damaged("joins values of different numbers of axes")
    axis = joined.axis(joined.integer("dimension"), shapes[0])
    largest = [max(sizes) for sizes in zip(*shapes, strict=True)]
    padded = []
    for i, (value, shape) in enumerate(zip(values, shapes, strict=True), 1):
        rest = [0 if j == axis else large - n for j, (n, large) in enumerate(zip(shape, largest, strict=True))]
        before = [n // 2 for n in rest]
        after = [n - m for n, m in zip(rest, before, strict=True)]
        if any(rest):
            value = joined.node("Pad", [value], suffix=f"pad{i}", pads=(*before, *after), mode="constant", value=0.0)
        padded.append(value)
    return _join(joined, padded, joined.integer("dimension"))


def dense_layer(walk: Walk, step: Step) -> Flow:
    """DenseConnectLayerCustom of the authors of DenseNet: adds an entry to a table, made of all those before it."""
    table: list[Flow] = step.flow if isinstance(step.flow, list) else [step.flow]
    held = step.children()
    flow: Flow = None
    if not broken(table):
        joined = Step(step.module, step.path, table, step.state)
        values = joined.values
        axis = joined.axis(2, joined.state.shape(values[0]))
        flow = values[0] if len(values) == 1 else joined.node("Concat", values, suffix="join", axis=axis)
    for i, child in enumerate(held, 1):
        flow = walk.child(step, i, child, flow)
    return [*table, flow]


def parallel(walk: Walk, step: Step) -> Flow:
    """Parallel: each module takes one slice of a dimension; their outputs are joined on another."""
    held = step.children()
    if step.flow is None:
        return [walk.child(step, i, child, None) for i, child in enumerate(held, 1)] and None
    slices = _slices(step, step.x, step.axis(step.integer("inputDimension"), step.shape), len(held))
    outputs = [walk.child(step, i, *pair) for i, pair in enumerate(zip(held, slices, strict=True), 1)]
    if broken(outputs):
        return None
    joined = Step(step.module, step.path, outputs, step.state)
    return _join(joined, joined.values, joined.integer("outputDimension"))


def _slices(step: Step, value: Value, axis: int, count: int | None = None) -> list[Flow]:
    """Cuts a dimension into its single rows, which lose it."""
    size = step.state.shape(value)[axis]
    if count is not None and size != count:
        raise step.damaged(f"has {count} modules for {size} slices")
    if size > 256:
        raise step.unsupported(f"cuts a dimension into {size} slices")
    found: list[Flow] = []
    for i in range(size):
        row = step.node("Slice", [value], suffix=f"slice{i + 1}", starts=(i,), ends=(i + 1,), axes=(axis,), steps=(1,))
        found.append(step.node("Squeeze", [row], suffix=f"squeeze{i + 1}", axes=(axis,)))
    return found


def _join(step: Step, values: list[Value], dimension: int, dims: int | None = None) -> Value:
    if len(values) == 1:
        return values[0]
    return step.node("Concat", values, axis=step.axis(dimension, step.state.shape(values[0]), dims))


def join_table(step: Step) -> Flow:
    """JoinTable: the dimension counts one more where the values have one axis more than it was told."""
    return _join(step, step.values, step.integer("dimension"), step.dims("nInputDims"))


def split_table(step: Step) -> Flow:
    """SplitTable: a table of the slices of one dimension."""
    return _slices(step, step.x, step.axis(step.integer("dimension"), step.shape, step.dims("nInputDims")))


def select_table(step: Step) -> Flow:
    """SelectTable: one entry, counted from 1 or, if negative, from the end."""
    table, index = step.table, step.integer("index")
    index = index + len(table) + 1 if index < 0 else index
    if not 1 <= index <= len(table):
        raise step.damaged(f"takes entry {index} of a table of {len(table)}")
    return table[index - 1]


def narrow_table(step: Step) -> Flow:
    """NarrowTable: some entries in a row."""
    table, first, length = step.table, step.integer("offset"), step.integer("length", 1)
    first = first + len(table) + 1 if first < 0 else first
    if first < 1 or length < 1 or first + length - 1 > len(table):
        raise step.damaged(f"takes {length} entries from {first} on of a table of {len(table)}")
    return table[first - 1 : first - 1 + length]


def flatten_table(step: Step) -> Flow:
    """FlattenTable: tables in tables become one."""
    return list(entries_of(step.table))


def first_entry(step: Step) -> Flow:
    """nngraph's JustElement: the entry of a table of one."""
    if len(step.table) != 1:
        raise step.damaged(f"gets a table of {len(step.table)}, expected one of 1")
    return step.table[0]


def combine(op: str, *, two: bool = False) -> Op:
    """Returns the translation of arithmetic between the entries of a table, all of the first one's size."""

    def translate(step: Step) -> Flow:
        values = step.values
        if two and len(values) != 2:
            raise step.damaged(f"gets a table of {len(values)}, expected one of 2")
        first = step.state.shape(values[0])
        for i, value in enumerate(values[1:], 1):
            shape = step.state.shape(value)
            if shape != first:
                # Torch looks at the number of elements only; the result has the first one's shape.
                values[i] = step.node("Reshape", [value], suffix=f"reshape{i + 1}", shape=(0, *first[1:]))
        return values[0] if len(values) == 1 else step.node(op, values)

    return translate


# nngraph


def graph(walk: Walk, step: Step) -> Flow:
    """nngraph's gModule: nodes with `data` (module, order of inputs) and `children`, the nodes that read them."""
    nodes = _nodes(step)
    inputs: dict[int, dict[int, Flow]] = {id(node.get("data")): {} for node in nodes}
    start, end = step.get("innode"), step.get("outnode")
    if not isinstance(start, Object) or not isinstance(end, Object):
        raise step.damaged("has no innode or outnode")
    held = step.children() if step.get("modules") is not None else []
    places = {id(module): i for i, module in reversed(list(enumerate(held, 1)))}
    spare = len(places)
    for node in nodes:
        data = node.get("data")
        if data is start.get("data"):
            result = step.flow
        else:
            flows = _ordered(step, inputs[id(data)])
            flow = flows[0] if len(flows) == 1 else flows
            module, index = data.get("module"), data.get("selectindex")
            if isinstance(module, Object):
                if id(module) not in places:  # an nngraph that was no container yet
                    spare += 1
                    places[id(module)] = spare
                result = walk.child(step, places[id(module)], module, flow)
            elif index is not None:
                result = _selected(step, flow, index)
            else:
                result = flow
        if data is end.get("data"):
            return result
        _propagate(step, node, result, inputs, data is start.get("data"))
    raise step.damaged("its outnode is none of its nodes")


def _nodes(step: Step) -> list[Object]:
    """All nodes, in an order in which every one comes after those it reads; the file's order need not be one."""
    listed = step.get("forwardnodes")
    if not isinstance(listed, Table) and isinstance(step.get("fg"), Object):
        listed = step.get("fg").get("nodes")
    nodes = listed.sequence() if isinstance(listed, Table) else []
    if not nodes or not all(isinstance(n, Object) and isinstance(n.get("data"), Table) for n in nodes):
        raise step.damaged("lists no nodes, or nodes without data")
    by_data = {id(node.get("data")): node for node in nodes}
    waiting = dict.fromkeys(by_data, 0)
    for node in nodes:
        for child in _children(step, node):
            key = id(child.get("data"))
            if key not in waiting:
                raise step.damaged("a node is read by one that is not listed")
            waiting[key] += 1
    ready = [key for key, count in waiting.items() if count == 0]
    found = []
    while ready:
        node = by_data[ready.pop(0)]
        found.append(node)
        for child in _children(step, node):
            key = id(child.get("data"))
            waiting[key] -= 1
            if waiting[key] == 0:
                ready.append(key)
    if len(found) < len(by_data):
        raise step.damaged("its nodes read each other in a circle")
    # The file's own order, where it is one, decides how modules that do not depend on each other follow.
    place = {id(node): i for i, node in enumerate(found)}
    given = {id(node.get("data")): i for i, node in enumerate(nodes)}
    sound = all(
        given[id(node.get("data"))] < given[id(child.get("data"))] for node in nodes for child in _children(step, node)
    )
    return sorted(found, key=lambda node: given[id(node.get("data"))] if sound else place[id(node)])


def _children(step: Step, node: Object) -> list[Object]:
    table = node.get("children")
    found = table.sequence() if isinstance(table, Table) else []
    if not all(isinstance(child, Object) and isinstance(child.get("data"), Table) for child in found):
        raise step.damaged("a node's children are none")
    return found


def _propagate(step: Step, node: Object, result: Flow, inputs: dict[int, dict[int, Flow]], first: bool) -> None:
    """Hands a node's result to those that read it, each at the place that its `mapindex` says."""
    own = node.get("data")
    for child in _children(step, node):
        data = child.get("data")
        places = inputs[id(data)]
        place = data.get("mapindex").get(own) if isinstance(data.get("mapindex"), Table) else None
        flow = result
        if first and isinstance(own.get("data"), Table):
            # The first nngraph: the input node itself deals the inputs out, in the order of its own mapindex.
            index = own.get("mapindex").get(data) if isinstance(own.get("mapindex"), Table) else None
            place, flow = len(places) + 1, _dealt(step, node, result, index)
        if not isinstance(place, int) or not 1 <= place <= len(inputs) or place in places:
            raise step.damaged("a node does not say at which place it reads another")
        places[place] = flow


def _dealt(step: Step, node: Object, result: Flow, index: Any) -> Flow:
    own = node.get("data").get("mapindex")
    count = len(own.sequence()) if isinstance(own, Table) else 0
    return result if count <= 1 or result is None else _selected(step, result, index)


def _selected(step: Step, flow: Flow, index: Any) -> Flow:
    if flow is None:
        return None
    if not isinstance(flow, list) or not isinstance(index, int) or not 1 <= index <= len(flow):
        raise step.damaged("a node selects an entry that is not there")
    return flow[index - 1]


def _ordered(step: Step, places: dict[int, Flow]) -> list[Flow]:
    if not places or set(places) != set(range(1, len(places) + 1)):
        raise step.damaged("a node lacks an input")
    return [places[i] for i in range(1, len(places) + 1)]


def number_of_inputs(module: Object) -> int:
    """Returns how many values a network takes: what the module at its very beginning says."""
    for _ in range(100):
        held = module.get("modules")
        modules = [entry for entry in held.sequence() if isinstance(entry, Object)] if isinstance(held, Table) else []
        base = module.name.rpartition(".")[2]
        if base == "ParallelTable":
            return max(len(modules), 1)
        if base == "gModule":
            return _graph_inputs(module)
        if base not in ("Sequential", "DataParallelTable") or not modules:
            return 1
        module = modules[0]
    return 1


def _graph_inputs(module: Object) -> int:
    """Old files do not say nInputs; there the input node has a child for each, by way of a splitting node or not."""
    count, node = module.get("nInputs"), module.get("innode")
    if not isinstance(count, int):
        data = node.get("data") if isinstance(node, Object) else None
        told = data.get("mapindex") if isinstance(data, Table) else None
        count = len(told.sequence()) if isinstance(told, Table) else 1
    return min(max(count, 1), 64)


CONTAINERS: dict[str, Container] = {
    "Concat": concat,
    "ConcatTable": concat_table,
    "DataParallel": replicas,
    "DataParallelTable": replicas,
    "Decorator": wrapper,
    "DenseConnectLayerCustom": dense_layer,
    "DepthConcat": depth_concat,
    "DontCast": wrapper,
    "GPU": wrapper,
    "Inception": wrapper,
    "MapTable": map_table,
    "NaN": wrapper,
    "Parallel": parallel,
    "ParallelTable": parallel_table,
    "Profile": wrapper,
    "Sequential": sequential,
    "SpatialLPPooling": sequential,
    "gModule": graph,
}
OPS: dict[str, Op] = {
    "CAddTable": combine("Sum"),
    "CAveTable": combine("Mean"),
    "CDivTable": combine("Div", two=True),
    "CMaxTable": combine("Max"),
    "CMinTable": combine("Min"),
    "CMulTable": combine("Mul"),
    "CSubTable": combine("Sub", two=True),
    "FlattenTable": flatten_table,
    "JoinTable": join_table,
    "JustElement": first_entry,
    "NarrowTable": narrow_table,
    "SelectTable": select_table,
    "SplitTable": split_table,
}
