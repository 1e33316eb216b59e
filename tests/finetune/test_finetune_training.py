"""What training does to weights, on a small network and real digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from zoo import heads
from zoo.finetune import images as images_module
from zoo.finetune.data import index, split
from zoo.finetune.features import extract, predict, view_kinds
from zoo.finetune.plan import Wishes, make
from zoo.finetune.run import _base
from zoo.finetune.scratch import Scratch
from zoo.finetune.strategies import STRATEGIES, Outcome, Task
from zoo.finetune.train import Views, fit, make_optimizer

GIB = 2**30

Start = Callable[..., Task]


@pytest.fixture
def start(digits: Path, network: Any) -> Iterator[Start]:
    """Returns a function that prepares everything up to the strategy."""
    with Scratch() as scratch:

        def prepare(room: int = GIB, **wishes: Any) -> Task:
            keras.utils.set_random_seed(wishes.get("seed", 0))
            dataset = index(digits, progress=False)
            parts = split(dataset, 0.25, 0)
            training, validation = parts.training, parts.validation
            base = _base(network, None)
            plan = make(
                dataset,
                (len(training), len(validation)),
                Wishes(**wishes),
                model=base.model,
                name="small",
                scratch_training=None,
                precision=None,
                room=room,
            )
            images = images_module.load(dataset, base.preprocessing, scratch, progress=False)
            return Task(base.model, images, dataset.labels, training, validation, 4, plan, scratch, False)

        yield prepare


def run(task: Task) -> Outcome:
    return STRATEGIES[task.plan.strategy](task)


def weights(model: keras.Model) -> dict[str, list[np.ndarray]]:
    return {layer.name: [np.array(array) for array in layer.get_weights()] for layer in model.layers if layer.weights}


def moved(before: list[np.ndarray], after: list[np.ndarray]) -> bool:
    return any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("strategy", ["linear", "head"])
def test_a_frozen_trunk_stays_bit_equal(start: Start, network: Any, strategy: str) -> None:
    after = weights(run(start(strategy=strategy, epochs=2, augment=False)).model)
    for name, before in weights(network).items():
        if name != "fc":
            assert not moved(before, after[name]), name


@pytest.mark.parametrize("room", [GIB, 0], ids=["cached", "recomputed"])
def test_blocks_moves_what_is_above_the_cut_and_nothing_else(start: Start, network: Any, room: int) -> None:
    task = start(room=room, strategy="blocks", epochs=4, learning_rate=1e-4, augment=False)
    task = replace(task, validation=task.training)  # so that training lowers the loss that decides what is kept
    assert task.plan.cached == (room > 0)
    outcome = run(task)
    before, after = weights(network), weights(outcome.model)
    assert task.plan.cut == "add2"
    for name in ("conv3", "conv4"):
        assert moved(before[name], after[name]), name
    for name in ("conv1", "bn1", "conv2", "bn2", "bn3"):
        assert not moved(before[name], after[name]), name
    assert [row["epoch"] for row in outcome.history if row["phase"] == "blocks"] == [0, 1, 2, 3, 4]


def test_the_model_given_is_left_as_it_is(start: Start, network: Any) -> None:
    before = weights(network)
    run(start(strategy="blocks", epochs=1, learning_rate=0.01))
    for name, arrays in weights(network).items():
        assert not moved(before[name], arrays)
    assert all(layer.trainable for layer in network.layers)


@pytest.mark.parametrize("strategy", ["head", "blocks"])
def test_the_best_weights_are_kept(start: Start, strategy: str) -> None:
    """At an absurd rate the last epochs are bad; the model is that of the best epoch."""
    task = start(strategy=strategy, epochs=4, learning_rate=300.0)
    outcome = run(task)
    probabilities = predict(outcome.model, task.images, task.validation)
    own = probabilities[np.arange(len(task.validation)), task.labels[task.validation]]
    loss = -np.log(own).mean()
    last_phase = [row for row in outcome.history if row["phase"] == strategy]
    best = [row for row in last_phase if row["best"]][-1]
    assert loss == pytest.approx(best["val_loss"], abs=1e-3)
    assert best["val_loss"] == min(row["val_loss"] for row in last_phase)
    assert best is not last_phase[-1]


@pytest.mark.parametrize("strategy", ["linear", "blocks"])
def test_the_same_seed_gives_the_same_model(start: Start, strategy: str) -> None:
    first, again = (run(start(strategy=strategy, epochs=2, seed=1)).model.get_weights() for _ in range(2))
    assert max(np.abs(a - b).max() for a, b in zip(first, again, strict=True)) < 1e-5


def test_another_seed_gives_another_model(start: Start) -> None:
    first, other = (run(start(strategy="head", epochs=2, seed=seed)).model.get_weights() for seed in (1, 2))
    assert max(np.abs(a - b).max() for a, b in zip(first, other, strict=True)) > 1e-4


def test_probabilities_come_out_in_float32(start: Start) -> None:
    task = start(strategy="head", epochs=2)
    answers = run(task).model(task.images[:5])
    assert keras.backend.standardize_dtype(answers.dtype) == "float32"
    assert np.allclose(keras.ops.convert_to_numpy(answers).sum(axis=1), 1, atol=1e-5)


def test_cached_features_equal_those_computed_again(start: Start) -> None:
    task = start()
    trunk = keras.Model(task.base.input, heads.bottleneck(task.base))
    positions = task.training[:40]
    with Scratch() as scratch:
        (cached,) = extract(trunk, task.images, positions, [()], scratch, seed=0, progress=False)
    whole = trunk.predict(task.images[positions].astype(np.float32), verbose=0)
    assert np.abs(cached[0] - whole).max() < 1e-5


def test_a_cached_cut_gives_the_whole_networks_features_within_half_precision(start: Start) -> None:
    task = start()
    lower, upper = heads.split(task.base, "add2")
    with Scratch(memory=0) as scratch:
        (maps,) = extract(lower, task.images, task.training, [()], scratch, seed=0, half=True, progress=False)
        assert maps.dtype == np.float16
        assert isinstance(maps, np.memmap)
        answers = upper.predict(maps[0].astype(np.float32), verbose=0)
    whole = task.base.predict(task.images[task.training].astype(np.float32), verbose=0)
    assert np.abs(answers - whole).max() < 2e-3


def test_activations_beyond_half_precision_are_kept_whole(start: Start) -> None:
    task = start()
    inputs = keras.Input((24, 24, 3))
    large = keras.Model(inputs, keras.layers.Rescaling(1000.0)(inputs))
    with Scratch() as scratch:
        (maps,) = extract(large, task.images, task.training, [()], scratch, seed=0, half=True, progress=False)
        assert maps.dtype == np.float32
        assert maps[0].max() == task.images[task.training].max() * 1000.0


def test_mirrored_views_stand_apart() -> None:
    assert view_kinds((), 0) == [()]
    kinds = view_kinds(("translate", "rotate", "flip"), 4)
    assert kinds[0] == ()
    assert [("flip" in kind) for kind in kinds] == [False, False, False, True, True]


def test_views_differ_from_the_image_and_from_each_other_and_keep_its_range(start: Start) -> None:
    task = start()
    views = images_module.Augmenter(("translate", "rotate", "flip"), 3)
    first, second = views(task.images[:8]), views(task.images[:8])
    again = images_module.Augmenter(("translate", "rotate", "flip"), 3)(task.images[:8])
    assert np.abs(first - task.images[:8]).mean() > 1
    assert np.abs(first - second).mean() > 1
    assert np.array_equal(first, again)
    assert first.min() >= 0
    assert first.max() <= 255


@pytest.mark.parametrize("rate", [0.01, 100.0])
def test_training_lowers_the_loss_and_stops_when_nothing_improves(start: Start, rate: float) -> None:
    task = start()
    inputs = keras.Input((24, 24, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(4)(x))
    pixels, labels = task.images.astype(np.float32), task.labels
    batches = Views(labels[task.training], 1, lambda views, rows: pixels[task.training[rows]], 16, 0)
    held_out = (pixels[task.validation], labels[task.validation])
    rows = fit(
        model, batches, held_out, phase="test", optimizer="adamw", rate=rate, epochs=20, patience=3, progress=False
    )
    assert [row["epoch"] for row in rows] == list(range(len(rows)))
    if rate < 1:
        assert min(row["val_loss"] for row in rows) < rows[0]["val_loss"] / 2
    else:
        assert len(rows) < 21
        assert [row["best"] for row in rows[-4:]] == [True, False, False, False]


def test_float16_losses_are_scaled_and_weight_decay_spares_biases() -> None:
    assert isinstance(make_optimizer("sgd", 0.1, "mixed_float16"), keras.optimizers.LossScaleOptimizer)
    optimizer = make_optimizer("adamw", 0.1, "float32")
    dense = keras.layers.Dense(3, name="some")
    dense.build((None, 2))
    optimizer.build(dense.trainable_variables)
    assert [optimizer._use_weight_decay(variable) for variable in dense.trainable_variables] == [True, False]
