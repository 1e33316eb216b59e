"""Makes timm's cases of mnasnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

OWN = [f"{name}-{width}" for name in ("mnasnet", "semnasnet") for width in ("050", "075", "100", "140")]
OWN += ["mnasnet-small", "spnasnet-100", "fbnetc-100", *(f"mixnet-{size}" for size in ("s", "m", "l", "xl", "xxl"))]
TF = ["mixnet-s", "mixnet-m", "mixnet-l"]
QUICK = ("timm/mnasnet-small", "timm-tf/mixnet-s")


def make(dialect: str, name: str) -> dict[str, object]:
    network = ("tf_" if dialect == "timm-tf" else "") + name.replace("-", "_")
    # what the entry point sets for its pretrained weights
    options = {"bn_eps": 1e-3} if name == "fbnetc-100" else {}
    return torch_case.case(lambda: torch_case.timm_network(network, **options), 64, quick=f"{dialect}/{name}" in QUICK)


if __name__ == "__main__":
    generated.store(
        "mnasnet",
        {
            f"{dialect}/{name}": lambda dialect=dialect, name=name: make(dialect, name)
            for dialect, names in (("timm", OWN), ("timm-tf", TF))
            for name in names
        },
    )
