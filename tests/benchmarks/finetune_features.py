"""Compares zoo's linear classifier with a scikit-learn probe over many draws, on features computed once.

    .venv/bin/python tests/benchmarks/finetune_features.py cells=FOLDER --sample 60 --each 5 20 --seeds 20 21 22 23

The sets are those of finetune_sets.py. A sample of each class goes through efficientnet-lite0 once, plain and in four
augmented views; each seed then draws training images from the sample, and the others are the test. The probe is
LogisticRegressionCV on the plain features that enter the classifier; zoo is what its `linear` strategy does: it chooses
from three depths and the views. Prints Markdown: mean accuracy, and the mean difference with its standard error.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
from finetune_sets import SETS, square

MODEL = "efficientnet-lite0"
VIEWS = 4


def features(name: str, source: Path, sample: int) -> tuple[dict[str, np.ndarray], np.ndarray, list[tuple[int, ...]]]:
    """Returns depth -> (views, n, f), the labels, and the sets of views that zoo chooses from."""
    import keras

    import zoo
    from zoo.finetune import augment, strategies
    from zoo.finetune.features import Runner, view_kinds

    base = zoo.load(MODEL)
    tensors = strategies.depths(base)
    runner = Runner(keras.Model(base.input, list(tensors.values())))
    samples = SETS[name](source)
    classes, labels = np.unique([kind for _, kind in samples], return_inverse=True)
    generator = np.random.default_rng(7)
    members = [generator.permutation(np.flatnonzero(labels == number))[:sample] for number in range(len(classes))]
    chosen = np.concatenate(members)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.png" for number in chosen]
        for number, path in zip(chosen, paths, strict=True):
            square(samples[number][0]).save(path)
        images = zoo.preprocess(MODEL, paths).astype(np.float32)
    kinds = view_kinds(augment.kinds_of("auto"), VIEWS)
    found: dict[str, list[np.ndarray]] = {depth: [] for depth in tensors}
    for view, kind in enumerate(kinds):
        layers = augment.layers(kind, seed=view)
        parts = []
        for start in range(0, len(images), 32):
            batch = images[start : start + 32]
            for layer in layers:
                batch = np.asarray(layer(batch, training=True))
            parts.append(runner(batch))
        for depth, arrays in zip(tensors, zip(*parts, strict=True), strict=True):
            found[depth].append(np.concatenate(arrays))
    return {depth: np.stack(views) for depth, views in found.items()}, labels[chosen], strategies.view_sets(kinds)


def compare(
    pool: dict[str, np.ndarray], labels: np.ndarray, views: list[tuple[int, ...]], each: int, seed: int
) -> tuple[float, float]:
    """Returns the accuracy of zoo's classifier and of the probe, trained on `each` images of every class."""
    from sklearn.linear_model import LogisticRegressionCV

    from zoo.finetune import linear

    generator = np.random.default_rng(seed)
    members = [generator.permutation(np.flatnonzero(labels == number)) for number in np.unique(labels)]
    training = np.concatenate([rows[:each] for rows in members])
    test = np.concatenate([rows[each:] for rows in members])
    few = {depth: array[:, training] for depth, array in pool.items()}
    solved = linear.solve(few, labels[training], len(members), views, seed)
    inputs = np.concatenate([pool[depth][0][test] for depth in solved.groups], axis=1)
    deepest = next(iter(pool.values()))[0]
    probe = LogisticRegressionCV(Cs=10, cv=min(5, each), max_iter=500).fit(deepest[training], labels[training])
    own = ((inputs @ solved.kernel + solved.bias).argmax(axis=1) == labels[test]).mean()
    return float(own), float(probe.score(deepest[test], labels[test]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="NAME=PATH", help=f"some of {', '.join(SETS)}")
    parser.add_argument("--sample", type=int, default=60, help="images of each class, to train on and to test")
    parser.add_argument("--each", type=int, nargs="+", default=[5, 20], help="training images of each class")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22, 23])
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # scikit-learn's about its own future
    print("| set | a class | draws | zoo linear | probe | zoo - probe |\n| --- | --- | --- | --- | --- | --- |")
    for name, _, source in (pair.partition("=") for pair in args.sets):
        pool, labels, views = features(name, Path(source), args.sample)
        for each in args.each:
            if np.bincount(labels).min() <= each:
                print(f"{name}: a class has {np.bincount(labels).min()} images, too few for {each} to train on")
                continue
            found = 100 * np.array([compare(pool, labels, views, each, seed) for seed in args.seeds])
            gain = found[:, 0] - found[:, 1]
            error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else float("nan")
            own, probe = found.mean(axis=0)
            told = f"{own:.1f} | {probe:.1f} | {gain.mean():+.1f} ± {error:.1f} |"
            print(f"| {name} | {each} | {len(found)} | {told}", flush=True)


if __name__ == "__main__":
    main()
