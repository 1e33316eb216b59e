"""A linear classifier on cached features: kind, strength, features and views chosen by stratified cross-validation.

Choices that cross-validation cannot tell apart are averaged: with few images the best of them is best by chance, and
the sum of linear classifiers is one of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["logistic", "svm"]

STRENGTHS: dict[Kind, tuple[float, ...]] = {"logistic": (0.1, 1.0, 10.0), "svm": (0.01, 0.1)}
"""Values of scikit-learn's C; small ones hold the weights down."""
FOLDS = 5
SAMPLE = 1500
"""Most images that are cross-validated on."""
MOST = 8
"""Most choices that are averaged."""
NORM = 10.0
"""Length of an average feature vector after scaling, so that one range of C fits every network."""


@dataclass(frozen=True)
class Score:
    """Cross-validated accuracy: mean and standard deviation over the folds."""

    mean: float
    deviation: float
    folds: int


@dataclass(frozen=True)
class Solution:
    """A solved classifier: `softmax(concatenated raw features @ kernel + bias)`.

    Args:
        groups: names of the feature groups it reads, in order.
        kernel: (features, classes) float32, scaling and temperature folded in.
        bias: (classes,) float32.
        kind: logistic regression or linear SVM; of the best choice, as strength, temperature and views are.
        strength: scikit-learn's C.
        temperature: what the scores were divided by to make honest probabilities.
        views: which views were trained on.
        score: of the classifier; None when there are too few images to cross-validate.
        tried: every choice compared, with its score.
        averaged: how many of them the classifier is the average of.
    """

    groups: tuple[str, ...]
    kernel: np.ndarray
    bias: np.ndarray
    kind: Kind
    strength: float
    temperature: float
    views: tuple[int, ...]
    score: Score | None
    tried: list[dict[str, Any]]
    averaged: int


@dataclass(frozen=True)
class _Choice:
    groups: tuple[str, ...]
    kind: Kind
    strength: float
    views: tuple[int, ...]

    def told(self, score: Score) -> dict[str, Any]:
        """For metrics.json."""
        return {
            "features": list(self.groups),
            "classifier": self.kind,
            "C": self.strength,
            "views": len(self.views),
            "accuracy": round(score.mean, 4),
            "deviation": round(score.deviation, 4),
        }


def solve(
    features: dict[str, np.ndarray], labels: np.ndarray, classes: int, view_sets: Sequence[tuple[int, ...]], seed: int
) -> Solution:
    """Chooses and fits a linear classifier.

    Args:
        features: name -> (views, n, f); the first is what enters the network's own classifier.
        labels: (n,) integers.
        classes: number of classes.
        view_sets: sets of views to choose from, the plain one `(0,)` first.
        seed: decides the folds.
    """
    names = tuple(features)
    sample = subset(labels, seed)
    folds = _folds(labels[sample], seed)
    if not folds:
        choice = _Choice(names, "logistic", 10.0, view_sets[-1])
        kernel, bias = _fit(choice, features, labels, np.arange(len(labels)), classes)
        return Solution(names, kernel, bias, choice.kind, choice.strength, 1.0, choice.views, None, [], 1)
    some = {name: array[:, sample] for name, array in features.items()}
    group_sets = [names[:1], names] if len(names) > 1 else [names]
    tried: dict[_Choice, tuple[Score, np.ndarray]] = {}

    def best_of(choices: list[_Choice]) -> _Choice:
        for choice in choices:
            if choice not in tried:
                tried[choice] = _validate(choice, some, labels[sample], folds, classes)
        # Of equals the last: more views, or more shrinkage.
        return max(reversed(choices), key=lambda choice: tried[choice][0].mean)

    plain = view_sets[0]
    best = best_of(
        [_Choice(groups, "logistic", c, plain) for groups in group_sets for c in STRENGTHS["logistic"][::-1]]
    )
    # The SVM without views: with them it takes minutes and gains nothing over logistic regression with them.
    machines = [_Choice(best.groups, "svm", c, plain) for c in STRENGTHS["svm"][::-1]]
    best = best_of(machines + [_Choice(best.groups, "logistic", best.strength, views) for views in view_sets])
    chosen = _near(best, {choice: score.mean for choice, (score, _) in tried.items()}, len(sample))
    kernel, bias, scores, temperature = _average(
        {choice: tried[choice][1] for choice in chosen}, features, labels, labels[sample], classes
    )
    return Solution(
        tuple(name for name in names if any(name in choice.groups for choice in chosen)),
        kernel.astype(np.float32),
        bias.astype(np.float32),
        best.kind,
        best.strength,
        temperature,
        best.views,
        _scored(scores, labels[sample], folds),
        [choice.told(found) for choice, (found, _) in tried.items()],
        len(chosen),
    )


