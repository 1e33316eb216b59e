"""Makes timm's cases of xception.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

NAMES = {"xception": "legacy_xception", **{name: name for name in ("xception41", "xception65", "xception71",
                                                                 "xception41p", "xception65p")}}  # fmt: skip


def make(name: str) -> dict[str, object]:
    quick = name in ("xception41", "xception41p")
    return torch_case.case(lambda: torch_case.timm_network(NAMES[name]), 107, quick=quick)


if __name__ == "__main__":
    generated.store("xception", {f"timm/{name}": lambda name=name: make(name) for name in NAMES})
