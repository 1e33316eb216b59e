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
from zoo.errors import FormatError
from zoo.finetune import base as base_module
from zoo.finetune import optimize
from zoo.finetune.augment import Augmenter
from zoo.finetune.batches import Batches, mix
from zoo.finetune.data import index, split
from zoo.finetune.decide import make
from zoo.finetune.features import Extraction, Runner, depths, predict, view_kinds
from zoo.finetune.head import own_dropout
from zoo.finetune.pictures import Pictures
from zoo.finetune.scratch import Scratch
from zoo.finetune.situation import Situation
from zoo.finetune.state import Checkpoint
from zoo.finetune.store import Store
from zoo.finetune.strategies import STRATEGIES, Outcome, Task, prepare
from zoo.finetune.train import HeldOut, Settings, fit
from zoo.finetune.wishes import Wishes

GIB = 2**30

Start = Callable[..., Task]


@pytest.fixture
def start(digits: Path, network: Any, tmp_path: Path) -> Iterator[Start]:
    """Returns a function that prepares everything up to the strategy."""
    with Scratch() as scratch:

        def begin(room: int = GIB, **wishes: Any) -> Task:
            keras.utils.set_random_seed(wishes.get("seed", 0))
            dataset = index(digits, progress=False)
            parts = split(dataset, 0.25, 0)
            base = base_module.load(network, None)
            sizes = (len(parts.training), len(parts.validation), 0)
            situation = Situation(dataset, sizes, base.model, "small", room=room, dropout=own_dropout(base.model))
            plan = make(situation, Wishes.of(wishes))
            images = Pictures(dataset, base.preprocessing, scratch, False)
            work = Extraction(base.model, images, dataset.digests, Store(tmp_path / "features"), plan.seed, False)
            pool = prepare(work, plan, parts.training, parts.validation)
            model = base.to_train(plan.strategy)
            return Task(model, images, dataset.labels, parts.training, parts.validation, 4, plan, pool)

        yield begin


def extraction(task: Task, folder: Path, model: Any = None) -> Extraction:
    digests = tuple(map(str, range(len(task.labels))))
    return Extraction(model or task.base, task.images, digests, Store(folder), 0, progress=False)


def run(task: Task) -> Outcome:
    return STRATEGIES[task.plan.strategy](task)


def weights(model: keras.Model) -> dict[str, list[np.ndarray]]:
    return {layer.name: [np.array(array) for array in layer.get_weights()] for layer in model.layers if layer.weights}


def moved(before: list[np.ndarray], after: list[np.ndarray]) -> bool:
    return any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("strategy", ["linear", "head"])
def test_a_frozen_trunk_stays_bit_equal(start: Start, network: Any, strategy: str) -> None:
    after = weights(run(start(strategy=strategy, epochs=2, augment="none")).model)
    for name, before in weights(network).items():
        if name != "fc":
            assert not moved(before, after[name]), name


@pytest.mark.parametrize("room", [GIB, 0], ids=["cached", "recomputed"])
def test_blocks_moves_what_is_above_the_cut_and_nothing_else(start: Start, network: Any, room: int) -> None:
    task = start(room=room, strategy="blocks", epochs=4, learning_rate=1e-4, augment="none")
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
    answers = run(task).model(task.images(np.arange(5)))
    assert keras.backend.standardize_dtype(answers.dtype) == "float32"
    assert np.allclose(keras.ops.convert_to_numpy(answers).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("strategy", ["blocks", "all"])
def test_all_that_can_be_asked_for_works_together(start: Start, strategy: str) -> None:
    wishes = {
        "mixup": 0.2, "cutmix": 1.0, "ema": 0.9, "clip_norm": 1.0, "label_smoothing": 0.1, "head": "mlp",
        "accumulate": 2, "augment": "strong", "batch_norm": "trained", "schedule": "one-cycle", "optimizer": "adamw",
        "class_weights": "balanced", "sampling": "balanced", "layer_decay": 0.8, "head_epochs": 2, "epochs": 2,
        "weight_decay": 0.01,
    }  # fmt: skip
    task = start(strategy=strategy, **wishes)
    outcome = run(task)
    assert [layer.name for layer in outcome.model.layers][-4:] == [
        "head_hidden", "head_relu", "classifier", "probabilities"
    ]  # fmt: skip
    losses = [row["loss"] for row in outcome.history if row["loss"] is not None]
    assert len(losses) == 4
    assert np.isfinite(losses).all()


def test_all_layers_move_and_trained_statistics_with_them(start: Start, network: Any) -> None:
    task = start(strategy="all", epochs=3, head_epochs=2, batch_norm="trained", learning_rate=0.01, augment="none")
    task = replace(task, validation=task.training)
    before, after = weights(network), weights(run(task).model)
    for name in ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "conv4"):
        assert moved(before[name], after[name]), name
    assert moved(before["bn1"][2:], after["bn1"][2:])


