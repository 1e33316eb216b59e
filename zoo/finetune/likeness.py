"""How well a network's own features tell the classes of a data set apart, before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from zoo.finetune import linear

ENOUGH = 0.8
"""Share of the way from guessing to no mistakes that a linear classifier has to go for data to be `like`."""
ROUNDS = 200
CLOSE = 1e-5
"""Relative change of the ratio of the two precisions at which the iteration ends."""
WIDEST = 1e12
"""The ratio is kept within this factor of the mean squared singular value, both ways: beyond, nothing changes."""


@dataclass(frozen=True)
class Likeness:
    """How like data are to what a network knows.

    Args:
        logme: LogME, nats per image and class: the log evidence of a Bayesian linear model on the features that enter
            the classifier. Higher is better; only differences between networks on the same images mean anything.
        probe: cross-validated accuracy of a linear classifier on these features.
        chance: accuracy of always answering the largest class.
        by_depth: the same accuracy on earlier features as well, by layer.
        verdict: `like` if the deepest features are not beaten by earlier ones and the classifier on them goes at least
            80 % of the way from chance to 1.
        sentence: the verdict with its numbers.
        deviation: of the accuracy over the folds.
        images: how many were looked at.
    """

    logme: float
    probe: float
    chance: float
    by_depth: dict[str, float]
    verdict: Literal["like", "unlike"]
    sentence: str
    deviation: float = 0.0
    images: int = 0


def measure(features: dict[str, np.ndarray], labels: np.ndarray, *, seed: int = 0) -> Likeness | None:
    """Compares features of a sample of the images with its classes.

    Args:
        features: name -> (n, f); the first is what enters the network's own classifier, the others lie below.
        labels: (n,) integers; not all classes need be there.
        seed: decides the folds.

    Returns:
        None where no class has two images, so that nothing can be cross-validated.
    """
    present, numbers = np.unique(labels, return_inverse=True)
    scores = {name: linear.probe(array, numbers, len(present), seed) for name, array in features.items()}
    deepest, *lower = features
    score = scores[deepest]
    if score is None or len(present) < 2:
        return None
    by_depth = {name: found.mean for name, found in scores.items() if found is not None}
    chance = float(np.bincount(numbers).max() / len(numbers))
    verdict, sentence = _judge(deepest, lower, by_depth, chance, len(labels))
    return Likeness(
        logme=logme(features[deepest], numbers),
        probe=score.mean,
        chance=chance,
        by_depth=by_depth,
        verdict=verdict,
        sentence=sentence,
        deviation=score.deviation,
        images=len(labels),
    )


def _judge(
    deepest: str, lower: list[str], by_depth: dict[str, float], chance: float, images: int
) -> tuple[Literal["like", "unlike"], str]:
    probe = by_depth[deepest]
    best = max(lower, key=by_depth.__getitem__, default=deepest)
    # A lower layer wins by more than the accuracy of the other is uncertain, and by one image at least.
    noise = max(1 / images, float(np.sqrt(probe * (1 - probe) / images)))
    of = f"of {images} images, cross-validated; guessing {chance:.{0 if chance >= 0.01 else 1}%}"
    if by_depth[best] > probe + noise:
        return "unlike", (
            f"features of {best!r} tell the classes apart better than the deepest ({by_depth[best]:.0%} to {probe:.0%} "
            f"{of})"
        )
    if probe - chance < ENOUGH * (1 - chance):
        return "unlike", f"a linear classifier on the network's features is right for no more than {probe:.0%} {of}"
    return "like", f"a linear classifier on the network's deepest features is right for {probe:.0%} {of}"


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """Returns LogME (You et al., ICML 2021, arXiv 2102.11005): the log evidence per image, averaged over classes.

    For each class, y (1 for its images, else 0) = features @ w + noise with w ~ N(0, 1/alpha) and noise ~ N(0, 1/beta);
    alpha and beta are those of the highest evidence, found by MacKay's fixed point as in section 3 of the paper. It
    does not change with the scale of the features, nor with the numbers of the classes.

    Args:
        features: (n, f).
        labels: (n,) integers, from 0, each number in use.
    """
    rows = np.asarray(features, np.float64)
    targets = (labels[:, None] == np.unique(labels)).astype(np.float64)
    squared, projected = _decompose(rows, targets)
    rest = np.maximum((targets**2).sum(axis=0) - projected.sum(axis=0), 0.0)
    return float(np.sort(_evidence(squared, projected, rest, len(rows)) / len(rows)).mean())


def _decompose(rows: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the squared singular values (r,) of the features, and the squared parts (r, classes) of the targets
    along their left singular vectors; scaled to a mean of 1, which changes nothing in the evidence."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # the sample is small: threads gain little, and lose much where they have to wait
        if len(rows) < rows.shape[1]:
            # R' of the smaller square has the singular values and, turned by Q, the left vectors of the whole.
            rows = np.asarray(np.linalg.qr(rows.T, mode="r")).T
        left, values, _ = np.linalg.svd(rows, full_matrices=False)
    kept = values > (values[0] * max(rows.shape) * np.finfo(np.float64).eps if len(values) else 0)
    squared = values[kept] ** 2
    return squared / max(squared.mean(), np.finfo(np.float64).tiny) if len(squared) else squared, (
        left[:, kept].T @ targets
    ) ** 2


def _evidence(squared: np.ndarray, projected: np.ndarray, rest: np.ndarray, images: int) -> np.ndarray:
    """Returns the highest log evidence of each class.

    With ratio = alpha / beta: alpha = gamma / |m|^2 and beta = (n - gamma) / |y - F m|^2, gamma = sum s / (ratio + s)
    over the squared singular values s, are the fixed point. At its end beta is taken as the best for the ratio found,
    n / (|y - F m|^2 + ratio |m|^2), which is the same there and never divides nothing by nothing.
    """
    if not len(squared):
        return _profile(squared, projected, rest, images, np.ones(len(rest)))
    ratio = np.ones(projected.shape[1])
    spread = squared[:, None]
    tiny = np.finfo(np.float64).tiny
    for _ in range(ROUNDS):
        gamma = (spread / (ratio + spread)).sum(axis=0)
        length = (spread * projected / (ratio + spread) ** 2).sum(axis=0)
        error = (projected * (ratio / (ratio + spread)) ** 2).sum(axis=0) + rest
        new = (gamma / np.maximum(length, tiny)) * (error / np.maximum(images - gamma, tiny))
        new = np.clip(new, 1 / WIDEST, WIDEST)
        settled = np.abs(np.log(new / ratio)) < CLOSE
        ratio = new
        if settled.all():
            break
    return _profile(squared, projected, rest, images, ratio)


def _profile(
    squared: np.ndarray, projected: np.ndarray, rest: np.ndarray, images: int, ratio: np.ndarray
) -> np.ndarray:
    """Log evidence for a ratio alpha / beta, with the beta that is best for it."""
    loss = (projected * ratio / (ratio + squared[:, None])).sum(axis=0) + rest
    loss = np.maximum(loss, np.finfo(np.float64).eps)
    volume = np.log1p(squared[:, None] / ratio).sum(axis=0)
    evidence: np.ndarray = 0.5 * (images * (np.log(images / loss) - 1 - np.log(2 * np.pi)) - volume)
    return evidence
