"""pytorchcv's NASNets, PNASNet and PolyNet: pretrainedmodels' networks under names of its own.

Source: osmr/pytorchcv pytorchcv/models/nasnet.py, pnasnet.py and polynet.py; `nasnetamobile` is its `nasnet_4a1056`,
`nasnetalarge` its `nasnet_6a4032`. The last pools average windows of the published size, here all of a map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures import nasnet, polynet
from zoo.architectures.net import TORCH
from zoo.architectures.renaming import Rules, renamed
from zoo.graph import Graph

PUBLISHED: Mapping[str, Sequence[str]] = {"pytorchcv": ("nasnetalarge", "nasnetamobile", "pnasnet5large", "polynet")}

_CELLS: Rules = (
    (r"comb_iter_(\d)_(left|right)\.separable_(\d)\.depthwise_conv2d", "comb{1}_{2}.conv{3}.conv.dw_conv"),
    (r"comb_iter_(\d)_(left|right)\.separable_(\d)\.pointwise_conv2d", "comb{1}_{2}.conv{3}.conv.pw_conv"),
    (r"comb_iter_(\d)_(left|right)\.bn_sep_(\d)", "comb{1}_{2}.conv{3}.bn"),
    (r"comb_iter_(\d)_(left|right)", "comb{1}_{2}"),
    (r"^last_linear$", "output.fc"),
)
_NASNET: Rules = (
    (r"^conv0\.", "features.init_block."),
    (r"\.conv_prev_1x1\.", ".conv1x1_prev."),
    (r"\.conv_1x1\.", ".conv1x1."),
    (r"\.path_(\d)\.", ".path.path{1}."),
    (r"\.final_path_bn", ".path.bn"),
    *_CELLS,
)
_PNASNET: Rules = (
    (r"^conv_0\.", "features.init_block."),
    (r"\.path_(\d)\.", ".path{1}."),
    (r"\.final_path_bn", ".bn"),
    *_CELLS,
)
_POLYNET: Rules = (
    (r"^stem\.conv1\.(\d)", "features.init_block.conv{1+1}"),
    (r"^stem\.conv1_branch", "features.init_block.block1.branches.branch2.conv"),
    (r"^stem\.conv2_short\.(\d)", "features.init_block.block2.branches.branch1.conv_list.conv{1+1}"),
    (r"^stem\.conv2_long\.(\d)", "features.init_block.block2.branches.branch2.conv_list.conv{1+1}"),
    (r"^stem\.conv2_branch", "features.init_block.block3.branches.branch2.conv"),
    (r"^reduction_a\.", "features.stage2.unit1.branches."),
    (r"^reduction_b\.", "features.stage3.unit1.branches."),
    (r"^stage_a\.(\d+)\.", "features.stage1.unit{1+1}.twoway."),
    (r"\.blocks\.(\d)\.conv2d\.", ".res_blocks.{1}.conv."),
    (r"\.blocks\.(\d)\.path", ".res_blocks.{1}.branches.path"),
    (r"\.conv2d_blocks\.(\d)\.", ".res_blocks.{1}."),
    (r"\.path0_1x1\.", ".pre_block.branches.branch1.conv_list.conv1."),
    (r"\.path0_1x[37]\.", ".pre_block.branches.branch1.conv_list.conv2."),
    (r"\.path0_[37]x1\.", ".pre_block.branches.branch1.conv_list.conv3."),
    (r"(\.twoway\.res_blocks\.\d\.branches|unit1\.branches)\.path(\d)\.(\d)\.",
     "{1}.branch{2+1}.conv_list.conv{3+1}."),
    (r"(\.twoway\.res_blocks\.\d\.branches)\.path(\d)\.", "{1}.branch{2+1}.conv."),
    (r"unit1\.branches\.path(\d)\.", "unit1.branches.branch{1+1}.conv_list.conv1."),
    (r"\.path1\.", ".pre_block.branches.branch2."),
    (r"\.bn_blocks\.", ".bns."),
    (r"^last_linear$", "output.fc"),
)  # fmt: skip


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    if variant == "polynet":
        graph = polynet.build(variant, "pretrainedmodels", classes, size)
        return renamed(graph, (*_turns(), *_POLYNET), TORCH)
    graph = nasnet.build(variant, "pretrainedmodels", classes, size)
    return renamed(graph, (*_units(variant), *(_PNASNET if variant.startswith("p") else _NASNET)), TORCH)


def _units(variant: str) -> list[tuple[str, str]]:
    """Rules for the names of cells: stages begin with a reduction."""
    network, found = nasnet.VARIANTS[variant], [(r"^cell_stem_0\.", "features.stem1_unit.")]
    if network.family == "nasnet":
        found.append((r"^cell_stem_1\.", "features.stem2_unit."))
        found += [(rf"^reduction_cell_{block}\.", f"features.stage{block + 2}.unit1.") for block in range(2)]
    else:
        found.append((r"^cell_stem_1\.", "features.stage1.unit1."))
    for block in range(3):
        first = block * (6 if network.family == "nasnet" else network.cells)
        # A unit stands before a stage's cells: a reduction, or PNASNet's second stem.
        before = 1 if (network.family == "nasnet" and block) or (network.family != "nasnet" and not block) else 0
        for cell in range(network.cells):
            found.append((rf"^cell_{first + cell}\.", f"features.stage{block + 1}.unit{cell + 1 + before}."))
    return found


def _turns() -> list[tuple[str, str]]:
    """Rules for the modules of PolyNet's later stages, of which a poly-3 and a 2-way one are a unit."""
    return [
        (rf"^stage_{stage}\.{index}\.", f"features.stage{place}.unit{index // 2 + 2}.{('poly', 'twoway')[index % 2]}.")
        for place, stage in enumerate("bc", 2)
        for index in range(polynet.STAGES[stage])
    ]
