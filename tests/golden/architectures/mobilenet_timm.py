"""Makes timm's cases of mobilenet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

OWN = [
    *(f"mobilenetv1-{width}" for width in ("100", "100h", "125")),
    *(f"mobilenetv2-{width}" for width in ("035", "050", "075", "100", "140", "110d", "120d")),
    *(f"mobilenetv3-large-{width}" for width in ("075", "100", "150d")),
    *(f"mobilenetv3-small-{width}" for width in ("050", "075", "100")),
    "mobilenetv3-rw",
    *(f"mobilenetv4-conv-{size}" for size in ("small-035", "small-050", "small", "medium", "large")),
    *("mobilenetv4-conv-aa-large", "mobilenetv4-conv-blur-medium"),
    *("mobilenetv4-hybrid-medium", "mobilenetv4-hybrid-large"),
    *(f"lcnet-{width}" for width in ("035", "050", "075", "100", "150")),
    *(f"fbnetv3-{size}" for size in "bdg"),
    *(f"hardcorenas-{size}" for size in "abcdef"),
    *(f"mobilenet-edgetpu-{size}" for size in ("100", "v2-xs", "v2-s", "v2-m", "v2-l")),
]
TF = [
    *(f"mobilenetv3-large-{width}" for width in ("075", "100", "minimal-100")),
    *(f"mobilenetv3-small-{width}" for width in ("075", "100", "minimal-100")),
]
QUICK = (
    "timm/lcnet-035",
    "timm/mobilenetv1-100",
    "timm/mobilenetv4-conv-small-035",
    "timm-tf/mobilenetv3-small-minimal-100",
)


def make(dialect: str, name: str) -> dict[str, object]:
    network = ("tf_" if dialect == "timm-tf" else "") + name.replace("-", "_")
    return torch_case.case(lambda: torch_case.timm_network(network), 64, quick=f"{dialect}/{name}" in QUICK)


if __name__ == "__main__":
    generated.store(
        "mobilenet",
        {
            f"{dialect}/{name}": lambda dialect=dialect, name=name: make(dialect, name)
            for dialect, names in (("timm", OWN), ("timm-tf", TF))
            for name in names
        },
    )
