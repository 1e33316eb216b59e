"""The numbers of a run, against scikit-learn and SciPy where these have them; temperature scaling."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from zoo.errors import UsageError
from zoo.finetune import calibration, metrics
from zoo.finetune.metrics import measure


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def answers(images: int, classes: int, *, temperature: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that would be exactly honest at another temperature, and labels drawn from the honest ones."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2.0, size=(images, classes))
    honest = softmax(logits)
    labels = (random.random((images, 1)) > honest.cumsum(axis=1)).sum(axis=1).clip(0, classes - 1)
    return softmax(logits / temperature).astype(np.float32), labels


def test_metrics_count_what_they_say() -> None:
    names = tuple("abcdef")
    labels = np.array([0, 0, 1, 5])
    probabilities = np.full((4, 6), 0.1)
    probabilities[[0, 1, 2], [0, 1, 1]] = 0.5
    probabilities[3] = [0.3, 0.2, 0.2, 0.2, 0.1, 0.0]
    found = measure(probabilities, labels, names)
    assert found["accuracy"] == 0.5
    assert found["balanced_accuracy"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert found["top5"] == 0.75
    assert found["per_class"]["a"] == {"images": 2, "accuracy": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert found["per_class"]["b"]["precision"] == 0.5
    assert found["per_class"]["c"] == {"images": 0, "accuracy": 0, "precision": 0, "recall": 0, "f1": 0}
    assert found["confusion"][0][:2] == [1, 1]
    assert found["confusion"][5][0] == 1


def test_they_agree_with_scikit_learn() -> None:
    from sklearn import metrics as reference

    probabilities, labels = answers(500, 7)
    found = measure(probabilities, labels, tuple("abcdefg"))
    said = probabilities.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, said))
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(labels, said))
    assert found["macro"]["f1"] == pytest.approx(reference.f1_score(labels, said, average="macro"))
    assert found["macro"]["precision"] == pytest.approx(reference.precision_score(labels, said, average="macro"))
    assert found["top5"] == pytest.approx(reference.top_k_accuracy_score(labels, probabilities, k=5))
    assert found["loss"] == pytest.approx(reference.log_loss(labels, probabilities), rel=1e-5)
    one_hot = np.eye(7)[labels]
    assert found["brier"] == pytest.approx(((probabilities - one_hot) ** 2).sum() / 500, rel=1e-5)
    each = reference.classification_report(labels, said, output_dict=True)
    for number, name in enumerate("abcdefg"):
        for own, theirs in (
            ("precision", "precision"),
            ("recall", "recall"),
            ("f1", "f1-score"),
            ("images", "support"),
        ):
            assert found["per_class"][name][own] == pytest.approx(each[str(number)][theirs])


@pytest.mark.parametrize(("right", "total"), [(0, 5), (5, 5), (93, 100), (1, 1), (400, 1000)])
def test_the_interval_is_wilsons(right: int, total: int) -> None:
    from scipy.stats import binomtest

    expected = binomtest(right, total).proportion_ci(0.95, "wilson")
    assert metrics.wilson(right, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_calibration_error_is_the_weighted_gap_of_fifteen_bins() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.95, 0.05], [0.35, 0.65]])
    labels = np.array([0, 0, 1, 1])
    assert metrics.calibration_error(probabilities, labels) == pytest.approx((3 * (0.95 - 2 / 3) + 0.35) / 4)
    filled = [entry for entry in metrics.reliability(probabilities, labels) if entry.images]
    assert [(entry.images, entry.accuracy) for entry in filled] == [(1, 1.0), (3, pytest.approx(2 / 3))]
    assert all(entry.lower < entry.confidence <= entry.upper for entry in filled)
    sure = np.array([[1.0, 0.0]])
    assert metrics.reliability(sure, np.array([0]))[-1].images == 1


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_spoilt_honest_probabilities_is_found(temperature: float) -> None:
    # Probabilities divided by `temperature` have to be multiplied again: the fit is its inverse.
    probabilities, labels = answers(4000, 5, temperature=temperature)
    found = calibration.calibrate(probabilities, labels)
    assert found.temperature == pytest.approx(1 / temperature, rel=0.1)
    assert found.error_after is not None
    assert found.error_after < found.chance[1] * 1.2
    assert found.loss_after == pytest.approx(answers_loss(probabilities, labels, 1 / temperature), abs=0.005)
    assert found.brier_after is not None
    assert found.brier_after <= found.brier_before + 1e-4
    if temperature != 1:
        assert found.error_before > 3 * found.error_after


def test_no_other_temperature_is_better() -> None:
    for seed in range(3):
        probabilities, labels = answers(200, 6, temperature=[0.05, 1.0, 20.0][seed], seed=seed)
        found = calibration.fit_temperature(probabilities, labels)
        best = answers_loss(probabilities, labels, found)
        assert all(
            best <= answers_loss(probabilities, labels, found * factor) + 1e-12 for factor in (0.5, 0.99, 1.01, 2)
        )


def answers_loss(probabilities: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    return metrics.negative_log_likelihood(calibration.scale(probabilities, temperature), labels)


def test_the_figure_after_is_not_flattered_by_fitting() -> None:
    """On few images, scaling fitted on the very images looks better than it is; the cross-fitted loss says so."""
    worse = 0
    for seed in range(10):
        probabilities, labels = answers(30, 5, seed=seed)
        found = calibration.calibrate(probabilities, labels, seed=seed)
        assert found.loss_after is not None
        worse += found.loss_after > answers_loss(probabilities, labels, found.temperature)
    assert worse >= 9


def test_without_a_mistake_there_is_no_temperature() -> None:
    probabilities = softmax(np.eye(3) * 2)
    assert calibration.fit_temperature(probabilities, np.arange(3)) == 1
    one = calibration.calibrate(probabilities[:1], np.array([1]))
    assert (one.error_after, one.loss_after, one.folds) == (None, None, 0)


def test_certain_mistakes_stay_finite() -> None:
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    temperature = calibration.fit_temperature(probabilities, np.array([0, 1, 1]))
    assert 1 < temperature <= 64
    assert np.isfinite(answers_loss(probabilities, np.array([0, 1, 1]), temperature))


def test_the_temperature_is_folded_into_the_last_layer(network: Any) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (4, 24, 24, 3)).astype(np.float32)
    before = network.predict(images, verbose=0)
    kept = [np.array(array) for array in network.get_weights()]
    cooled = calibration.apply(network, 2.5)
    assert np.allclose(cooled.predict(images, verbose=0), calibration.scale(before, 2.5), atol=1e-5)
    assert all(np.array_equal(a, b) for a, b in zip(kept, network.get_weights(), strict=True))
    assert [layer.name for layer in cooled.layers] == [layer.name for layer in network.layers]


def test_a_temperature_that_has_no_place_is_refused(network: Any) -> None:
    with pytest.raises(UsageError, match="above 0"):
        calibration.apply(network, 0)
    inputs = keras.Input((4,))
    logits = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    with pytest.raises(UsageError, match="softmax"):
        calibration.apply(logits, 2.0)
    rectified = keras.layers.Softmax()(keras.layers.Dense(3, activation="relu", name="last")(inputs))
    with pytest.raises(UsageError, match="activation of its own"):
        calibration.apply(keras.Model(inputs, rectified), 2.0)
