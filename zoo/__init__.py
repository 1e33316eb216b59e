"""zoo: pretrained convnets of five frameworks as plain Keras 3 models, and a recipe to fine-tune them.

Every public name is imported when it is first used, so `import zoo` and `zoo list` never import keras.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from zoo.diff import diff
    from zoo.errors import (
        CardError,
        DataError,
        FetchError,
        FormatError,
        ParityError,
        PushError,
        UnknownFactError,
        UnknownModelError,
        UnsupportedError,
        UsageError,
        ZooError,
    )
    from zoo.evaluate import evaluate
    from zoo.evaluation import Evaluation
    from zoo.export import Export, export
    from zoo.finetune import Comparison, FinetuneResult, Plan, finetune, finetune_many
    from zoo.finetune.advise import Advice, advise
    from zoo.library import convert, get, load, preprocess, verify
    from zoo.predict import Prediction, predict
    from zoo.push import push
    from zoo.registry import info, list_models, register
    from zoo.schema import ModelCard

_HOME = {
    "zoo.diff": ("diff",),
    "zoo.errors": (
        "CardError",
        "DataError",
        "FetchError",
        "FormatError",
        "ParityError",
        "PushError",
        "UnknownFactError",
        "UnknownModelError",
        "UnsupportedError",
        "UsageError",
        "ZooError",
    ),
    "zoo.evaluate": ("evaluate",),
    "zoo.evaluation": ("Evaluation",),
    "zoo.export": ("Export", "export"),
    "zoo.finetune": ("Comparison", "FinetuneResult", "Plan", "finetune", "finetune_many"),
    "zoo.finetune.advise": ("Advice", "advise"),
    "zoo.library": ("convert", "get", "load", "preprocess", "verify"),
    "zoo.predict": ("Prediction", "predict"),
    "zoo.push": ("push",),
    "zoo.registry": ("info", "list_models", "register"),
    "zoo.schema": ("ModelCard",),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Advice",
    "CardError",
    "Comparison",
    "DataError",
    "Evaluation",
    "Export",
    "FetchError",
    "FinetuneResult",
    "FormatError",
    "ModelCard",
    "ParityError",
    "Plan",
    "Prediction",
    "PushError",
    "UnknownFactError",
    "UnknownModelError",
    "UnsupportedError",
    "UsageError",
    "ZooError",
    "advise",
    "convert",
    "diff",
    "evaluate",
    "export",
    "finetune",
    "finetune_many",
    "get",
    "info",
    "list_models",
    "load",
    "predict",
    "preprocess",
    "push",
    "register",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Package(ModuleType):
    """Keeps `zoo.predict` and its like the functions: importing the modules of these names would rebind them."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _MODULE and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
