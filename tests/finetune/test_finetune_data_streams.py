"""Data sets of other libraries; PyTorch's and Hugging Face's are played by objects with the same methods."""

from __future__ import annotations

import gc
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_digits

from zoo.errors import DataError
from zoo.finetune.data import Skipped, index
from zoo.finetune.data.storage import Store, collect

LABELS = np.array([0] * 6 + [1] * 6)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """(12, 8, 8, 3) uint8: six zeros, six ones, each in three colours."""
    pixels, labels = load_digits(return_X_y=True)
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:6] for digit in (0, 1)])
    grey = (pixels[chosen].reshape(-1, 8, 8, 1) * 15.9).astype(np.uint8)
    return np.concatenate([grey, grey // 2, 255 - grey], axis=-1)


def refusal(source: Any) -> str:
    with pytest.raises(DataError) as caught:
        index(source, progress=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(source: Any, images: np.ndarray, **choices: Any) -> Any:
    """Reads a source that holds these images in this order."""
    found = index(source, progress=False, **choices)
    assert found.labels.tolist() == LABELS.tolist()
    assert np.array_equal(np.stack([np.asarray(found.open(number)) for number in range(12)]), images)
    return found


# --- tf.data and Keras ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [None, 5])
@pytest.mark.parametrize("labels", [LABELS, np.eye(2, dtype=np.float32)[LABELS], LABELS[:, None]])
def test_tf_data_batched_or_not(images: np.ndarray, labels: np.ndarray, batch: int | None) -> None:
    source = tf.data.Dataset.from_tensor_slices((images, labels))
    found = same(source.batch(batch) if batch else source, images, labels=["zero", "one"])
    assert (found.name, found.classes, found.notes) == ("tf.data.Dataset", ("zero", "one"), ())


@pytest.mark.parametrize("batch", [None, 8])
def test_tf_data_of_grey_images_with_named_classes(images: np.ndarray, batch: int | None) -> None:
    """Batches of eight are as large as the images are high."""
    source = tf.data.Dataset.from_tensor_slices({"image": images[..., 0], "label": np.array(["a", "b"])[LABELS]})
    found = same(source.batch(batch) if batch else source, np.stack([images[..., 0]] * 3, axis=-1))
    assert found.classes == ("a", "b")


def test_keras_image_dataset_from_directory(few: Path) -> None:
    source = keras.utils.image_dataset_from_directory(few, image_size=(8, 8), batch_size=4, verbose=0)
    found = index(source, progress=False)
    assert found.counts() == {"digit-0": 6, "digit-1": 6}
    assert found.notes == ("Images are float32 from 0 to 254: taken as 0..255 and rounded.",)


def test_keras_py_dataset(images: np.ndarray) -> None:
    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        class_indices = {"one": 1, "zero": 0}  # noqa: RUF012

        def __len__(self) -> int:
            return 3

        def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
            rows = slice(4 * number, 4 * number + 4)
            return images[rows], LABELS[rows]

    found = same(Batches(), images)
    assert (found.name, found.classes) == ("Batches", ("zero", "one"))


def test_tf_data_that_cannot_be_used_is_refused(images: np.ndarray) -> None:
    source = tf.data.Dataset.from_tensor_slices((images, LABELS))
    assert "never ends; pass it without .repeat()" in refusal(source.repeat())
    scaled = source.map(lambda image, label: (tf.cast(image, tf.float32) / 255, label)).batch(4)
    assert "float32 from 0 to 1, a range that zoo does not guess at; leave out what scales them" in refusal(scaled)
    assert "gives EagerTensor; expected (image, label) pairs" in refusal(tf.data.Dataset.from_tensor_slices(images))
    files = tf.data.Dataset.from_tensor_slices((["a.jpg", "b.jpg"], [0, 1]))
    assert "strings or objects, not pixels; decode them first" in refusal(files)
    soft = tf.data.Dataset.from_tensor_slices((images, np.full((12, 2), 0.5)))
    assert "not one-hot rows" in refusal(soft)


# --- PyTorch's map style --------------------------------------------------------------------------------------------


class Tensor:
    """What of a torch.Tensor is used."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> np.ndarray:
        return self._array


class MapStyle:
    """A data set as torchvision's: a length, items by number and the class names."""

    classes = ("zero", "one")

    def __init__(self, images: Any) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> Any:
        if isinstance(self.images[number], Exception):
            raise self.images[number]
        return self.images[number], LABELS[number]


@pytest.mark.parametrize(
    "kind",
    [Image.fromarray, np.asarray, lambda image: Tensor(image.transpose(2, 0, 1))],
    ids=["PIL", "array", "tensor"],
)
def test_map_style_data_sets(images: np.ndarray, kind: Any) -> None:
    found = same(MapStyle([kind(image) for image in images]), images)
    assert (found.name, found.classes, found.notes) == ("MapStyle", ("zero", "one"), ())


def test_a_subset_has_the_names_of_the_whole(images: np.ndarray) -> None:
    class Subset:
        dataset = MapStyle(images)

        def __len__(self) -> int:
            return 12

        def __getitem__(self, number: int) -> Any:
            return self.dataset[number]

    assert same(Subset(), images).classes == ("zero", "one")


def test_a_list_of_pairs_and_tensors_are_data(images: np.ndarray) -> None:
    same(list(zip(images, LABELS, strict=True)), images)
    same((Tensor(images.transpose(0, 3, 1, 2)), Tensor(LABELS)), images)


def test_two_classes_of_one_name_are_refused(images: np.ndarray) -> None:
    source = MapStyle(images)
    source.classes = ("crane", "crane")
    assert "two classes each are called 'crane'; pass other names" in refusal(source)


def test_items_that_cannot_be_read_are_listed(images: np.ndarray) -> None:
    items: list[Any] = list(images)
    items[2] = OSError("image file is truncated")
    found = index(MapStyle(items), progress=False)
    assert found.skipped == (Skipped("image-000002", "OSError: image file is truncated"),)
    assert found.counts() == {"zero": 5, "one": 6}
    assert "no image can be used (12 cannot be read, the first: image-000000: TypeError: a bug)" in refusal(
        MapStyle([TypeError("a bug")] * 12)
    )


def test_map_style_data_sets_that_cannot_be_used_are_refused(images: np.ndarray) -> None:
    scaled = MapStyle([Tensor(image.transpose(2, 0, 1) / np.float32(255)) for image in images])
    assert "leave out what scales them (ToTensor, Rescaling)" in refusal(scaled)
    assert "gives int; expected (image, label) pairs" in refusal([3, 4, 5][:0] or range(5))

    class Loader:
        dataset = MapStyle(images)
        batch_sampler = None

    assert "Loader: pass the data set it loads from (its .dataset), not the loader" in refusal(Loader())


# --- Hugging Face ---------------------------------------------------------------------------------------------------


class ClassLabel:
    names = ("zero", "one")


class HubImage:
    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


HubImage.__name__ = "Image"


class Hub:
    """What of datasets.Dataset is used: files' bytes that are decoded unless the column is cast."""

    def __init__(self, files: list[bytes | None], labels: list[int], decode: bool = True) -> None:
        self._files, self._labels = files, labels
        self.features: dict[str, Any] = {"image": HubImage(decode), "label": ClassLabel(), "width": None}
        self.column_names = list(self.features)

    def __len__(self) -> int:
        return len(self._files)

    def cast_column(self, name: str, feature: HubImage) -> Hub:
        return Hub(self._files, self._labels, feature.decode)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for content, label in zip(self._files, self._labels, strict=True):
            stored = {"bytes": content, "path": "x.png"}
            yield {
                "image": Image.open(io.BytesIO(content or b"")) if self.features["image"].decode else stored,
                "label": label,
            }


@pytest.fixture(scope="module")
def files(images: np.ndarray) -> list[bytes | None]:
    found: list[bytes | None] = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        found.append(file.getvalue())
    return found


def test_a_hugging_face_data_set(images: np.ndarray, files: list[bytes | None]) -> None:
    assert same(Hub(files, LABELS.tolist()), images).classes == ("zero", "one")
    broken = [b"\x89PNG", *files[1:]]
    found = index(Hub(broken, [*LABELS[:-1].tolist(), -1]), progress=False)
    assert found.skipped == (Skipped("image-000000", "not an image, or damaged at its beginning"),)
    assert found.counts() == {"zero": 5, "one": 5}
    assert found.notes == ("1 image(s) have no label and are left out.",)


def test_hugging_face_splits_are_parts(files: list[bytes | None]) -> None:
    splits = {
        "train": Hub(files[:4] + files[6:10], [0] * 4 + [1] * 4),
        "test": Hub(files[4:6] + files[10:], [0, 0, 1, 1]),
        "unsupervised": Hub(files, [-1] * 12),
    }
    found = index(splits, progress=False)
    assert found.parts == ("training",) * 8 + ("test",) * 4
    assert found.notes[0] == "Splits 'unsupervised' are left out: neither train, validation nor test."
    assert "has the splits 'test'; expected one named 'train'" in refusal({"test": splits["test"]})


def test_hugging_face_data_sets_that_cannot_be_used_are_refused(files: list[bytes | None]) -> None:
    source = Hub(files, LABELS.tolist())
    source.features = {"image": HubImage(), "fine_label": ClassLabel(), "coarse_label": ClassLabel()}
    assert "columns 'fine_label', 'coarse_label' all hold classes; keep one with remove_columns" in refusal(source)
    source.features = {"text": None, "label": ClassLabel()}
    assert "no column of images among 'text', 'label'" in refusal(source)

    class Streaming:
        features = source.features
        column_names = ()

    assert "streams; load it without streaming=True" in refusal(Streaming())


# --- where the images are kept --------------------------------------------------------------------------------------


def test_images_beyond_the_memory_lie_in_a_file_that_goes_with_them(
    images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    samples = [(number, image, 0, None) for number, image in enumerate(images)]
    found = collect("some", samples, total=12, progress=False, memory=500)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size > 0
    assert np.array_equal(np.stack([np.asarray(found.opener(number)) for number in range(12)]), images)
    del found
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_more_images_than_there_is_room_for_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = Store("some", memory=100, disk=150)
    store.add(bytes(90))
    store.add(bytes(140))
    with pytest.raises(DataError, match="GiB of compressed images; save them as files, in a folder per class"):
        store.add(bytes(20))
