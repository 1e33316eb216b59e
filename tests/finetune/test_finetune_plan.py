"""What is trained, how, and why: the choices of a plan."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from zoo.errors import UsageError
from zoo.finetune import cuts
from zoo.finetune.augment import kinds_of
from zoo.finetune.data import Dataset, Skipped
from zoo.finetune.decide import make, tenth_of_scratch
from zoo.finetune.plan import Plan
from zoo.finetune.situation import Situation
from zoo.finetune.wishes import Wishes
from zoo.schema import Training

GIB = 2**30
UNLIKE: Any = SimpleNamespace(verdict="unlike", sentence="a middle layer tells them apart better", logme=0.1, probe=0.4)


def plan_for(network: Any, images: int, *, classes: int = 5, **wishes: Any) -> Plan:
    situation = {key: wishes.pop(key) for key in ("room", "likeness", "labels", "speed", "old") if key in wishes}
    labels = situation.pop("labels", np.arange(images) % classes)
    dataset = Dataset(
        "pets",
        tuple("abcdefghij"[:classes]),
        tuple(map(str, range(images))),
        labels,
        np.array([[40 + i % 7, 30] for i in range(images)]),
        tuple(map(str, range(images))),
        skipped=(Skipped("a/cut.jpg", "damaged: truncated"),),
        notes=("two images are copies",),
    )
    held_out = images // 5
    rmsprop = Training(optimizer="rmsprop", learning_rate=0.016, batch_size=256)
    sizes = (images - held_out, held_out, 0)
    return make(Situation(dataset, sizes, network, "small", rmsprop, **situation), Wishes.of(wishes))


@pytest.mark.parametrize(
    ("images", "strategy"), [(60, "linear"), (999, "linear"), (1000, "blocks"), (4999, "blocks"), (5000, "all")]
)
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
    assert cuts.choose(network, 0.5) == "add2"
    assert cuts.choose(network, 0.25) == "relu3"
    assert cuts.choose(network, 0.75) == "relu1"


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
    assert Plan.from_json(read) == plan


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
        ({"strategy": "most"}, "auto, linear, head, blocks, all"),
        ({"epochs": 0}, "at least 1"),
        ({"batch_size": -1}, "at least 1"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"learning_rate": float("nan")}, "above 0"),
        ({"seed": -1}, "at least 0"),
        ({"seed": 2**32}, "at most 4294967295"),
        ({"ema": 1.0}, "at most 0.99999"),
        ({"learning_rate": float("inf")}, r"at most 1e\+12"),
        ({"epoch": 3}, "did you mean epochs"),
        ({"layer_decay": 1.5}, "at most 1"),
        ({"augment": "flip,spin"}, "translate, rotate, crop"),
        ({"strategy": "head", "freeze_until": "conv2"}, "leave one out"),
        ({"strategy": "linear", "keep_classes": True}, "strategy='head'"),
    ],
)
def test_impossible_wishes_are_refused_with_what_is_allowed(wishes: dict[str, Any], allowed: str) -> None:
    with pytest.raises(UsageError, match=allowed):
        plan_for(None, 60, **wishes) if "augment" not in wishes else kinds_of(wishes["augment"])


def test_few_images_of_one_class_are_few(network: Any) -> None:
    labels = np.array([0] * 1995 + [1] * 5)
    plan = plan_for(network, 2000, classes=2, labels=labels)
    assert plan.strategy == "linear"
    assert "only 5 images of the smallest class" in plan.reasons["strategy"]


def test_images_unlike_those_it_knows_change_all_layers(network: Any) -> None:
    plan = plan_for(network, 2000, likeness=UNLIKE)
    assert (plan.strategy, plan.batch_norm, plan.layer_decay) == ("all", "trained", 0.9)
    assert "middle layer" in str(plan)


def test_rare_classes_weigh_more_and_the_mean_weight_of_an_image_is_one(network: Any) -> None:
    labels = np.array([0] * 1600 + [1] * 400)
    plan = plan_for(network, 2000, classes=2, labels=labels)
    assert plan.class_weights is not None
    assert plan.class_weights[1] / plan.class_weights[0] == pytest.approx(2, rel=1e-3)
    assert np.mean(np.array(plan.class_weights)[labels]) == pytest.approx(1, rel=1e-3)
    assert plan_for(network, 2000, classes=2, labels=labels, class_weights="none").class_weights is None
    assert plan_for(network, 2000).class_weights is None


@pytest.mark.parametrize(
    ("until", "strategy", "cut"),
    [("none", "all", None), ("all", "head", None), ("add2", "blocks", "add2"), ("relu", "blocks", "relu3")],
)
def test_freeze_until_names_a_layer_or_a_block(network: Any, until: str, strategy: str, cut: str | None) -> None:
    plan = plan_for(network, 2000, freeze_until=until)
    assert (plan.strategy, plan.cut) == (strategy, cut)


def test_a_layer_inside_a_residual_block_cannot_be_cut_at(network: Any) -> None:
    with pytest.raises(UsageError, match=r"freeze_until='conv2'.*cannot be cut there.*it can after"):
        plan_for(network, 2000, freeze_until="conv2")
    with pytest.raises(UsageError, match="no such layer or block"):
        plan_for(network, 2000, freeze_until="stage9")


def test_blocks_are_numbered_from_the_output(network: Any) -> None:
    numbers = cuts.blocks(network)
    assert numbers["fc"] == 0
    assert numbers["conv2"] == numbers["bn2"]
    assert numbers["conv1"] > numbers["conv2"] > numbers["conv3"] > numbers["conv4"]


def test_the_expected_time_grows_with_what_is_trained(network: Any) -> None:
    times = [plan_for(network, 2000, strategy=name, speed=50.0).seconds for name in ("linear", "blocks", "all")]
    assert times == sorted(times)  # type: ignore[type-var]
    assert re.search("expected time +about", str(plan_for(network, 2000, speed=50.0)))


def test_a_batch_is_no_larger_than_the_images_and_the_rate_follows_it(network: Any) -> None:
    plan = plan_for(network, 2000, batch_size=5000)
    assert plan.batch_size == plan.training == 1600
    assert "5000 were asked for" in plan.reasons["batch_size"]
    assert "at batch 1600" in plan.reasons["learning_rate"]


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("linear", "layer_decay, schedule, dropout, sampling, cutmix"),
        ("head", "layer_decay, cutmix"),
        ("blocks", "cutmix"),
        ("all", None),
    ],
)
def test_what_a_strategy_has_no_use_for_is_named(network: Any, strategy: str, said: str | None) -> None:
    wishes = {"cutmix": 0.5, "sampling": "balanced", "schedule": "one-cycle", "dropout": 0.5, "layer_decay": 0.5}
    plan = plan_for(network, 60, strategy=strategy, **wishes)
    told = [note for note in plan.notes if "not used" in note]
    assert told == ([] if said is None else [f"{said}: not used with strategy={strategy!r}; 'all' uses it"])
    assert "not used" not in str(plan_for(network, 60, strategy=strategy))


def test_classes_can_be_kept_only_where_they_have_names(network: Any) -> None:
    with pytest.raises(UsageError, match="does not name its classes"):
        plan_for(network, 60, keep_classes=True)
    plan = plan_for(network, 60, keep_classes=True, old=["x", "y"])
    assert (plan.strategy, plan.keep_classes) == ("head", ["x", "y"])


def test_many_images_get_mixup_and_an_average(network: Any) -> None:
    plan = plan_for(network, 30000)
    assert (plan.strategy, plan.mixup, plan.ema) == ("all", 0.1, 0.999)
    assert plan_for(network, 6000).mixup is None
