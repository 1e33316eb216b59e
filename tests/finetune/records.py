"""Made-up runs, to write reports of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from zoo.finetune.record import Record

SIDE = 24
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "a & b's {{ 7 * 7 }}")


@dataclass(frozen=True)
class MadeUpPlan:
    """What a report asks of a plan."""

    values: dict[str, Any]
    reasons: dict[str, str] = field(default_factory=dict)
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        return {**self.values, "reasons": self.reasons}


def network(classes: int) -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(8, 5, strides=3, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(classes, name="classifier")(x)
    return keras.Model(inputs, keras.layers.Softmax(name="probabilities")(x), name="made-up")


def history() -> list[dict[str, Any]]:
    """Two phases; epoch 0 has no training loss and no rate, and one loss went wrong."""
    rows: list[dict[str, Any]] = []
    for phase, epochs, rate in (("head", 4, 1e-3), ("blocks", 3, 2e-5)):
        for epoch in range(epochs + 1):
            first = epoch == 0
            loss = None if first else 1.5 / epoch
            rows.append(
                {"phase": phase, "epoch": epoch, "rate": None if first else rate * (1 - epoch / epochs), "loss": loss,
                 "accuracy": None if first else 1 - 0.4 / epoch, "val_loss": 2 / (epoch + 1), "val_accuracy": 0.5,
                 "seconds": 0.5, "best": epoch < 3}
            )  # fmt: skip
    rows[-1]["loss"] = float("nan")
    return rows


def record(classes: tuple[str, ...], each: int, *, right: float = 0.8, seed: int = 0, **more: Any) -> Record:
    """A run on `each` images of each class, a quarter of them held out."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(classes)), each)
    parts = np.where(np.arange(len(labels)) % 4 == 0, "validation", "training")
    measured = np.flatnonzero(parts == "validation")
    told = np.where(
        random.random(len(measured)) < right, labels[measured], random.integers(len(classes), size=len(measured))
    )
    logits = random.normal(size=(len(measured), len(classes)))
    logits[np.arange(len(measured)), told] += 5
    powers = np.exp(logits)
    made = Record(
        plan=MadeUpPlan(  # type: ignore[arg-type]
            {"model": "made-up", "data": "pictures & more", "strategy": "blocks", "learning_rate": 2e-5, "cut": None,
             "skipped": [], "input_size": [SIDE, SIDE]},
            {"learning_rate": "a tenth of what it was trained with"},
        ),
        metrics={
            "seconds": {"reading": 1.5, "training": 62.0, "all": 65.0},
            "parameters": 1234,
            "versions": {"zoo": "0.1.0", "keras": "3.15.1"},
            "skipped": [{"path": "b/<i>.jpg", "reason": "empty file"}],
            "notes": ["two pictures are the same"],
            "chosen": {"augmentation": ["flip"]},
        },
        history=history(),
        classes=classes,
        items=tuple(f"{label}/{number:04}.png" for number, label in enumerate(labels)),
        labels=labels,
        parts=parts,
        measured=measured,
        probabilities=(powers / powers.sum(axis=1, keepdims=True)).astype(np.float32),
        images=lambda positions: np.stack([_picture(int(labels[place]), int(place)) for place in positions]),
        model=network(len(classes)),
        command="zoo finetune made-up 'pictures & more' --seed 0",
    )  # fmt: skip
    return replace(made, **more)


def _picture(label: int, place: int) -> np.ndarray:
    random = np.random.default_rng(place)
    picture = np.full((SIDE, SIDE, 3), 40 + 5 * (label % 30), np.uint8)
    left, top = random.integers(0, SIDE - 8, 2)
    picture[top : top + 8, left : left + 8] = random.integers(100, 255, 3)
    return picture
