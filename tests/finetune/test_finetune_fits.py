"""Batches that fit into memory, on an optimizer that is real and a device that is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from zoo.errors import FormatError, UsageError
from zoo.finetune import fits
from zoo.finetune.batches import Batches
from zoo.finetune.fits import Memo, find, fitted, out_of_memory
from zoo.finetune.train import HeldOut, Settings, fit


class OutOfMemoryError(RuntimeError):
    """Named as PyTorch's."""


class Device:
    """Runs out of memory above so many images; notes what was tried."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.steps: list[tuple[int, int]] = []

    def __call__(self, batch_size: int, accumulate: int) -> None:
        self.steps.append((batch_size, accumulate))
        if batch_size > self.most:
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def batches(size: int = 16, images: int = 64) -> Batches:
    random = np.random.default_rng(0)
    pixels = random.uniform(0, 255, (images, 24, 24, 3)).astype(np.float32)
    targets = np.eye(5, dtype=np.float32)[random.integers(5, size=images)]
    return Batches(targets, 1, lambda views, rows: pixels[rows], size, 0)


@pytest.fixture
def logits(network: Any) -> Any:
    return keras.Model(network.input, network.get_layer("fc").output)


def test_the_batch_is_halved_until_it_fits_and_as_many_images_decide_each_move() -> None:
    device = Device(most=9)
    size = find(32, 1, device)
    assert device.steps == [(32, 1), (16, 2), (8, 4)]
    assert (size.batch_size, size.accumulate, size.tried) == (8, 4, (32, 16, 8))
    assert size.note == "8 images fit, 32 do not; the gradients of 4 steps are added up, so the rate stays"


def test_what_was_accumulated_before_is_accumulated_still() -> None:
    assert find(16, 3, Device(most=16)).accumulate == 3
    assert find(16, 3, Device(most=8)).accumulate == 6


def test_an_odd_batch_says_by_how_much_it_differs() -> None:
    size = find(25, 1, Device(most=12))
    assert (size.batch_size, size.accumulate) == (12, 2)
    assert size.note.endswith("(for 24 images in place of 25)")


def test_a_batch_stays_a_multiple_of_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    device = Device(most=5)
    assert find(36, 1, device, spread=3).batch_size == 3
    assert [batch for batch, _ in device.steps] == [36, 18, 9, 3]


def test_where_one_image_is_too_much_it_is_said_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"batch_size=1: the device runs out of memory even so .*strategy='head'"):
        find(4, 1, Device(most=0))


def test_other_errors_are_not_taken_for_full_memory() -> None:
    def broken(batch_size: int, accumulate: int) -> None:
        raise ValueError("shapes (out of memory of my teacher) do not match")

    with pytest.raises(ValueError, match="do not match"):
        find(4, 1, broken)


def test_full_memory_is_known_by_what_each_framework_raises() -> None:
    import tensorflow as tf

    made = type("XlaRuntimeError", (RuntimeError,), {})
    assert out_of_memory(MemoryError())
    assert out_of_memory(tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"))
    assert out_of_memory(tf.errors.InternalError(None, None, "RESOURCE_EXHAUSTED: Out of memory while trying"))
    assert out_of_memory(made("RESOURCE_EXHAUSTED: Out of memory allocating 17179869184 bytes"))
    assert not out_of_memory(made("INVALID_ARGUMENT: shapes differ"))
    assert not out_of_memory(KeyError("out of memory"))


def test_a_real_step_leaves_weights_and_optimizer_as_they_were(logits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is made to look as if it had a GPU: what is tried then runs here all the same."""
    monkeypatch.setattr(fits.devices, "available", lambda: ("GPU", 1))
    settings = Settings("all", "adamw", 0.01, 2, 5, ema=0.9, clip_norm=1.0, progress=False)
    before = [np.array(weight) for weight in logits.get_weights()]
    said: list[str] = []
    some, how, ready, size = fitted(logits, batches(), settings, Memo(), said.append)
    assert ready is not None
    assert said == ["Batch: 16 images fit"]
    assert (some.size, how.accumulate, size.tried) == (16, 1, (16,))
    for old, new in zip(before, logits.get_weights(), strict=True):
        assert np.array_equal(old, new)
    fresh = keras.optimizers.AdamW()
    assert int(ready.optimizer.iterations) == int(fresh.iterations) == 0
    moments = [variable for variable in ready.optimizer.variables if "momentum" in variable.path]
    assert moments
    assert all(not keras.ops.convert_to_numpy(variable).any() for variable in moments)


def test_training_after_a_trial_is_as_without_it(logits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings("all", "adamw", 0.01, 2, 5, progress=False)
    some, start = batches(), logits.get_weights()
    held_out = HeldOut(lambda first, behind: some[0][0][first:behind], np.zeros(8, int))
    losses = []
    for kind in ("CPU", "GPU"):
        logits.set_weights(start)
        monkeypatch.setattr(fits.devices, "available", lambda kind=kind: (kind, 1))
        found, how, ready, _ = fitted(logits, some, settings, Memo(), lambda text: None)
        losses.append([row["loss"] for row in fit(logits, found, held_out, how, ready=ready)[1:]])
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_without_a_gpu_nothing_is_tried_and_that_is_said(logits: Any) -> None:
    said: list[str] = []
    settings = Settings("all", "adamw", 0.01, 2, 5, accumulate=2, progress=False)
    some, how, ready, size = fitted(logits, batches(), settings, Memo(), said.append)
    assert (some.size, how.accumulate, ready, size.tried) == (16, 2, None, ())
    assert said == ["Batch: 16 images; not tried, as there is no GPU"]


def test_a_run_that_goes_on_does_not_try_again(logits: Any, tmp_path: Path) -> None:
    settings = Settings("all", "adamw", 0.01, 2, 5, progress=False)
    fitted(logits, batches(), settings, Memo(tmp_path / "batch.json"), lambda text: None, step=Device(most=4))
    device, said = Device(most=0), []
    some, how, _, size = fitted(logits, batches(), settings, Memo(tmp_path / "batch.json"), said.append, step=device)
    assert (some.size, how.accumulate, size.tried) == (4, 4, (16, 8, 4))
    assert (device.steps, said) == ([], [])
    (tmp_path / "batch.json").write_text("{")
    with pytest.raises(FormatError, match=r"batch\.json: damaged"):
        fitted(logits, batches(), settings, Memo(tmp_path / "batch.json"), said.append)


def test_batches_of_another_size_hold_the_same_images() -> None:
    sixteen = batches(16)
    four = sixteen.resized(4)
    assert (len(sixteen), len(four)) == (4, 16)
    assert np.array_equal(sixteen[0][0], np.concatenate([four[number][0] for number in range(4)]))
