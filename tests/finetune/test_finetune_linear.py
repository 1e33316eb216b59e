from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from zoo.finetune import linear


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))  # they come writer by writer
    return pixels[order].astype(np.float32), labels[order]


def probabilities(solution: linear.Solution, features: dict[str, np.ndarray]) -> np.ndarray:
    scores = np.concatenate([features[name] for name in solution.groups], axis=1) @ solution.kernel + solution.bias
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def test_it_is_as_good_as_scikit_learn_and_its_estimate_is_honest(digits: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn.linear_model import LogisticRegression

    pixels, labels = digits
    solution = linear.solve({"pixels": pixels[None, :400]}, labels[:400], 10, [(0,)], seed=0)
    answers = probabilities(solution, {"pixels": pixels[400:]})
    accuracy = (answers.argmax(axis=1) == labels[400:]).mean()
    plain = (
        LogisticRegression(max_iter=2000).fit(pixels[:400] / 16, labels[:400]).score(pixels[400:] / 16, labels[400:])
    )
    assert accuracy > plain - 0.015
    assert solution.score is not None
    assert solution.score.folds == 5
    assert abs(solution.score.mean - accuracy) < 0.06
    # calibrated: as sure as it is right
    assert abs(answers.max(axis=1).mean() - accuracy) < 0.06


def test_two_classes_give_two_probabilities(digits: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, labels = digits
    two = labels < 2
    solution = linear.solve({"pixels": pixels[two][None, :60]}, labels[two][:60], 2, [(0,)], seed=0)
    assert solution.kernel.shape == (64, 2)
    answers = probabilities(solution, {"pixels": pixels[two][60:]})
    assert (answers.argmax(axis=1) == labels[two][60:]).mean() > 0.97


def test_views_that_mislead_are_left_out(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """Upside-down pixels under the same label harm; shifted ones do not."""
    pixels, labels = digits[0][:300], digits[1][:300]
    grid = pixels.reshape(-1, 8, 8)
    shifted = np.roll(grid, 1, axis=1).reshape(-1, 64)
    misleading = np.roll(pixels, 1, axis=0)
    views = np.stack([pixels, shifted, misleading])
    chosen, compared = linear.best_views(views, labels, 10, [(0, 1), (0, 1, 2)], seed=0)
    assert chosen == (0, 1)
    assert compared["2 views"] > compared["3 views"]


def test_a_second_group_of_features_is_used_when_it_helps(digits: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, labels = digits[0][:200], digits[1][:200]
    features = {"top rows": pixels[None, :, :24], "all": pixels[None]}
    assert linear.solve(features, labels, 10, [(0,)], seed=0).groups == ("top rows", "all")


def test_with_few_images_the_average_of_near_equal_choices_beats_the_best_of_them(
    digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, labels = digits
    noisy = pixels + np.random.default_rng(1).normal(0, 4, pixels.shape).astype(np.float32)
    features = {"pixels": noisy, "lower half": noisy[:, 32:]}

    def right(seed: int) -> float:
        generator = np.random.default_rng(seed)
        rows = np.concatenate([generator.permutation(np.flatnonzero(labels == digit))[:5] for digit in range(10)])
        few = {name: array[None, rows] for name, array in features.items()}
        solution = linear.solve(few, labels[rows], 10, [(0,)], seed=seed)
        assert solution.averaged <= linear.MOST
        return float((probabilities(solution, features).argmax(axis=1) == labels).mean())

    averaged = np.mean([right(seed) for seed in range(4)])
    monkeypatch.setattr(linear, "MOST", 1)
    assert averaged > np.mean([right(seed) for seed in range(4)])


def test_choices_that_are_clearly_worse_are_not_averaged() -> None:
    good, near, bad = (linear._Choice(("a",), "logistic", strength, (0,)) for strength in (1.0, 10.0, 0.1))
    assert linear._near(good, {near: 0.79, good: 0.8, bad: 0.7}, images=100) == [good, near]
    assert linear._near(good, {near: 0.79, good: 0.8, bad: 0.7}, images=10000) == [good]


def test_a_class_with_a_single_image_is_still_learnt(digits: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, labels = digits
    rows = np.concatenate(
        [np.flatnonzero(labels == 0)[:8], np.flatnonzero(labels == 1)[:8], np.flatnonzero(labels == 2)[:1]]
    )
    solution = linear.solve({"pixels": pixels[None, rows]}, labels[rows], 3, [(0,)], seed=0)
    assert solution.score is not None
    assert (probabilities(solution, {"pixels": pixels[rows]}).argmax(axis=1) == labels[rows]).all()


def test_one_image_per_class_needs_no_cross_validation(digits: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, labels = digits
    rows = np.array([np.flatnonzero(labels == digit)[0] for digit in range(10)])
    solution = linear.solve({"pixels": pixels[None, rows]}, labels[rows], 10, [(0,)], seed=0)
    assert solution.score is None
    assert (probabilities(solution, {"pixels": pixels[rows]}).argmax(axis=1) == labels[rows]).all()
