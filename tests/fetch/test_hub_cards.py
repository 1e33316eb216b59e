"""`hf:owner/name` is a model's name: a stand-in hub says what the real one says of a timm repository."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty_server import FaultyServer, says, whole

import zoo
from zoo import architectures, hub_cards, registry, storage
from zoo.errors import FetchError, UnsupportedError, UsageError, ZooError
from zoo.formats import safetensors
from zoo.graph import Param

REPO, COMMIT = "timm/tf_efficientnet_lite0.in1k", "1" * 40
NAME = f"hf:{REPO}"
CONFIG: dict[str, Any] = {
    "architecture": "tf_efficientnet_lite0",
    "num_classes": 1000,
    "num_features": 1280,
    "global_pool": "avg",
    "pretrained_cfg": {
        "tag": "in1k",
        "input_size": [3, 224, 224],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "num_classes": 1000,
        "classifier": "classifier",
    },
}

Serve = Callable[..., None]


@pytest.fixture
def serve(home: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Puts a repository on the stand-in hub."""
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    def serves(config: Any = CONFIG, weights: bytes = b"x", *, revision: str = "main", **facts: Any) -> None:
        digest = hashlib.sha256(weights).hexdigest()
        file = {"rfilename": "model.safetensors", "size": len(weights), "blobId": "0" * 40}
        file["lfs"] = {"sha256": digest, "size": len(weights), "pointerSize": 130}
        said = {
            "id": REPO,
            "sha": COMMIT,
            "siblings": [{"rfilename": "config.json", "size": 9}, file],
            "cardData": {"license": "apache-2.0"},
            **facts,
        }
        answer = says(200, json.dumps(said).encode(), content_type="application/json")
        server.on(f"/api/models/{REPO}/revision/{revision}?blobs=true", answer)
        body = config if isinstance(config, bytes) else json.dumps(config).encode()
        server.on(f"/{REPO}/resolve/{COMMIT}/config.json", says(200, body, x_repo_commit=COMMIT, etag='"c"'))
        server.on(f"/{REPO}/resolve/{COMMIT}/model.safetensors", whole(weights, f'"{digest}"'))

    return serves


def changed(**pretrained: Any) -> dict[str, Any]:
    return {**CONFIG, "pretrained_cfg": {**CONFIG["pretrained_cfg"], **pretrained}}


def weights(folder: Path, network: str = "tf_efficientnet_lite0") -> bytes:
    """A network's arrays as the hub has them; every kernel small, so that numbers stay finite."""
    variant, dialect = architectures.timm(network)
    params = architectures.build(variant, dialect).params
    shapes = {name: param.shape_in_file for name, param in params.items() if isinstance(param, Param)}
    random = np.random.default_rng(0)
    arrays = {name: random.uniform(0.01, 0.1, shape).astype(np.float32) for name, shape in shapes.items() if shape}
    safetensors.write(folder / "made", arrays, {name: array.shape for name, array in arrays.items()})
    return (folder / "made").read_bytes()


def test_a_model_is_got_by_the_name_of_its_repository(serve: Serve, server: FaultyServer, tmp_path: Path) -> None:
    serve(weights=weights(tmp_path))
    folder = zoo.get(NAME)
    receipt = json.loads((folder / "check.json").read_text())
    assert receipt["model"] == NAME
    assert zoo.load(NAME).output_shape == (None, 1000)
    assert zoo.predict(NAME, np.zeros((8, 8, 3), np.uint8))[0][0].id.startswith("n0")
    asked = len(server.requests)
    assert zoo.get(NAME, offline=True) == folder
    assert len(server.requests) == asked, "what is there is not asked for again"
    assert {entry.kind for entry in storage.contents() if NAME in entry.models} == {"model", "original"}
    assert storage.prune() == []
    storage.remove(NAME)
    assert not folder.exists()


def test_a_network_of_timms_own_blocks_is_got_by_its_name(serve: Serve, tmp_path: Path) -> None:
    config = changed(input_size=[3, 64, 64])
    serve({**config, "architecture": "test_byobnet"}, weights(tmp_path, "test_byobnet"))
    assert zoo.info(NAME).source.architecture == "test-byobnet"
    model = zoo.load(NAME)
    assert model.output_shape == (None, 1000)
    assert np.isfinite(model(np.ones((1, 64, 64, 3), np.float32))).all()


@pytest.mark.parametrize(
    ("architecture", "variant"),
    [
        ("resnet50_clip", "resnet50-clip"),
        ("inception_next_tiny", "inception-next-tiny"),
        ("mobilenetv4_hybrid_medium", "mobilenetv4-hybrid-medium"),
        ("regnetz_d8", "regnetz-d8"),
        ("mobileone_s0", "mobileone-s0"),
        ("resnetv2_50d_evos", "resnetv2-50d-evos"),
        ("efficientnet_x_b5", "efficientnet-x-b5"),
    ],
)
def test_a_card_is_made_of_a_config_alone(architecture: str, variant: str, serve: Serve) -> None:
    serve({**changed(num_classes=1024), "architecture": architecture})
    card = zoo.info(NAME)
    assert (card.source.architecture, card.source.dialect, card.labels.count) == (variant, "timm", 1024)


