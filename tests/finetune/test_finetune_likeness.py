"""LogME against the formula it stands for, and the verdict on features of known worth."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.finetune.likeness import logme, measure


def clouds(
    apart: float, *, images: int = 120, classes: int = 4, width: int = 30, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Points around class means that lie `apart` noise levels from each other."""
    generator = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    means = generator.normal(size=(classes, width)) * apart / np.sqrt(2 * width)
    return means[labels] + generator.normal(size=(images, width)), labels


def direct(features: np.ndarray, target: np.ndarray) -> float:
    """The highest log density of y ~ N(0, I / beta + F F' / alpha), searched on a grid that narrows."""
    n = len(target)
    gram = features @ features.T
    best, centre, step = -np.inf, (0.0, 0.0), 2.0
    while step > 1e-3:
        found = best
        for a in np.arange(-4, 5) * step + centre[0]:
            for b in np.arange(-4, 5) * step + centre[1]:
                covariance = np.eye(n) * np.exp(-b) + gram * np.exp(-a)
                _, determinant = np.linalg.slogdet(covariance)
                value = -0.5 * (n * np.log(2 * np.pi) + determinant + target @ np.linalg.solve(covariance, target))
                if value > best:
                    best, at = value, (a, b)
        if best > found:
            centre = at
        else:
            step /= 3
    return best / n


@pytest.mark.parametrize(("images", "width"), [(40, 12), (24, 60)])
@pytest.mark.parametrize("apart", [0.5, 2.0])
def test_logme_is_the_highest_evidence_of_a_bayesian_linear_model(images: int, width: int, apart: float) -> None:
    features, labels = clouds(apart, images=images, classes=3, width=width)
    slow = np.mean([direct(features, (labels == label).astype(float)) for label in range(3)])
    assert logme(features, labels) == pytest.approx(slow, abs=2e-4)


def test_logme_grows_with_what_the_features_tell() -> None:
    worth = [logme(*clouds(apart)) for apart in (0.0, 1.0, 2.0, 4.0, 8.0)]
    assert worth == sorted(worth)
    assert worth[-1] - worth[0] > 0.3


def test_features_of_noise_lose_whatever_their_number() -> None:
    few, labels = clouds(6.0, width=10)
    noise = np.random.default_rng(1).normal(size=(len(few), 400))
    assert logme(few, labels) > logme(np.concatenate([few, noise], axis=1), labels) > logme(noise, labels)


def test_logme_asks_neither_for_the_scale_nor_for_the_numbers_of_classes() -> None:
    features, labels = clouds(2.0)
    plain = logme(features, labels)
    assert logme(1e6 * features, labels) == pytest.approx(plain, rel=1e-9)
    assert logme(1e-6 * features.astype(np.float32), labels) == pytest.approx(plain, rel=1e-5)
    assert logme(features, np.array([2, 0, 3, 1])[labels]) == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("kind", ["zeros", "one value", "copies", "perfect", "one image a class", "huge"])
def test_logme_is_a_number_for_odd_features(kind: str) -> None:
    features, labels = clouds(1.0, images=30, width=50)
    odd = {
        "zeros": np.zeros_like(features),
        "one value": np.ones_like(features),
        "copies": np.repeat(features[:, :1], 50, axis=1),
        "perfect": np.eye(4)[labels],
        "one image a class": features[:4],
        "huge": 1e30 * features,
    }[kind]
    value = logme(odd, labels[: len(odd)])
    assert np.isfinite(value)
    if kind == "perfect":
        assert value > logme(features, labels) + 1


def test_data_are_like_where_the_deepest_features_win_and_a_classifier_is_good() -> None:
    deep, labels = clouds(9.0)
    low, _ = clouds(1.0)
    found = measure({"bottleneck": deep, "block2": low}, labels)
    assert found is not None
    assert (found.verdict, found.chance, found.images) == ("like", 0.25, 120)
    assert found.probe == found.by_depth["bottleneck"] > found.by_depth["block2"]
    assert found.probe > 0.25 + 0.8 * 0.75
    assert f"is right for {found.probe:.0%} of 120 images, cross-validated; guessing 25%" in found.sentence


def test_data_are_unlike_where_an_earlier_layer_wins() -> None:
    (deep, labels), (low, _) = clouds(4.5), clouds(9.0)
    found = measure({"bottleneck": deep, "block2": low, "block1": deep}, labels)
    assert found is not None
    assert found.verdict == "unlike"
    assert found.sentence.startswith("features of 'block2' tell the classes apart better than the deepest")


def test_data_are_unlike_where_nothing_tells_them_apart() -> None:
    features, labels = clouds(1.0)
    found = measure({"bottleneck": features}, labels)
    assert found is not None
    assert found.verdict == "unlike"
    assert "right for no more than" in found.sentence


def test_an_accuracy_that_guessing_the_largest_class_reaches_is_no_likeness() -> None:
    generator = np.random.default_rng(0)
    labels = np.array([0] * 95 + [1] * 5)
    found = measure({"bottleneck": generator.normal(size=(100, 5))}, labels)
    assert found is not None
    assert found.probe > 0.9
    assert (found.chance, found.verdict) == (0.95, "unlike")


def test_the_verdict_does_not_depend_on_the_numbers_of_classes() -> None:
    (deep, labels), (low, _) = clouds(3.0), clouds(2.0)
    first, second = (
        measure({"bottleneck": deep, "block2": low}, order[labels], seed=4)
        for order in (np.arange(4), np.array([7, 3, 0, 5]))
    )
    assert first is not None
    assert second is not None
    assert second.by_depth == first.by_depth
    assert second.logme == pytest.approx(first.logme, rel=1e-12)
    assert second.sentence == first.sentence


def test_one_image_of_each_class_says_nothing() -> None:
    assert measure({"bottleneck": np.eye(3)}, np.arange(3)) is None
