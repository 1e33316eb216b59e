"""A KerasHub preset on Hugging Face is a model's name: what its JSON files say becomes a card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from faulty_server import FaultyServer, says, whole

import zoo
from zoo import architectures
from zoo.architectures import kerashub_tables
from zoo.errors import UnsupportedError
from zoo.graph import Param

REPO, COMMIT, VARIANT = "keras/mobilenet_v3_small_050_imagenet", "1" * 40, "mobilenetv3-small-050"
NAME = f"hf:{REPO}"
KNOWN = kerashub_tables.NETWORKS[VARIANT]


def described(kind: str, **arguments: Any) -> dict[str, Any]:
    """An object as Keras writes it."""
    return {"module": "keras_hub.src", "class_name": kind, "config": arguments, "registered_name": f"keras_hub>{kind}"}


def preset(**changes: Any) -> dict[str, Any]:
    """The JSON files of a preset."""
    converter = {"image_size": [96, 96], "scale": [0.02, 0.02, 0.02], "offset": [-2.0, -1.0, 0.0],
                 "interpolation": "bicubic", "antialias": False, "crop_to_aspect_ratio": True}  # fmt: skip
    files = {
        "config.json": described("MobileNetBackbone", name="m", trainable=True, image_shape=[None, None, 3],
                                 **KNOWN.config),
        "task.json": described("MobileNetImageClassifier", num_classes=10, num_features=1024),
        "image_converter.json": described("MobileNetImageConverter", **converter),
    }  # fmt: skip
    for file, change in changes.items():
        files[f"{file}.json"]["config"].update(change)
    return files


Serve = Callable[..., None]


@pytest.fixture
def serve(home: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Puts a preset on the stand-in hub."""
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")

    def serves(files: dict[str, Any], weights: dict[str, bytes] | None = None) -> None:
        siblings: list[dict[str, Any]] = [{"rfilename": name, "size": 9} for name in files]
        for name, body in (weights or {"model.weights.h5": b"x", "task.weights.h5": b"y"}).items():
            digest = hashlib.sha256(body).hexdigest()
            pointer = {"sha256": digest, "size": len(body), "pointerSize": 130}
            siblings.append({"rfilename": name, "size": len(body), "blobId": "0" * 40, "lfs": pointer})
            server.on(f"/{REPO}/resolve/{COMMIT}/{name}", whole(body, f'"{digest}"'))
        said = {"id": REPO, "sha": COMMIT, "siblings": siblings, "cardData": {"license": "apache-2.0"}}
        answer = says(200, json.dumps(said).encode(), content_type="application/json")
        server.on(f"/api/models/{REPO}/revision/main?blobs=true", answer)
        for name, content in files.items():
            body = json.dumps(content).encode()
            server.on(f"/{REPO}/resolve/{COMMIT}/{name}", says(200, body, x_repo_commit=COMMIT, etag='"c"'))

    return serves


def test_the_card_holds_what_the_preset_says(serve: Serve) -> None:
    serve(preset(task={"num_classes": 1000}))
    card = zoo.info(NAME)
    facts = card.preprocessing
    assert (facts.height, facts.value_range, facts.channel_order) == (96, (0, 255), "RGB")
    assert (facts.mean, facts.std) == ((100, 50, 0), (50, 50, 50))
    assert (facts.resize.kind, facts.resize.padding) == ("crop-padding", 0)  # type: ignore[union-attr]
    assert (facts.interpolation, facts.library, facts.antialias) == ("bicubic", "tensorflow", False)
    assert (card.labels.count, card.labels.list, card.license.weights) == (1000, "imagenet-2012", "Apache-2.0")
    assert (card.source.architecture, card.source.roles) == (VARIANT, ("weights", "task"))  # type: ignore[union-attr]
    assert COMMIT in card.sources["preprocessing"]


def test_a_preset_is_got_by_the_name_of_its_repository(serve: Serve, tmp_path: Path) -> None:
    graph = architectures.build(VARIANT, "kerashub", classes=10, size=96)
    random, weights = np.random.default_rng(0), {}
    for name, prefix in (("model.weights.h5", "layers/"), ("task.weights.h5", "1/layers/")):
        with h5py.File(tmp_path / name, "w") as file:
            for path, key in graph.renamed.items():
                param = graph.params.get(key)
                if isinstance(param, Param) and path.startswith(prefix):
                    array = random.uniform(0.01, 0.1, param.shape_in_file).astype(np.float32)
                    file[path.removeprefix("1/")] = array
        weights[name] = (tmp_path / name).read_bytes()
    serve(preset(), weights)
    assert zoo.load(NAME).output_shape == (None, 10)
    assert zoo.load(NAME).input_shape == (None, 96, 96, 3)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"config": {"stackwise_num_blocks": [2, 3, 2, 4]}}, "none of KerasHub's networks"),
        ({"config": {"data_format": "channels_first"}}, "data_format='channels_first'"),
        ({"task": {"pooling": "max"}}, "pooling='max'"),
        ({"task": {"num_classes": "ten"}}, "not understood: ValueError"),
        ({"image_converter": {"image_size": [96, 90]}}, r"\[96, 90\]; expected a square"),
        ({"image_converter": {"scale": [0, 1, 1]}}, "expected numbers above 0"),
    ],
)
def test_what_zoo_cannot_build_is_refused_in_one_line(changes: Any, told: str, serve: Serve) -> None:
    serve(preset(**changes))
    with pytest.raises(UnsupportedError, match=told) as caught:
        zoo.info(NAME)
    assert "\n" not in str(caught.value)


def test_a_backbone_alone_is_no_classifier(serve: Serve) -> None:
    files = preset()
    del files["task.json"]
    serve(files)
    with pytest.raises(UnsupportedError, match=r"without task\.json: it has no classifier"):
        zoo.info(NAME)


def test_what_a_preset_leaves_out_is_unknown(serve: Serve) -> None:
    files = preset()
    del files["image_converter.json"]
    serve(files)
    facts = zoo.info(NAME).preprocessing
    assert (facts.mean, facts.std, facts.resize, facts.interpolation) == ("unknown",) * 4
