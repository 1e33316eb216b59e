"""Makes timm's cases of resnest.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

NAMES = ("resnest14d", "resnest26d", "resnest50d", "resnest101e", "resnest200e", "resnest269e")
DEEP = ("resnest101e",)


def make(name: str) -> dict[str, object]:
    # 269e has 111 million parameters; in 200e rounding errors decide, whatever the gain.
    run = name not in ("resnest200e", "resnest269e")
    # Rounding errors open and shut the gates of the deep ones wherever mirroring the image moves much.
    at_least = 0.01 if name in DEEP else 0.03
    return torch_case.case(
        lambda: torch_case.timm_network(name), 64, run=run, quick=name == "resnest14d", at_least=at_least
    )


if __name__ == "__main__":
    generated.store("resnest", {f"timm/{name}": lambda name=name: make(name) for name in NAMES})
