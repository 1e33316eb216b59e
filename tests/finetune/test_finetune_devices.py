"""Several devices: CPUs that count as several, each framework in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import keras
import pytest

from zoo.errors import UsageError
from zoo.finetune import devices
from zoo.finetune.decide import make
from zoo.finetune.devices import choose, planned, twin
from zoo.finetune.situation import Situation
from zoo.finetune.train import Settings
from zoo.finetune.wishes import Wishes

TRAIN = """
import json, os, sys
if os.environ["KERAS_BACKEND"] == "tensorflow":
    import tensorflow as tf
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
import numpy, keras
from conftest import make_network
from zoo.finetune import devices, optimize
from zoo.finetune.batches import Batches
from zoo.finetune.train import HeldOut, Settings, fit

random = numpy.random.default_rng(0)
pixels = random.uniform(0, 255, (64, 24, 24, 3)).astype(numpy.float32)
labels = random.integers(5, size=64)
found = []
for spread in (1, 2):
    network = make_network()
    # No dropout: TensorFlow's devices draw masks of their own.
    model = keras.Model(network.input, network.get_layer("fc")(network.get_layer("pool").output))
    batches = Batches(numpy.eye(5, dtype="float32")[labels], 1, lambda views, rows: pixels[rows], 16, 0,
                      weights=(1 + labels).astype(numpy.float32))
    settings = Settings(
        "all", "adamw", 0.01, 2, 5, clip_norm=0.1, ema=0.5, accumulate=int(sys.argv[1]), progress=False,
        factors=optimize.by_layer(model, 0.5, {"conv1": 1}),
    )
    held = HeldOut(lambda first, behind: pixels[first:behind], labels[:24])
    with devices.twin(model, settings, spread) as (taught, how):
        rows = fit(taught, batches, held, how)
        assert devices.spread_of(taught) == spread
    weights = [array.tolist() for array in model.get_weights()]
    found.append({"rows": rows, "weights": weights, "kernel": str(type(model.layers[2].kernel.value))})
print("FOUND" + json.dumps(found))
"""


@pytest.mark.parametrize(("backend", "accumulate"), [("tensorflow", 1), ("jax", 2)])
def test_two_devices_give_what_one_gives(python: str, backend: str, accumulate: int) -> None:
    """Gradients clipped together, class weights, layer-wise rates and the average of the weights included."""
    here = Path(__file__).parent
    environment = {
        **os.environ, "KERAS_BACKEND": backend, "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": os.pathsep.join(map(str, (here, here.parent.parent))),
    }  # fmt: skip
    done = subprocess.run(
        [python, "-c", TRAIN, str(accumulate)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = json.loads(done.stdout.partition("FOUND")[2])
    for row, other in zip(one["rows"], two["rows"], strict=True):
        assert other["val_loss"] == pytest.approx(row["val_loss"], abs=1e-4)
        assert row["epoch"] == 0 or other["loss"] == pytest.approx(row["loss"], abs=1e-4)
    assert one["rows"][0]["val_loss"] != pytest.approx(one["rows"][2]["val_loss"], abs=1e-2)
    for array, other in zip(one["weights"], two["weights"], strict=True):
        assert keras.ops.convert_to_numpy(other) == pytest.approx(keras.ops.convert_to_numpy(array), abs=1e-3)


def test_all_gpus_are_used_unless_asked_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose("auto", ("CPU", 4)) == (1, "")
    assert choose("auto", ("GPU", 4))[0] == 4
    assert choose("all", ("CPU", 4)) == choose(4, ("CPU", 4)) == choose("4", ("CPU", 4)) == (4, "as asked")
    with pytest.raises(UsageError, match=r"devices=5: .* sees 4 GPUs on this machine"):
        choose(5, ("GPU", 4))
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    assert choose("auto", ("GPU", 4))[0] == 1
    with pytest.raises(UsageError, match="not with PyTorch, which wants a process for each; set KERAS_BACKEND"):
        choose(2, ("GPU", 4))


@pytest.mark.parametrize("wish", ["some", 0, -1, True, 1.5, ""])
def test_numbers_of_devices_that_are_none_are_refused(wish: Any) -> None:
    with pytest.raises(UsageError, match=r"devices=.*: expected auto, all or a whole number"):
        Wishes.of({"devices": wish})


def test_what_tensorflow_cannot_divide_is_refused_or_left_to_one(monkeypatch: pytest.MonkeyPatch, network: Any) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(UsageError, match="accumulate=2: not on 4 devices with TensorFlow"):
        planned(Wishes(devices=4, accumulate=2), "all", ("GPU", 4), None)
    assert planned(Wishes(accumulate=2), "all", ("GPU", 4), None)[0] == 1
    assert planned(Wishes(), "all", ("GPU", 4), "mixed_float16")[0] == 1
    assert planned(Wishes(), "all", ("GPU", 4), "mixed_bfloat16")[0] == 4
    for more, said in (({"xla": True}, "xla=True"), ({"precision": "mixed_float16"}, "not with float16")):
        with (
            pytest.raises(UsageError, match=said),
            twin(network, Settings("all", "sgd", 0.1, 1, 1, **more), 2),
        ):
            pass
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert planned(Wishes(devices=4, accumulate=2), "all", ("GPU", 4), None)[0] == 4


def test_the_batch_of_a_plan_is_a_multiple_of_the_devices(few: Path, network: Any) -> None:
    from zoo.finetune.data import index

    def plan(strategy: str, **wishes: Any) -> Any:
        situation = Situation(index(few, progress=False), (40, 8, 0), network, "small", devices=("GPU", 3))
        return make(situation, Wishes.of({"strategy": strategy, **wishes}))

    assert (plan("blocks").devices, plan("blocks").batch_size) == (3, 30)
    assert "devices" in str(plan("blocks"))
    assert (plan("blocks", devices=1).devices, plan("blocks", devices=1).batch_size) == (1, 32)
    assert (plan("head").devices, plan("linear", devices=2).devices) == (1, 1)
    with pytest.raises(UsageError, match="batch_size=32: expected a multiple of 3"):
        plan("blocks", batch_size=32)


def test_one_device_trains_the_model_itself(network: Any) -> None:
    settings = Settings("all", "sgd", 0.1, 1, 1)
    with twin(network, settings, 1) as (model, how):
        assert model is network
        assert how is settings
    assert devices.available() == ("CPU", 1)