def test_statistics_stay_as_they_are_where_they_are_frozen(start: Start, network: Any) -> None:
    task = start(strategy="all", epochs=2, head_epochs=2, learning_rate=0.01)
    before, after = weights(network), weights(run(replace(task, validation=task.training)).model)
    assert moved(before["conv1"], after["conv1"])
    assert not moved(before["bn1"], after["bn1"])


def test_lower_blocks_take_smaller_steps() -> None:
    inputs = keras.Input((3,))
    x = keras.layers.Dense(3, name="low", kernel_initializer="ones")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="high", kernel_initializer="ones")(x))
    factors = optimize.by_layer(model, 0.1, {"low": 2, "high": 0})
    made = optimize.optimizer("adamw", 0.01, factors=factors)
    made.build(model.trainable_variables)
    before = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    made.apply([keras.ops.ones(variable.shape) for variable in model.trainable_variables])
    after = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    steps = [float(np.abs(old - new).max()) for old, new in zip(before, after, strict=True)]
    assert steps == pytest.approx([0.0001, 0.0001, 0.01, 0.01], rel=0.02)


def test_an_average_of_the_weights_is_what_is_judged_and_kept(start: Start) -> None:
    """With a decay of nearly one, the average hardly leaves where it began, however far the weights go."""
    task = start(strategy="blocks", epochs=2, head_epochs=1, learning_rate=0.01, ema=0.99999, augment="none")
    outcome = run(replace(task, validation=task.training))
    last = [row for row in outcome.history if row["phase"] == "blocks"]
    assert abs(last[-1]["val_loss"] - last[0]["val_loss"]) < 5e-3
    assert abs(last[-1]["loss"] - last[1]["loss"]) > 2e-2


def test_a_distilled_model_keeps_its_old_answers() -> None:
    def value(loss: Any, targets: np.ndarray, logits: np.ndarray) -> float:
        return float(loss(keras.ops.convert_to_tensor(targets), keras.ops.convert_to_tensor(logits))[0])

    logits = np.array([[2.0, 0.5, -1.0, 0.3]], np.float32)
    raised = np.exp(logits[:, :2] / optimize.TEMPERATURE)
    old = raised / raised.sum()
    labels = np.array([[0, 0, 0, 1]], np.float32)
    plain, kept = optimize.loss(4), optimize.loss(4, old=2)
    targets = np.concatenate([labels, old], axis=1)
    assert value(kept, targets, logits) == pytest.approx(value(plain, labels, logits), abs=1e-5)
    other = np.concatenate([labels, old[:, ::-1]], axis=1)
    assert value(kept, other, logits) > value(plain, labels, logits) + 0.1


def test_batches_follow_from_seed_and_epoch_alone() -> None:
    def made() -> Batches:
        targets = np.eye(4, dtype=np.float32)[np.arange(50) % 4]
        return Batches(
            targets, 3, lambda views, rows: (rows * 10 + views)[:, None].astype(np.float32), 16, 7, mixup=0.4
        )

    first, second = made(), made()
    for epoch in (0, 1, 2):
        first.start(epoch)
    second.start(2)
    for number in range(len(first)):
        for a, b in zip(first[number], second[number], strict=True):
            assert np.array_equal(a, b)
    second.start(1)
    assert not np.array_equal(first[0][0], second[0][0])
    assert {len(first[number][0]) for number in range(len(first))} == {16}


def test_balanced_sampling_shows_every_class_as_often() -> None:
    labels = np.array([0] * 900 + [1] * 100)
    targets = np.eye(2, dtype=np.float32)[labels]
    chances = 1 / np.bincount(labels)[labels]
    batches = Batches(targets, 1, lambda views, rows: rows[:, None].astype(np.float32), 100, 0, chances=chances)
    drawn = np.concatenate([batches[number][1] for number in range(len(batches))])
    assert drawn[:, 1].mean() == pytest.approx(0.5, abs=0.06)


def test_mixing_blends_targets_as_it_blends_images() -> None:
    images = np.zeros((8, 6, 6, 1), np.float32)
    images[4:] = 1.0
    targets = np.eye(2, dtype=np.float32)[np.array([0] * 4 + [1] * 4)]
    for mixup, cutmix in ((0.4, 0.0), (0.0, 1.0)):
        mixed, soft = mix(images, targets, np.random.default_rng(1), mixup, cutmix)
        assert np.allclose(mixed.mean(axis=(1, 2, 3)), soft[:, 1], atol=1e-6)
        assert np.allclose(soft.sum(axis=1), 1)
        assert not np.array_equal(mixed, images)
    assert images[:4].max() == 0.0


