"""Makes timm's cases of efficientnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

TF = [
    *(f"efficientnet-b{number}" for number in range(9)),
    "efficientnet-l2",
    *(f"efficientnet-lite{number}" for number in range(5)),
    *("efficientnet-es", "efficientnet-em", "efficientnet-el"),
    *(f"efficientnetv2-{size}" for size in ("b0", "b1", "b2", "b3", "s", "m", "l", "xl")),
]
OWN = [name for name in TF if not name.startswith("efficientnetv2-b")]
OWN += ["efficientnetv2-rw-t", "efficientnetv2-rw-s", "efficientnetv2-rw-m", "test-efficientnet"]
OWN += ["efficientnet-x-b5", "efficientnet-h-b5", "gc-efficientnetv2-rw-t"]
CONDCONV = {
    "efficientnet-condconv-b0-4e": "efficientnet_cc_b0_4e", "efficientnet-condconv-b0-8e": "efficientnet_cc_b0_8e",
    "efficientnet-condconv-b0-8e-depth": "efficientnet_cc_b1_8e",
}  # fmt: skip
TF += CONDCONV
OWN += CONDCONV
OWN += [f"tinynet-{size}" for size in "abcde"]

PRUNED = [f"efficientnet-b{number}-pruned" for number in (1, 2, 3)]

AT_LEAST = dict.fromkeys(CONDCONV, 0.01) | {"efficientnet-b3-pruned": 0.02}  # more opens or shuts all of many gates

SIZES = {  # as published
    "efficientnet-b1-pruned": 240, "efficientnet-b2-pruned": 260, "efficientnet-b3-pruned": 300,
    "efficientnet-b1": 240, "efficientnet-b2": 260, "efficientnet-b3": 300, "efficientnet-b4": 380,
    "efficientnet-b5": 456, "efficientnet-b6": 528, "efficientnet-b7": 600,
    "efficientnet-lite1": 240, "efficientnet-lite2": 260, "efficientnet-lite3": 300, "efficientnet-lite4": 380,
    "efficientnet-condconv-b0-8e-depth": 240, "efficientnet-em": 240, "efficientnet-el": 300,
    "efficientnetv2-b1": 240, "efficientnetv2-b2": 260, "efficientnetv2-b3": 300,
    "tinynet-b": 188, "tinynet-c": 184, "tinynet-d": 152, "tinynet-e": 106,
}  # fmt: skip
LARGE = ("efficientnet-l2", "efficientnetv2-l", "efficientnetv2-xl")
QUICK = ("timm/efficientnet-lite0", "timm/test-efficientnet", "timm-tf/efficientnet-es",
         "timm-tf/efficientnet-condconv-b0-4e")  # fmt: skip


def make(dialect: str, name: str) -> dict[str, object]:
    prefix = "tf_" if dialect == "timm-tf" and name not in PRUNED else ""
    return torch_case.case(
        lambda: torch_case.timm_network(prefix + CONDCONV.get(name, name.replace("-", "_"))),
        64 + SIZES.get(name, 224) % 32,
        run=name not in LARGE,
        quick=f"{dialect}/{name}" in QUICK,
        at_least=AT_LEAST.get(name, 0.03),
    )


if __name__ == "__main__":
    generated.GAINS += (0.63, 0.635, 0.64)
    generated.store(
        "efficientnet",
        {
            f"{dialect}/{name}": lambda dialect=dialect, name=name: make(dialect, name)
            for dialect, names in (("timm", OWN), ("timm-tf", TF + PRUNED))
            for name in names
        },
    )
