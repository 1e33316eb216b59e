from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from zoo.errors import UsageError
from zoo.finetune.data import Dataset, Skipped
from zoo.finetune.plan import Plan, Wishes, choose_cut, make, tenth_of_scratch
from zoo.schema import Training

GIB = 2**30


def plan_for(network: Any, images: int, room: int = 8 * GIB, **wishes: Any) -> Plan:
    labels = np.arange(images) % 5
    dataset = Dataset(
        "pets",
        tuple("abcde"),
        tuple(map(str, range(images))),
        labels,
        np.array([[40 + i % 7, 30] for i in range(images)]),
        tuple(map(str, range(images))),
        skipped=(Skipped("a/cut.jpg", "damaged: truncated"),),
    )
    held_out = images // 5
    rmsprop = Training(optimizer="rmsprop", learning_rate=0.016, batch_size=256)
    return make(
        dataset,
        (images - held_out, held_out),
        Wishes(**wishes),
        model=network,
        name="small",
        scratch_training=rmsprop,
        precision=None,
        room=room,
    )


@pytest.mark.parametrize(("images", "strategy"), [(60, "linear"), (999, "linear"), (1000, "blocks"), (5000, "blocks")])
def test_the_number_of_images_decides(network: Any, images: int, strategy: str) -> None:
    assert plan_for(network, images).strategy == strategy


def test_the_strategy_asked_for_is_taken(network: Any) -> None:
    assert plan_for(network, 60, strategy="blocks").strategy == "blocks"
    assert plan_for(network, 5000, strategy="linear").strategy == "linear"


def test_the_rate_is_a_tenth_of_the_rate_from_scratch_at_this_batch() -> None:
    optimizer, rate, why = tenth_of_scratch(Training(optimizer="rmsprop", learning_rate=0.016, batch_size=256), 32)
    assert (optimizer, rate) == ("adamw", pytest.approx(0.016 / 8 / 10))
    assert "rmsprop 0.016 for 256" in why
    optimizer, rate, why = tenth_of_scratch(Training(optimizer="sgd", learning_rate=0.4, batch_size=1024), 64)
    assert (optimizer, rate) == ("sgd", pytest.approx(0.4 / 16 / 10))
    optimizer, rate, why = tenth_of_scratch(None, 32)
    assert (optimizer, rate) == ("sgd", pytest.approx(0.1 / 8 / 10))
    assert "not known" in why


def test_what_is_asked_for_overrides_what_would_be_chosen(network: Any) -> None:
    plan = plan_for(network, 2000, epochs=3, batch_size=8, learning_rate=0.5, augment=False)
    assert (plan.epochs, plan.batch_size, plan.learning_rate) == (3, 8, 0.5)
    assert (plan.augmentation, plan.views) == ((), 0)
    assert plan.reasons["learning_rate"] == "as asked"


def test_the_cut_leaves_at_least_the_share_above_and_stands_before_a_layer_with_weights(network: Any) -> None:
    assert choose_cut(network, 0.5) == "add2"
    assert choose_cut(network, 0.25) == "relu3"
    assert choose_cut(network, 0.75) == "relu1"


def test_the_plan_names_the_layers_and_gives_reasons(network: Any) -> None:
    plan = plan_for(network, 2000)
    text = str(plan)
    assert "all after 'add2', with a new softmax layer in place of 'fc'" in text
    assert "tenth of its rmsprop 0.016" in text
    assert "a/cut.jpg: damaged: truncated" in text
    assert "5, with 400 to 400 images" in text
    for key in ("strategy", "trained", "frozen", "learning_rate", "epochs", "augmentation", "batch_norm", "precision"):
        assert plan.reasons[key]
        assert plan.reasons[key] in text


def test_the_plan_survives_json(network: Any) -> None:
    plan = plan_for(network, 2000)
    read = json.loads(json.dumps(plan.as_json(), allow_nan=False))
    assert Plan(**{**read, "augmentation": tuple(read["augmentation"])}) == plan


def test_views_are_dropped_and_then_the_cache_when_there_is_no_room(network: Any) -> None:
    one = 11 * 11 * 8 * 2
    all_views = plan_for(network, 2000)
    assert (all_views.views, all_views.cached) == (4, True)
    assert plan_for(network, 2000, room=one * (1600 * 5 + 400)).views == 4
    fewer = plan_for(network, 2000, room=one * (1600 * 3 + 400))
    assert (fewer.views, fewer.cached) == (2, True)
    none = plan_for(network, 2000, room=one * 1600)
    assert (none.views, none.cached) == (4, False)
    assert "computed again" in str(none)


def test_mixed_precision_without_a_gpu_is_refused(network: Any) -> None:
    assert plan_for(network, 2000).precision == "float32"
    with pytest.raises(UsageError, match="needs a GPU"):
        plan_for(network, 2000, mixed_precision=True)


@pytest.mark.parametrize(
    ("wishes", "allowed"),
    [
        ({"strategy": "all"}, "auto, linear, head, blocks"),
        ({"epochs": 0}, "at least 1"),
        ({"batch_size": -1}, "at least 1"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"learning_rate": float("nan")}, "above 0"),
        ({"seed": -1}, "at least 0"),
    ],
)
def test_impossible_wishes_are_refused_with_what_is_allowed(wishes: dict[str, Any], allowed: str) -> None:
    with pytest.raises(UsageError, match=allowed):
        Wishes(**wishes).check()