def test_features_equal_those_computed_again(start: Start, tmp_path: Path) -> None:
    task = start()
    trunk = keras.Model(task.base.input, heads.bottleneck(task.base))
    positions = task.training[:40]
    cached = extraction(task, tmp_path / "store")({"trunk": trunk.output}, positions)["trunk"]
    whole = trunk.predict(task.images(positions).astype(np.float32), verbose=0)
    assert np.abs(cached - whole).max() < 1e-5


def test_a_pass_that_was_cut_goes_on_where_it_stopped(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = start()
    tensors, kinds = {"trunk": heads.bottleneck(task.base)}, ("translate", "flip")
    whole = extraction(task, tmp_path / "whole")(tensors, task.training, 1, kinds)["trunk"]
    run, seen = Runner.__call__, []

    def stops(self: Runner, images: np.ndarray) -> list[np.ndarray]:
        seen.append(len(images))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return run(self, images)

    monkeypatch.setattr(Runner, "__call__", stops)
    with pytest.raises(KeyboardInterrupt):
        extraction(task, tmp_path / "cut")(tensors, task.training, 1, kinds)
    again = extraction(task, tmp_path / "cut")
    assert np.array_equal(again(tensors, task.training, 1, kinds)["trunk"], whole)
    assert sum(seen[2:]) == len(task.training) - 32
    seen.clear()
    again(tensors, task.training, 1, kinds)
    assert seen == []


def test_a_tensor_that_an_earlier_pass_gave_is_not_computed_again(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = start()
    run, seen = Runner.__call__, []

    def counted(self: Runner, images: np.ndarray) -> list[np.ndarray]:
        seen.append(self)
        return run(self, images)

    monkeypatch.setattr(Runner, "__call__", counted)
    work, some = extraction(task, tmp_path), task.training[:20]
    both = work(depths(task.base), some)
    seen.clear()
    alone = work({"trunk": heads.bottleneck(task.base)}, some)["trunk"]
    assert seen == []
    assert np.array_equal(alone, both["bottleneck"])
    work({"trunk": heads.bottleneck(task.base)}, task.validation[:20])
    work(depths(task.base), task.validation[:10])
    assert len(set(map(id, seen))) == 1, "one compiled network serves both"


def test_features_of_other_images_weights_or_changes_are_not_taken(start: Start, tmp_path: Path) -> None:
    task, store = start(), Store(tmp_path)
    trunk = keras.Model(task.base.input, heads.bottleneck(task.base))
    about = store.model_key(trunk)
    keys = [
        store.key(about, ["a", "b"], ("flip",), (0, 1)),
        store.key(about, ["b", "a"], ("flip",), (0, 1)),
        store.key(about, ["a", "b"], ("flip",), (0, 2)),
        store.key(about, ["a", "b"], (), (0, 1)),
        Store(tmp_path, "other size").key(about, ["a", "b"], ("flip",), (0, 1)),
    ]
    trunk.get_layer("conv1").bias.assign(np.ones(8))
    keys.append(store.key(store.model_key(trunk), ["a", "b"], ("flip",), (0, 1)))
    assert len(set(keys)) == len(keys)


def test_a_store_keeps_what_was_used_last(start: Start, tmp_path: Path) -> None:
    task = start()
    work, tensors = extraction(task, tmp_path / "store"), {"trunk": heads.bottleneck(task.base)}
    for count in (8, 16, 24):
        work(tensors, task.training[:count])
    last = max((tmp_path / "store").glob("*/entry.json"), key=lambda path: path.stat().st_mtime_ns)
    work.store.prune(kept=24 * 16 * 4 + 200)
    assert [path.parent for path in (tmp_path / "store").glob("*/entry.json")] == [last.parent]


def test_a_cached_cut_gives_the_whole_networks_features_within_half_precision(start: Start, tmp_path: Path) -> None:
    task = start()
    lower, upper = heads.split(task.base, "add2")
    maps = extraction(task, tmp_path / "store")({"cut": lower.output}, task.training)["cut"]
    assert maps.dtype == np.float16
    answers = upper.predict(maps.astype(np.float32), verbose=0)
    whole = task.base.predict(task.images(task.training).astype(np.float32), verbose=0)
    assert np.abs(answers - whole).max() < 2e-3


def test_activations_beyond_half_precision_are_kept_whole(start: Start, tmp_path: Path) -> None:
    task = start()
    inputs = keras.Input((24, 24, 3))
    large = keras.Model(inputs, keras.layers.Rescaling(1000.0)(inputs))
    maps = extraction(task, tmp_path / "store", large)({"large": large.output}, task.training)["large"]
    assert maps.dtype == np.float32
    assert maps.max() == task.images(task.training).max() * 1000.0


def test_mirrored_views_stand_apart() -> None:
    assert view_kinds((), 0) == [()]
    kinds = view_kinds(("translate", "rotate", "flip"), 4)
    assert kinds[0] == ()
    assert [("flip" in kind) for kind in kinds] == [False, False, False, True, True]


@pytest.mark.parametrize("kinds", [("translate", "rotate", "flip"), ("crop", "zoom", "colour"), ("randaugment",)])
def test_views_differ_from_the_image_and_from_each_other_and_keep_its_range(
    start: Start, kinds: tuple[str, ...]
) -> None:
    images = start().images(np.arange(8))
    augment = Augmenter(kinds)
    first, second = augment(images, 3), augment(images, 4)
    assert np.abs(first - images).mean() > 1
    assert np.abs(first - second).mean() > 1
    assert np.array_equal(first, Augmenter(kinds)(images, 3))
    assert first.min() >= 0
    assert first.max() <= 255


def settings(rate: float, epochs: int, **more: Any) -> Settings:
    return Settings("test", "adamw", rate, epochs, more.pop("patience", 3), progress=False, **more)


def flat(task: Task) -> tuple[Any, Batches, HeldOut]:
    """A model of one layer on pixels, with dropout."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((24, 24, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(4, name="only")(keras.layers.Dropout(0.3, seed=2)(x)))
    batches = Batches(task.targets(), 1, lambda views, rows: task.images(task.training[rows]), 16, 0)
    held_out = HeldOut(lambda a, b: task.images(task.validation[a:b]), task.labels[task.validation])
    return model, batches, held_out


@pytest.mark.parametrize("rate", [0.01, 100.0])
def test_training_lowers_the_loss_and_stops_when_nothing_improves(start: Start, rate: float) -> None:
    rows = fit(*flat(start()), settings(rate, 20))
    assert [row["epoch"] for row in rows] == list(range(len(rows)))
    if rate < 1:
        assert min(row["val_loss"] for row in rows) < rows[0]["val_loss"] / 2
    else:
        assert len(rows) < 21
        assert [row["best"] for row in rows[-4:]] == [True, False, False, False]


@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize("stop", [1, 3, 6])
def test_a_phase_that_was_killed_ends_as_if_it_had_not_been(
    start: Start, tmp_path: Path, stop: int, ema: float | None
) -> None:
    task = start(augment="none")
    how = settings(0.01, 6, ema=ema, patience=9)
    model, batches, held_out = flat(task)
    whole = fit(model, batches, held_out, how)
    wanted = model.get_weights()

    def killed(row: dict[str, Any]) -> None:
        if row["epoch"] == stop:
            raise KeyboardInterrupt

    model, batches, held_out = flat(task)
    with pytest.raises(KeyboardInterrupt):
        fit(model, batches, held_out, how, checkpoint=Checkpoint(tmp_path, every=0), log=killed)
    model, batches, held_out = flat(task)
    rows = fit(model, batches, held_out, how, checkpoint=Checkpoint(tmp_path, every=0))
    assert [row["epoch"] for row in rows] == list(range(7))
    assert [row["loss"] for row in rows[1:]] == pytest.approx([row["loss"] for row in whole[1:]], rel=1e-5)
    assert max(np.abs(a - b).max() for a, b in zip(model.get_weights(), wanted, strict=True)) < 1e-6


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    (tmp_path / "head.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(FormatError, match="damaged checkpoint"):
        Checkpoint(tmp_path).load("head")


def test_float16_losses_are_scaled_and_weight_decay_spares_biases() -> None:
    scaled = optimize.optimizer("sgd", 0.1, precision="mixed_float16")
    assert isinstance(scaled, keras.optimizers.LossScaleOptimizer)
    optimizer = optimize.optimizer("adamw", 0.1, weight_decay=1e-4)
    dense = keras.layers.Dense(3, name="some")
    dense.build((None, 2))
    optimizer.build(dense.trainable_variables)
    assert [optimizer._use_weight_decay(variable) for variable in dense.trainable_variables] == [True, False]


@pytest.mark.parametrize("kind", ["cosine", "one-cycle", "constant"])
def test_the_rate_rises_to_its_peak_and_ends_where_the_schedule_says(kind: str) -> None:
    schedule = optimize.schedule(kind, 0.5, 100)
    steps = [0, 5, 10, 15, 25, 50, 75, 99]
    rates = [float(schedule(step)) for step in steps]
    assert max(rates) == pytest.approx(0.5)
    assert rates[0] < 0.1
    assert rates[-1] == pytest.approx(0.5 if kind == "constant" else 0.0, abs=0.01)
    assert (steps[int(np.argmax(rates))] > 20) == (kind == "one-cycle")
