"""Fine-tuning: images and a pretrained network in, one Keras classifier out.

Names are imported when they are first used: the command line reads the options without what it takes to train.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.finetune.cluster import Cluster
    from zoo.finetune.plan import Plan
    from zoo.finetune.rates import lr_find
    from zoo.finetune.result import load_run
    from zoo.finetune.run import FinetuneResult, finetune
    from zoo.finetune.sweep import Comparison, finetune_many
    from zoo.finetune.wishes import Wishes

__all__ = [
    "Cluster",
    "Comparison",
    "FinetuneResult",
    "Plan",
    "Wishes",
    "finetune",
    "finetune_many",
    "load_run",
    "lr_find",
]

_HOME = {
    "Cluster": "cluster",
    "Comparison": "sweep",
    "FinetuneResult": "run",
    "Plan": "plan",
    "Wishes": "wishes",
    "finetune": "run",
    "finetune_many": "sweep",
    "load_run": "result",
    "lr_find": "rates",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'zoo.finetune' has no attribute {name!r}")
    return getattr(importlib.import_module(f"zoo.finetune.{_HOME[name]}"), name)
