"""Fine-tuning: a folder of images and a pretrained network in, one Keras classifier out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.finetune.plan import Plan
from zoo.finetune.run import FinetuneResult, finetune
from zoo.finetune.wishes import Wishes

if TYPE_CHECKING:
    from zoo.finetune.result import load_run

__all__ = ["FinetuneResult", "Plan", "Wishes", "finetune", "load_run"]


def __getattr__(name: str) -> Any:
    # load_run needs keras, which the names above do not import until they run.
    if name == "load_run":
        from zoo.finetune.result import load_run

        return load_run
    raise AttributeError(f"module 'zoo.finetune' has no attribute {name!r}")
