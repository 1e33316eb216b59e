"""NASNet and PNASNet: one table of cells, and what its publishers do differently at the borders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from test_published import CASES, generated, shapes_in_file

from zoo import architectures
from zoo.architectures import nasnet
from zoo.errors import UsageError
from zoo.graph import Graph, Node


def nodes(variant: str, dialect: str, size: int | None = None) -> dict[str, Node]:
    return {node.name: node for node in architectures.build(variant, dialect, size=size).nodes}


def moved(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> float:
    return float(np.abs(np.subtract(first, second)).max() / np.abs(first).max())


@pytest.mark.parametrize(
    ("variant", "dialect", "millions"),
    # timm's results-imagenet.csv, and slim's nets/nasnet/README.md
    [
        ("nasnetalarge", "timm", 88.75),
        ("pnasnet5large", "timm", 86.06),
        ("nasnetamobile", "slim", 5.3),
        ("pnasnet5mobile", "slim", 5.1),
    ],
)
def test_parameters_are_counted_as_the_publisher_counts_them(variant: str, dialect: str, millions: float) -> None:
    shapes = shapes_in_file(architectures.build(variant, dialect))
    trained = [np.prod(shape) for name, shape in shapes.items() if "running_" not in name and "moving_" not in name]
    assert round(float(sum(trained)) / 1e6, len(str(millions).partition(".")[2])) == millions


@pytest.mark.parametrize("variant", ["nasnetalarge", "pnasnet5large"])
def test_publishers_write_down_the_same_operations(variant: str) -> None:
    ops = {d: [n.op for n in architectures.build(variant, d).nodes] for d in architectures.dialects(variant)}
    assert ops["slim"] == ops["pretrainedmodels"]
    assert ops["timm"] == [op for op in ops["slim"] if op != "Dropout"]


# --------------------------------------------------------------------------------------------------------------- cells


def test_nasnets_sums_start_at_state_2_and_its_cells_join_those_that_no_sum_reads() -> None:
    for cell in nasnet.CELLS.values():
        read = {state for _, first, _, second in cell.pairs for state in (first, second)}
        assert set(range(2, 7)) - read <= set(cell.joined)
        assert all(max(first, second) < 2 + index for index, (_, first, _, second) in enumerate(cell.pairs))


def test_the_cell_behind_a_reduction_reads_one_further_back_in_the_large_network() -> None:
    assert nodes("nasnetalarge", "timm")["cell_6.act"].inputs == ("cell_4",)
    assert nodes("nasnetamobile", "pretrainedmodels")["cell_6.relu"].inputs == ("cell_3",)
    assert nodes("nasnetamobile", "slim")["cell_4/path1_conv/Relu"].inputs == ("cell_3/cell_output/concat",)


def test_an_odd_number_of_channels_is_halved_with_one_more_in_the_second_path() -> None:
    params = architectures.build("pnasnet5mobile", "slim").params
    paths = [params[f"cell_stem_1/path{index}_conv/weights"].shape[0] for index in (1, 2)]
    assert paths == [13, 14]


# -------------------------------------------------------------------------------------------------------------- borders


def test_timms_averages_count_the_zeros_around_a_map() -> None:
    own, other = CASES["nasnet:timm/nasnetalarge"], CASES["nasnet:pretrainedmodels/nasnetalarge"]
    assert [own["digest"], own["gain"], own["size"]] == [other["digest"], other["gain"], other["size"]]
    assert moved(own["output"], other["output"]) > 0.05


def test_pnasnet_has_no_averages_and_is_timms_and_pretrainedmodels_alike_at_the_published_size() -> None:
    own, other = CASES["nasnet:timm/pnasnet5large"], CASES["nasnet:pretrainedmodels/pnasnet5large"]
    assert [own["digest"], own["gain"], own["size"]] == [other["digest"], other["gain"], other["size"]]
    assert moved(own["output"], other["output"]) < 1e-6


def test_pretrainedmodels_gives_other_numbers_than_timm_where_an_odd_side_is_even() -> None:
    first, second = (first_cell("pnasnet5large", dialect, size=34) for dialect in ("pretrainedmodels", "timm"))
    assert moved(first, second) > 0.05


def first_cell(variant: str, dialect: str, size: int) -> np.ndarray:
    from zoo.build import build

    whole = architectures.build(variant, dialect, size=size)
    names = [node.name for node in whole.nodes]
    kept = whole.nodes[: names.index("cell_stem_0") + 1]
    used = {name for node in kept for name in node.inputs}
    params = {name: param for name, param in whole.params.items() if name in used}
    graph: Graph = replace(whole, nodes=kept, params=params, outputs=("cell_stem_0",))
    arrays = generated.arrays(shapes_in_file(graph), 0.6)
    return np.asarray(build(graph.bind(arrays, where="generated.py"))(generated.image(size)))


def test_pretrainedmodels_windows_shift_in_some_cells_and_lie_evenly_in_others() -> None:
    found = nodes("nasnetalarge", "pretrainedmodels")
    pads = [
        found[f"{cell}.comb_iter_0_right.separable_1.depthwise_conv2d"].attrs["pads"]
        for cell in ("reduction_cell_0", "reduction_cell_1")
    ]
    assert pads == [(2, 2, 3, 3), (3, 3, 3, 3)]


def test_a_size_that_the_shifted_cells_do_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"the map before cell_stem_1 has 75 rows; .* even .* size=224"):
        architectures.build("nasnetamobile", "pretrainedmodels", size=299)
    with pytest.raises(UsageError, match="size=18; expected 19 or more"):
        architectures.build("nasnetamobile", "slim", size=18)


# ------------------------------------------------------------------------------------------------------------ the files


def test_slims_auxiliary_head_is_left_out_and_reported() -> None:
    graph = architectures.build("nasnetamobile", "slim", classes=1001)
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes_in_file(graph).items()}
    head = {"aux_7/aux_logits/proj/weights": np.zeros((1, 1, 528, 128)), "aux_7/aux_logits/FC/biases": np.zeros(1001)}
    bound = graph.bind({**arrays, **head, "global_step": np.array(1)}, where="model.ckpt")
    assert set(bound.unused) == {*head, "global_step"}
    assert bound.unused["aux_7/aux_logits/FC/biases"] == nasnet.IGNORED["aux_*"]
    assert bound.params["final_layer/FC/weights"].shape == (1001, 1056)
