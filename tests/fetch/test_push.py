"""`zoo push` against a stand-in that speaks the hub's API: what arrives, and that it is used again by its name."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from faulty_server import FaultyServer, Handler, says, whole
from PIL import Image

import zoo
from zoo import finished, registry, storage
from zoo.cli import cli
from zoo.errors import FormatError, PushError, UnsupportedError, UsageError, ZooError

REPO = "someone/two-colours"
JSON = "application/json"


class Hub:
    """Keeps what is committed to one repository, and gives it to who asks."""

    def __init__(self, server: FaultyServer) -> None:
        self.server = server
        self.blobs: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.created: dict[str, Any] = {}
        self.private = False
        self.message = ""
        base = f"/api/models/{REPO}"
        server.on("/api/repos/create", self._create)
        server.on("/api/validate-yaml", self._validate)
        server.on(base, lambda handler: self._facts(handler))
        server.on(f"{base}/preupload/main", self._modes)
        server.on(f"/{REPO}.git/info/lfs/objects/batch", self._batch)
        server.on(f"{base}/commit/main", self._commit)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def _say(self, handler: Handler, value: Any, status: int = 200) -> None:
        handler.reply(status, json.dumps(value).encode(), content_type=JSON)

    def _create(self, handler: Handler) -> None:
        assert handler.headers["authorization"] == "Bearer hf_secret"
        self.created = json.loads(handler.body)
        self.private |= self.created.get("visibility") == "private" or bool(self.created.get("private"))
        self._say(handler, {"url": f"{self.address}/{REPO}"})

    def _validate(self, handler: Handler) -> None:
        text = json.loads(handler.body)["content"]
        yaml.safe_load(text.split("---")[1])
        self._say(handler, {"errors": [], "warnings": []})

    def _modes(self, handler: Handler) -> None:
        files = json.loads(handler.body)["files"]
        modes = [
            {"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(".keras") else "regular"}
            for file in files
        ]
        self._say(handler, {"files": [{**mode, "shouldIgnore": False} for mode in modes]})

    def _batch(self, handler: Handler) -> None:
        objects = []
        for wanted in json.loads(handler.body)["objects"]:
            place = f"/lfs/{wanted['oid']}"
            self.server.on(place, lambda handler, oid=wanted["oid"]: self._store(handler, oid))
            objects.append({**wanted, "actions": {"upload": {"href": self.address + place}}})
        handler.reply(
            200,
            json.dumps({"transfer": "basic", "objects": objects}).encode(),
            content_type="application/vnd.git-lfs+json",
        )

    def _store(self, handler: Handler, oid: str) -> None:
        assert hashlib.sha256(handler.body).hexdigest() == oid
        self.blobs[oid] = handler.body
        handler.reply(200)

    def _commit(self, handler: Handler) -> None:
        for line in handler.body.splitlines():
            said = json.loads(line)
            value = said["value"]
            if said["key"] == "header":
                self.message = value["summary"]
            elif said["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            else:
                self.files[value["path"]] = self.blobs[value["oid"]]
        self.publish()
        self._say(handler, {"commitUrl": f"{self.address}/{REPO}/commit/{self.commit}", "commitOid": self.commit})

    @property
    def commit(self) -> str:
        return hashlib.sha1(b"".join(self.files[name] for name in sorted(self.files))).hexdigest()

    def _facts(self, handler: Handler) -> None:
        siblings = []
        for name, body in self.files.items():
            facts = {
                "rfilename": name,
                "size": len(body),
                "blobId": hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest(),
            }
            if name.endswith(".keras"):
                facts["lfs"] = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 130}
            siblings.append(facts)
        said = {"id": REPO, "sha": self.commit, "private": self.private, "siblings": siblings}
        self._say(handler, said)

    def publish(self) -> None:
        """Gives the files of the newest commit."""
        for name in ("main", self.commit):
            self.server.on(f"/api/models/{REPO}/revision/{name}?blobs=true", self._facts)
        for name, body in self.files.items():
            address = f"/{REPO}/resolve/{self.commit}/{name}"
            self.server.on(address, whole(body, f'"{hashlib.sha256(body).hexdigest()}"'))


@pytest.fixture
def hub(home: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Hub:
    from huggingface_hub import constants

    made = Hub(server)
    monkeypatch.setenv("HF_ENDPOINT", made.address)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(registry, "_registered", [])
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of one convolution, fine-tuned on a dozen images of two colours."""
    import keras

    folder = tmp_path_factory.mktemp("push")
    random = np.random.default_rng(0)
    for name, colour in (("red", (220, 20, 20)), ("<b>blue|", (20, 20, 220))):
        (folder / "secret place" / name).mkdir(parents=True)
        for number in range(6):
            pixels = np.clip(random.normal(colour, 9, (12, 12, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "secret place" / name / f"{number}.png")
    (folder / "secret place" / "red" / "broken.png").write_bytes(b"no image")
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 255, name="preprocessing")(image)
    x = keras.layers.Conv2D(6, 3, activation="relu", name="conv")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax", name="fc")(x), name="small")
    zoo.finetune(model, folder / "secret place", output=folder / "run", progress=False)
    return folder / "run"


def test_what_is_pushed_is_used_again_by_its_name(hub: Hub, run: Path, tmp_path: Path) -> None:
    pushed = zoo.push(run, REPO)
    assert (pushed.commit, pushed.url) == (hub.commit, f"{hub.address}/{REPO}")
    assert sorted(hub.files) == ["README.md", "labels.txt", "metrics.json", "model.keras", "plan.json"]
    assert hub.files["model.keras"] == (run / "model.keras").read_bytes()
    assert hub.files["labels.txt"].decode() == "<b>blue|\t<b>blue|\nred\tred\n"
    assert hub.message == "small, fine-tuned with zoo"
    assert json.loads(hub.files["plan.json"])["data"] == "secret place"
    assert json.loads(hub.files["metrics.json"])["skipped"] == 1
    everything = b"".join(hub.files.values())
    for private in (str(run.parent), "broken.png", "hf_secret"):
        assert private.encode() not in everything

    name = f"hf:{REPO}"
    image = np.full((8, 8, 3), (20, 20, 220), np.uint8)
    local = zoo.predict(run, image)
    assert zoo.predict(name, image)[0][0].name == local[0][0].name == "<b>blue|"
    assert zoo.predict(name, image)[0][0].score == pytest.approx(local[0][0].score, abs=1e-6)
    card = zoo.info(name)
    assert card.files["weights"].places[0].revision == hub.commit  # type: ignore[union-attr]
    assert card.files["weights"].sha256 == hashlib.sha256(hub.files["model.keras"]).hexdigest()
    assert zoo.load(name).output_shape == (None, 2)
    assert zoo.load(name, top=False).output_shape == (None, 6, 6, 6)
    assert zoo.load(f"{name}@{hub.commit}").output_shape == (None, 2)
    path = zoo.get(name, output=tmp_path / "again.keras")
    assert zoo.predict(path, image)[0][0].name == "<b>blue|"
    asked = len(hub.server.requests)
    assert zoo.get(name, offline=True).is_dir()
    assert len(hub.server.requests) == asked
    assert {entry.state for entry in storage.contents() if entry.kind == "model"} == {"current"}
    with pytest.raises(UsageError, match="has its preprocessing inside"):
        zoo.get(name, mean=(1, 2, 3))
    with pytest.raises(UnsupportedError, match="no origin's network"):
        zoo.verify(name, against=arrays(tmp_path))


def arrays(folder: Path) -> Path:
    np.savez(folder / "x.npz", input=np.zeros((1, 3, 8, 8), np.float32))
    return folder / "x.npz"


def test_the_model_card_says_what_a_stranger_needs(hub: Hub, run: Path) -> None:
    answer = CliRunner().invoke(cli, ["push", str(run), REPO, "--dry-run"])
    assert answer.exit_code == 0
    assert hub.server.requests == []
    _, metadata, text = answer.output.split("---\n", 2)
    facts = yaml.safe_load(metadata)
    assert (facts["library_name"], facts["pipeline_tag"], facts["license"]) == (
        "keras",
        "image-classification",
        "unknown",
    )
    assert "zoo:small" in facts["tags"]
    result = facts["model-index"][0]["results"][0]
    metrics = json.loads((run / "metrics.json").read_text())
    assert result["metrics"][0] == {"type": "accuracy", "value": metrics["accuracy"], "name": "accuracy"}
    assert result["dataset"]["name"] == "own images (2 held out)"
    for part in (
        "2 images held out, never trained on; 2 of them were named right",
        "12 images of its author's: 10 trained on, 2 held out",
        r"| &lt;b>blue\| | 1 | 100.0% |",
        f'hf_hub_download("{REPO}", "model.keras")',
        f"zoo predict hf:{REPO} image.jpg",
        "RGB images of 8 x 8, values 0 to 255",
    ):
        assert part in text
    assert "<b>" not in text


def test_the_base_and_its_licence_are_in_the_card(run: Path) -> None:
    from zoo import model_card

    metrics, plan = (json.loads((run / name).read_text()) for name in ("metrics.json", "plan.json"))
    facts = finished.facts(run / "model.keras")
    text = model_card.render(REPO, {**facts, "model": "efficientnet-lite0"}, metrics, plan)
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "apache-2.0"
    assert "Of `efficientnet-lite0`: weights Apache-2.0" in text
    text = model_card.render(REPO, {**facts, "model": "hf:timm/x.y@abc"}, metrics, plan)
    assert yaml.safe_load(text.split("---\n")[1])["base_model"] == "timm/x.y"


def test_private_is_private(hub: Hub, run: Path) -> None:
    hub.server.on("/api/repos/create", says(409, b"{}", content_type=JSON))
    with pytest.raises(PushError, match="is there already and is public"):
        zoo.push(run, REPO, private=True)
    assert hub.files == {}
    assert zoo.push(run, REPO).commit == hub.commit
    hub.server.on("/api/repos/create", hub._create)
    answer = CliRunner().invoke(cli, ["push", str(run), REPO, "--private", "--message", "first", "--json"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["commit"] == hub.commit
    assert hub.private
    assert hub.message == "first"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "does not accept the token"),
        (403, "may not write there"),
        (404, "has no such owner"),
        (413, "too large"),
        (500, "fails"),
    ],
)
def test_what_the_hub_refuses_is_told_in_one_line(status: int, told: str, hub: Hub, run: Path) -> None:
    hub.server.on("/api/repos/create", says(status, b'{"error": "no hf_secret"}', content_type=JSON))
    hub.server.on(f"/api/models/{REPO}", says(404, x_error_code="RepoNotFound"))
    with pytest.raises(PushError, match=f"^{REPO}: .*{told}") as caught:
        zoo.push(run, REPO)
    assert "hf_secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_token_or_network_it_says_so(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PushError, match="the hub cannot be reached"):
        zoo.push(run, REPO)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(PushError, match="offline"):
        zoo.push(run, REPO)
    monkeypatch.delenv("ZOO_OFFLINE")
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(PushError, match="run `hf auth login`, or set HF_TOKEN"):
        zoo.push(run, REPO)