def test_the_card_holds_what_the_config_says_and_where_it_was_said(serve: Serve) -> None:
    serve(changed(crop_pct=0.95, test_input_size=[3, 288, 288], test_crop_pct=1.0))
    card = zoo.info(NAME)
    facts = card.preprocessing
    assert (facts.height, facts.mean, facts.std, facts.value_range) == (224, (0.5,) * 3, (0.5,) * 3, (0, 1))
    assert (facts.resize.kind, facts.resize.size) == ("short-side", 235)  # type: ignore[union-attr]
    assert (facts.interpolation, facts.library, facts.antialias) == ("bicubic", "pil", True)
    assert (card.license.weights, card.license.code) == ("Apache-2.0", "not stated")
    assert (card.labels.list, card.status, card.metrics) == ("imagenet-2012", "unverified", ())
    assert card.files["weights"].places[0].revision == COMMIT  # type: ignore[union-attr]
    assert "288x288 with crop_pct 1.0" in str(card.notes)
    assert COMMIT in card.sources["preprocessing"]


def test_a_card_stays_what_it_was_when_the_repository_moves(serve: Serve, server: FaultyServer) -> None:
    serve()
    first = zoo.info(NAME)
    serve(changed(mean=[0.1, 0.1, 0.1]), sha="2" * 40)
    assert zoo.info(NAME) == first
    assert first in registry.known()
    hub_cards.forget(NAME)
    server.on(f"/{REPO}/resolve/{'2' * 40}/config.json", says(200, json.dumps(CONFIG).encode(), etag='"d"'))
    assert "2" * 40 in zoo.info(NAME).sources["files"]


def test_a_revision_can_be_named(serve: Serve) -> None:
    serve(revision="v1.0")
    assert zoo.info(f"{NAME}@v1.0").name == f"{NAME}@v1.0"


@pytest.mark.parametrize(
    ("names", "ids"), [(["cat", "dog"], ["cat", "dog"]), (["n02", "n03"], ["n02", "n03"])], ids=["plain", "described"]
)
def test_names_of_classes_come_from_the_config(names: list[str], ids: list[str], serve: Serve) -> None:
    config = {**changed(num_classes=2), "num_classes": 2, "label_names": names, "label_descriptions": {"n02": "a cat"}}
    serve(config)
    shown = ["a cat" if name == "n02" else name for name in names]
    assert registry.labels(zoo.info(NAME)) == list(zip(ids, shown, strict=True))


def test_classes_of_others_are_unknown_rather_than_imagenets(serve: Serve) -> None:
    serve({**CONFIG, "num_classes": 7}, id="someone/net")
    serve(changed(num_classes=7))
    assert registry.labels(zoo.info(NAME)) is None


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (b"<html>", "not understood: JSONDecodeError"),
        (b"[1]", "not understood: TypeError"),
        (b"[" * 100_000, "not understood"),
        ({"model_type": "resnet"}, "names no architecture of timm's"),
        ({**CONFIG, "architecture": "vit_base_patch16_224"}, "'vit_base_patch16_224' is not among those"),
        ({**CONFIG, "model_args": {"depth": 3}}, r"model_args \(depth\)"),
        (changed(num_classes=0), "has no classifier"),
        (changed(input_size=[1, 28, 28]), "expected 3 channels"),
        (changed(mean=[0.5]), "preprocessing"),
        (changed(crop_pct="much"), "could not convert"),
    ],
)
def test_a_config_that_is_not_understood_is_refused_in_one_line(config: Any, told: str, serve: Serve) -> None:
    serve(config)
    with pytest.raises(ZooError, match=told) as caught:
        zoo.info(NAME)
    assert str(caught.value).startswith(NAME)
    assert "\n" not in str(caught.value)
    assert hub_cards.noted() == []


def test_what_the_hub_does_not_give_is_told(serve: Serve, server: FaultyServer) -> None:
    serve(siblings=[])
    with pytest.raises(UnsupportedError, match=r"none of model\.safetensors, pytorch_model\.bin"):
        zoo.info(NAME)
    with pytest.raises(FetchError, match="timm/other"):
        zoo.info("hf:timm/other")


def test_offline_a_new_name_says_what_to_do(serve: Serve, server: FaultyServer) -> None:
    with pytest.raises(FetchError, match=r"offline, and its config\.json was never fetched; run `zoo info"):
        zoo.get(NAME, offline=True)
    assert server.requests == []


@pytest.mark.parametrize("name", ["hf:", "hf:timm", "hf:timm/..", "hf:a/b/c", "hf:../x", "hf:a--b/c", "hf:a/b@../c"])
def test_names_that_are_none_are_refused(name: str, serve: Serve) -> None:
    with pytest.raises(UsageError, match="expected hf:owner/name"):
        zoo.info(name)


def test_no_file_may_call_its_model_so(serve: Serve) -> None:
    serve()
    with pytest.raises(ZooError, match="names that begin with 'hf:'"):
        zoo.register(zoo.info(NAME))
