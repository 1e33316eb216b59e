"""Makes pretrainedmodels' cases of alexnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from pretrainedmodels.models import vggm

MAKERS = {
    "alexnet": lambda: torch_case.case(lambda: torch_case.renamed_network("alexnet"), 224, quick=True),
    "vggm": lambda: torch_case.case(lambda: vggm.VGGM(num_classes=generated.CLASSES), 221, scale=128),
}

if __name__ == "__main__":
    generated.store("alexnet", {f"pretrainedmodels/{name}": make for name, make in MAKERS.items()})