def test_what_is_no_run_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"holds no model\.keras"):
        zoo.push(tmp_path, REPO)
    (tmp_path / "model.keras").write_bytes((run / "model.keras").read_bytes())
    with pytest.raises(FormatError, match=r"metrics\.json cannot be read"):
        zoo.push(tmp_path, REPO)
    for repo in ("no-owner", "a/b/c", "a/../b", "a/b--c", "-a/b"):
        with pytest.raises(UsageError, match="expected owner/name"):
            zoo.push(run, repo)


# ------------------------------------------------------------------------------------------- what others' files may not


def rewritten(run: Path, change: Callable[[dict[str, bytes]], None]) -> bytes:
    with zipfile.ZipFile(run / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def config(**layer: Any) -> Callable[[dict[str, bytes]], None]:
    """Puts other facts into the first Dense layer of a model."""

    def change(members: dict[str, bytes]) -> None:
        described = json.loads(members["config.json"])
        dense = next(found for found in described["config"]["layers"] if found["class_name"] == "Dense")
        dense.update({key: value for key, value in layer.items() if key != "config"})
        dense["config"].update(layer.get("config", {}))
        members["config.json"] = json.dumps(described).encode()

    return change


FUNCTION = {"class_name": "function", "config": "get_file", "module": "keras.utils", "registered_name": "get_file"}
LAMBDA = {"class_name": "__lambda__", "config": {"value": "x"}}


@pytest.mark.parametrize(
    "change",
    [
        config(class_name="Lambda", module="keras.layers"),
        config(class_name="TFSMLayer", module="keras.layers"),
        config(class_name="Popen", module="subprocess"),
        config(class_name="get_file", module="keras.src.utils.file_utils"),
        config(class_name="Mine", module="mine", registered_name="mine>Mine"),
        config(registered_name="mine>Dense"),
        config(config={"activation": FUNCTION}),
        config(config={"activation": LAMBDA}),
        lambda members: members.update({"assets/x": b"x"}),
        lambda members: members.pop("zoo.json"),
        lambda members: members.update({"zoo.json": b'{"preprocessing": {"height": "8"}}'}),
        lambda members: members.update({"config.json": b"[" * 99_999}),
        lambda members: members.update({"model.weights.h5": b"nothing"}),
    ],
)
def test_a_file_that_is_more_than_keras_own_layers_is_refused(change: Any, hub: Hub, run: Path, home: Path) -> None:
    hub.files["model.keras"] = rewritten(run, change)
    hub.publish()
    with pytest.raises(ZooError, match=f"^hf:{REPO}") as caught:
        zoo.load(f"hf:{REPO}")
    assert "\n" not in str(caught.value)
    assert not list(home.glob("models/*/*/check.json"))


def test_bytes_that_the_hub_does_not_list_are_refused(hub: Hub, run: Path) -> None:
    hub.files["model.keras"] = (run / "model.keras").read_bytes()
    hub.publish()
    other = rewritten(run, lambda members: members.update({"zoo.json": members["zoo.json"] + b" "}))
    hub.server.on(f"/{REPO}/resolve/{hub.commit}/model.keras", whole(other))
    with pytest.raises(ZooError, match=r"has .*bytes, the published|has sha256"):
        zoo.load(f"hf:{REPO}")
