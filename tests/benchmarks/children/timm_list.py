"""A process that lists timm's models."""

from torch_vision import operators

declared = operators()
import timm  # noqa: E402

timm.list_models()
