"""Makes timm's cases of convnext.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

FIRST = """
    zepto-rms zepto-rms-ols atto atto-ols atto-rms femto femto-ols pico pico-ols nano nano-ols tiny tiny-hnf small base
    large large-mlp xlarge xxlarge
"""
SECOND = "atto femto pico nano tiny small base large huge"
TEST = [f"test-convnext{number}" for number in ("", "2", "3")]
NAMES = [*(f"convnext-{size}" for size in FIRST.split()), *(f"convnextv2-{size}" for size in SECOND.split()), *TEST]
LARGE = ("large", "large-mlp", "xlarge", "xxlarge", "huge")
QUICK = ("convnext-zepto-rms-ols", "convnext-atto-rms", "convnext-atto-ols", "convnextv2-atto", *TEST)


def make(name: str) -> dict[str, object]:
    network = lambda: torch_case.timm_network(name.replace("-", "_"))  # noqa: E731
    return torch_case.case(network, 64, run=name.partition("-")[2] not in LARGE, quick=name in QUICK)


if __name__ == "__main__":
    generated.store("convnext", {f"timm/{name}": lambda name=name: make(name) for name in NAMES})
