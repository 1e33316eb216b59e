"""Conversions that must not succeed quietly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo import cards
from zoo.convert import _with_sane_numbers, convert_card
from zoo.convert import test_image as make_test_image
from zoo.errors import FormatError, ParityError, UsageError


def test_the_test_image_is_defined_by_integers_alone() -> None:
    image = make_test_image(224, 224)
    assert image.dtype == np.uint8
    assert image.shape == (224, 224, 3)
    assert image[0, 0].tolist() == [0, 0, 0]
    assert image[0, 223].tolist() == [255, 0, 255]
    assert image[112, 112].tolist() == [127, 128, 128]  # inside the disc: red inverted, blue 128


@pytest.mark.weights
@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"mean": [123.0, 117.0, 104.0]}, "mean in another order"),
        ({"channel_order": "RGB"}, "RGB for BGR"),
        ({"value_range": [0, 1]}, "another range"),
    ],
)
def test_a_card_with_wrong_preprocessing_does_not_pass_the_check(
    nsfw_files, tmp_path: Path, change: dict, what: str
) -> None:
    card = json.loads(zoo.info("open-nsfw").model_dump_json(exclude_none=True))
    card["preprocessing"].update(change)
    with pytest.raises(ParityError, match=r"open-nsfw: output \d is .* OpenCV"):
        convert_card(cards.card(card), nsfw_files(), tmp_path)


@pytest.mark.weights
def test_a_damaged_file_is_named_as_the_card_names_it(nsfw_files, tmp_path: Path) -> None:
    files = nsfw_files()
    cut = tmp_path / "0123456789abcdef"
    cut.write_bytes(files["weights"].read_bytes()[:100_000])
    with pytest.raises(FormatError, match=r"^open-nsfw: .*resnet_50_1by2_nsfw\.caffemodel") as caught:
        convert_card(zoo.info("open-nsfw"), {**files, "weights": cut}, tmp_path)
    assert "0123456789abcdef" not in str(caught.value)


@pytest.mark.weights
def test_a_file_that_was_changed_after_it_was_verified_is_refused(nsfw_files, tmp_path: Path) -> None:
    files = nsfw_files()
    raw = bytearray(files["weights"].read_bytes())
    raw[len(raw) // 2] ^= 1  # a weight, a little other
    edited = tmp_path / "edited"
    edited.write_bytes(raw)
    with pytest.raises(FormatError, match=r"resnet_50_1by2_nsfw\.caffemodel was changed after it was verified; delete"):
        convert_card(zoo.info("open-nsfw"), {**files, "weights": edited}, tmp_path)


@pytest.mark.weights
def test_a_file_of_another_variant_is_refused_with_the_tensors_that_differ(lite0_files, tmp_path: Path) -> None:
    with pytest.raises(
        FormatError, match=r"efficientnet-lite0-.*does not hold the weights of efficientnet-lite2: missing"
    ):
        zoo.convert(_named(lite0_files()["weights"], tmp_path), architecture="efficientnet-lite2")


@pytest.mark.weights
def test_weights_without_a_graph_need_an_architecture(lite0_files, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"give architecture=, such as .*`zoo architectures` lists"):
        zoo.convert(_named(lite0_files()["weights"], tmp_path))
    model = zoo.convert(_named(lite0_files()["weights"], tmp_path), architecture="efficientnet-lite0")
    assert model.output_shape == (None, 1000)


@pytest.mark.parametrize("poison", [np.nan, np.inf, 0.0])
def test_weights_that_no_training_leaves_are_refused(poison: float, tmp_path: Path) -> None:
    from zoo.graph import Graph, Node

    kernel = np.full((2, 3, 1, 1), poison, np.float32) if poison == 0 else np.ones((2, 3, 1, 1), np.float32)
    kernel[0, 0] = poison
    graph = Graph("g", {"x": (3, 4, 4)}, ("c",), (Node("Conv", "c", ("x", "c/0"), ("c",)),), {"c/0": kernel})
    with pytest.raises(FormatError, match="zero" if poison == 0 else "c/0 holds NaN or infinity"):
        _with_sane_numbers(graph)


def _named(path: Path, folder: Path) -> Path:
    """The cache names files by hash; a user's file has a name."""
    return Path(shutil.copy(path, folder / "efficientnet-lite0-57934424.pth"))