def _near(best: _Choice, means: dict[_Choice, float], images: int) -> list[_Choice]:
    """Returns the best choice and those whose accuracy is within one standard error of its own, best first."""
    top = means[best]
    least = top - float(np.sqrt(top * (1 - top) / images))
    others = [choice for choice in means if choice != best and means[choice] >= least]
    return [best, *sorted(others, key=lambda choice: -means[choice])][:MOST]


def _average(
    held_out: dict[_Choice, np.ndarray],
    features: dict[str, np.ndarray],
    labels: np.ndarray,
    sampled: np.ndarray,
    classes: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Fits every choice and averages them, each divided by its temperature so that one is as sure as another.

    Args:
        held_out: choice -> (n, classes) cross-validated scores.
        features: name -> (views, n, f).
        labels: of the features.
        sampled: labels of the scores.
        classes: number of classes.

    Returns:
        Kernel over the features of all groups that any choice reads, bias, the average's own cross-validated scores,
        and the temperature of the first choice.
    """
    used = [name for name in features if any(name in choice.groups for choice in held_out)]
    kernels = {name: np.zeros((features[name].shape[-1], classes)) for name in used}
    bias, scores = np.zeros(classes), np.zeros((len(sampled), classes))
    temperatures: list[float] = []
    for choice, found in held_out.items():
        seen = ~np.isnan(found[:, 0])
        temperatures.append(_temperature(found[seen], sampled[seen]))
        share = 1 / (temperatures[-1] * len(held_out))
        kernel, offset = _fit(choice, features, labels, np.arange(len(labels)), classes)
        first = 0
        for name in choice.groups:
            behind = first + features[name].shape[-1]
            kernels[name] += kernel[first:behind] * share
            first = behind
        bias, scores = bias + offset * share, scores + found * share
    seen = ~np.isnan(scores[:, 0])
    rest = _temperature(scores[seen], sampled[seen])
    return np.concatenate([kernels[name] for name in used]) / rest, bias / rest, scores, temperatures[0] * rest


def _scored(scores: np.ndarray, labels: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]]) -> Score:
    right = scores.argmax(axis=1) == labels
    accuracies = [float(right[held_out].mean()) for _, held_out in folds]
    return Score(float(np.mean(accuracies)), float(np.std(accuracies)), len(folds))


def best_views(
    features: np.ndarray, labels: np.ndarray, classes: int, view_sets: Sequence[tuple[int, ...]], seed: int
) -> tuple[tuple[int, ...], dict[str, float]]:
    """Returns the set of views whose linear classifier cross-validates best, and the accuracy of each set by its size.

    Args:
        features: (views, n, f).
        labels: (n,) integers.
        classes: number of classes.
        view_sets: sets of views; of equals the last is taken.
        seed: decides the folds.
    """
    sample = subset(labels, seed, SAMPLE // 2)
    folds = _folds(labels[sample], seed)
    if not folds or len(view_sets) == 1:
        return view_sets[-1], {}
    some = {"features": features[:, sample]}
    means = {}
    for views in view_sets:
        choice = _Choice(("features",), "logistic", 10.0, views)
        means[views] = _validate(choice, some, labels[sample], folds[:3], classes)[0].mean
    best = max(reversed(view_sets), key=lambda views: means[views])
    return best, {f"{len(views)} view{'s' * (len(views) > 1)}": round(mean, 4) for views, mean in means.items()}


def probe(features: np.ndarray, labels: np.ndarray, classes: int, seed: int) -> Score | None:
    """Returns the accuracy of one logistic regression, cross-validated; None where no class has two images.

    Args:
        features: (n, f).
        labels: (n,) integers.
        classes: number of classes.
        seed: decides the folds.
    """
    folds = _folds(labels, seed)
    if not folds:
        return None
    choice = _Choice(("features",), "logistic", 10.0, (0,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # scikit-learn wonders about many classes with few images each
        return _validate(choice, {"features": features[None]}, labels, folds, classes)[0]


def scaling(groups: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns (mean, scale) over the features of all groups: centred, each group of one average length.

    One scale per group, not per feature: with few images a feature's own deviation is mostly chance, and dividing by
    it costs several points.
    """
    means = [group.mean(axis=0, dtype=np.float64) for group in groups]
    scales = []
    for group, mean in zip(groups, means, strict=True):
        length = np.sqrt(((group - mean) ** 2).sum(axis=1, dtype=np.float64).mean() * len(groups))
        scales.append(np.full(mean.shape, NORM / max(length, 1e-12)))
    return np.concatenate(means), np.concatenate(scales)


def _fit(
    choice: _Choice, features: dict[str, np.ndarray], labels: np.ndarray, rows: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fits on some images; returns kernel and bias for raw features."""
    groups = [np.concatenate([features[name][view][rows] for view in choice.views]) for name in choice.groups]
    mean, scale = scaling(groups)
    inputs = ((np.concatenate(groups, axis=1) - mean) * scale).astype(np.float32)
    weights, bias = _estimate(choice, inputs, np.tile(labels[rows], len(choice.views)), classes)
    kernel = scale[:, None] * weights
    return kernel, bias - mean @ kernel


def _estimate(choice: _Choice, inputs: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC
    from threadpoolctl import threadpool_limits

    strength = choice.strength / len(choice.views)  # the loss is a sum over views
    model = (
        LogisticRegression(C=strength, max_iter=300)
        if choice.kind == "logistic"
        else LinearSVC(C=strength, random_state=0, max_iter=500, tol=1e-3)
    )
    # Matrices this small gain nothing from threads, and lose much when threads wait for each other.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits decide no image
        # With fewer images than features, the images span all that the weights can be: solved in that span, faster.
        span = _span(inputs) if len(inputs) < inputs.shape[1] else None
        model.fit(inputs if span is None else inputs @ span, labels)
    weights, bias = model.coef_.T.astype(np.float64), np.asarray(model.intercept_, np.float64)
    if span is not None:
        weights = span @ weights
    if classes == 2:  # scikit-learn keeps the difference of two classes only
        weights, bias = np.concatenate([-weights, weights], axis=1) / 2, np.concatenate([-bias, bias]) / 2
    return weights, bias


def _span(inputs: np.ndarray) -> np.ndarray:
    """Returns an orthonormal basis (features, rank) of the rows, from their products with each other."""
    rows = inputs.astype(np.float64)
    values, vectors = np.linalg.eigh(rows @ rows.T)
    kept = values > values[-1] * 1e-10
    basis: np.ndarray = rows.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    return basis


def _validate(
    choice: _Choice,
    features: dict[str, np.ndarray],
    labels: np.ndarray,
    folds: list[tuple[np.ndarray, np.ndarray]],
    classes: int,
) -> tuple[Score, np.ndarray]:
    """Returns accuracy on the images themselves, and their scores from the fold that did not see them."""
    scores = np.full((len(labels), classes), np.nan)
    for training, held_out in folds:
        kernel, bias = _fit(choice, features, labels, training, classes)
        inputs = np.concatenate([features[name][0][held_out] for name in choice.groups], axis=1)
        scores[held_out] = inputs @ kernel + bias
    return _scored(scores, labels, folds), scores


def _temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns what to divide scores by so that probabilities match how often the answer is right; 1 if it always is."""
    if (scores.argmax(axis=1) == labels).all():
        return 1.0  # nothing would bound how sure the classifier may be
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        scaled = scores / temperature
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, labels]).mean())

    return float(min(np.geomspace(1 / 64, 64, 241), key=loss))


def _folds(labels: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds: (training, held out). A class's only image is always trained on; none if all are such."""
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(labels)
    several = np.flatnonzero(counts[labels] > 1)
    if not len(several):
        return []
    alone = np.flatnonzero(counts[labels] == 1)
    splitter = StratifiedKFold(min(FOLDS, int(counts.max())), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer images than folds is held out in some of them only, and is never without one to train on.
        warnings.simplefilter("ignore", UserWarning)
        splits = list(splitter.split(several, labels[several]))
    return [(np.concatenate([several[training], alone]), several[held_out]) for training, held_out in splits]


def subset(labels: np.ndarray, seed: int, size: int = SAMPLE) -> np.ndarray:
    """Positions of at most `size` images, every class by its share."""
    if len(labels) <= size:
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        chosen.append(members[: max(2, round(size * len(members) / len(labels)))])
    return np.sort(np.concatenate(chosen))
