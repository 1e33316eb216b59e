"""Other people's registries: where they come from, what they may not do, and how a broken one is told."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_model
from click.testing import CliRunner
from faulty_server import FaultyServer, says, whole

import zoo
from zoo import index, registries, registry, registry_git, storage
from zoo.cli import cli
from zoo.errors import CardError, FetchError, UnknownModelError, UsageError

COMMIT = "5" * 40
LABELS = "w\twhite\nr\tred\ng\tgreen\nb\tblue\n"
Tree = dict[str, str]


@pytest.fixture(autouse=True)
def _own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", [])


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A registry: a model with an alias, its labels, and things that are none of it."""
    files = small_model.write(tmp_path / "files")
    card = small_model.card(files, "resnet-x", aliases=["x"], labels={"count": 4, "list": "colours"})
    return {
        "caffe/small.toml": small_model.toml(card),
        "labels/colours.txt": LABELS,
        "README.md": "hello",
        "pyproject.toml": "[project]",
        "evil.py": "raise SystemExit('executed')",
    }


def write(folder: Path, tree: Tree) -> Path:
    for path, text in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def other(tree: Tree, old: str, new: str) -> Tree:
    return {path: text.replace(old, new) for path, text in tree.items()}


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, arguments, catch_exceptions=True)


# ------------------------------------------------------------------------------------------------------------- folders


def test_a_folders_models_are_used_as_any(tree: Tree, tmp_path: Path) -> None:
    folder = write(tmp_path / "lab", tree)
    added, count = registries.add(str(folder))
    assert (added.name, added.kind, added.folder, count) == ("lab", "folder", folder, 1)
    assert [card.name for card in zoo.list_models("lab/*")] == ["lab/resnet-x"]
    assert zoo.info("lab/x").name == "lab/resnet-x"
    assert registry.labels(zoo.info("lab/x"))[1] == ("r", "red")  # type: ignore[index]
    assert not registry.is_builtin(zoo.info("lab/x")), "its files are read in the sandbox"
    assert "lab/resnet-x" in run("list", "*resnet-x").output
    assert json.loads(run("info", "lab/x", "--json").output)["name"] == "lab/resnet-x"

    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    path = zoo.get("lab/resnet-x", source=tmp_path / "files")
    expected = small_model.probabilities(image[None, ..., ::-1] - np.array(small_model.RULES["mean"], float))
    answer = zoo.predict("lab/x", image, top=1)[0][0]
    assert (answer.index, answer.name) == (expected.argmax(), LABELS.split()[2 * int(expected.argmax()) + 1])
    assert [entry.models for entry in storage.contents() if entry.kind == "model"] == [("lab/resnet-x",)]
    assert storage.prune() == []
    assert all(row.same for row in zoo.diff("lab/x", "lab/resnet-x") if row.fact in ("channel order", "mean"))

    (folder / "caffe" / "small.toml").write_text(tree["caffe/small.toml"].replace("resnet-x", "resnet-y"))
    assert [card.name for card in zoo.list_models("lab/*")] == ["lab/resnet-y"], "a folder is read where it is"
    registries.remove("lab")
    assert folder.is_dir()
    assert path.is_dir()
    with pytest.raises(UnknownModelError, match="no registry was added as 'lab'"):
        zoo.info("lab/x")


def test_no_name_can_be_anothers(tree: Tree, tmp_path: Path) -> None:
    mine = write(tmp_path / "lab", other(tree, '"resnet-x"', '"efficientnet-lite0"'))
    before = zoo.info("efficientnet-lite0")
    registries.add(str(mine))
    registries.add(str(mine), "second")
    assert zoo.info("efficientnet-lite0") == before
    assert zoo.info("lab/efficientnet-lite0") != zoo.info("second/efficientnet-lite0") != before
    with pytest.raises(UsageError, match="is called 'lab' already"):
        registries.add(str(tmp_path / "lab"))
    for name in ("hf", "vgg16", "A b", "-x", "x/y", ""):
        with pytest.raises(UsageError, match="name: "):
            registries.add(str(mine), name or "!")
    inner = write(tmp_path / "inner", other(tree, '"resnet-x"', '"lab/resnet-x"'))
    with pytest.raises(CardError, match=r"small\.toml: lab/resnet-x: a name has no '/'"):
        registries.add(str(inner))
    twice = write(tmp_path / "twice", {**tree, "b.toml": tree["caffe/small.toml"]})
    with pytest.raises(CardError, match="the name 'resnet-x' belongs to resnet-x"):
        registries.add(str(twice))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"caffe/small.toml": "origin ="}, r"lab: caffe/small\.toml:1: not TOML"),
        (
            {"caffe/small.toml": 'origin = "caffe"\nfamily = "x"\n[models.a]\nsize = 1'},
            r"small\.toml.*: a\.name|a\.\w+:",
        ),
        ({"labels/colours.txt": "w\twhite\n"}, "the model has 4 outputs, the list 'colours' gives 1"),
        ({"labels/colours.txt": "nonsense\n"}, r"colours\.txt:1: expected id<TAB>name"),
        ({"caffe/small.toml": "#" * (5 << 20)}, "has more than 4.2 MB"),
        ({"labels/colours.txt": "w\twhite\nb\tbl\x1b[2Jack\n"}, r"colours\.txt:2: expected id<TAB>name"),
    ],
)
def test_a_broken_registry_is_refused_with_file_and_key(change: Tree, told: str, tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(CardError, match=told) as caught:
        registries.add(str(write(tmp_path / "lab", {**tree, **change})))
    assert "\n" not in str(caught.value)
    assert registries.added() == []


def test_an_output_of_the_origin_that_cannot_be_read_is_told(tree: Tree, tmp_path: Path) -> None:
    check = 'status = "verified"\ncheck = { file = "small.json", framework = "Caffe", tolerance = 1e-5 }'
    tree = other(tree, 'status = "unverified"', check)
    for content in ("[[[", "{}", '{"logits": ["a"]}', "[" * 100_000):
        with pytest.raises(CardError, match=r"small\.json: expected JSON with framework, input and logits \("):
            registries.add(str(write(tmp_path / "lab", {**tree, "checks/small.json": content})))
    registries.add(str(write(tmp_path / "lab", {**tree, "checks/small.json": '{"logits": [1, 2, 3, 4]}'})))


def test_what_is_missing_is_told(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CardError, match="holds no cards"):
        registries.add(str(tmp_path / "empty"))
    del tree["labels/colours.txt"]
    with pytest.raises(CardError, match=r"colours\.txt: no such label list"):
        registries.add(str(write(tmp_path / "lab", tree)))
    for source in (
        "http://example.org/x.toml",
        "git@example.org:x.git",
        "ssh://example.org/x",
        "no-such-thing",
        "/no/x",
    ):
        with pytest.raises(UsageError, match="expected"):
            registries.add(source)
    with pytest.raises(UsageError, match="no registry is called 'lab'; none was added"):
        registries.remove("lab")


@pytest.mark.parametrize("where", ["caffe/small.toml", "labels/colours.txt", "labels"])
def test_links_that_lead_out_are_refused(where: str, tree: Tree, tmp_path: Path) -> None:
    outside, folder = write(tmp_path / "outside", tree), write(tmp_path / "lab", tree)
    target = folder / where
    if target.is_dir():
        (target / "colours.txt").unlink()
        target.rmdir()
    else:
        target.unlink()
    target.symlink_to(outside / where)
    with pytest.raises(CardError, match="leads out of the registry"):
        registries.add(str(folder))


def test_a_broken_registry_breaks_no_list_for_others(tree: Tree, tmp_path: Path) -> None:
    bad = write(tmp_path / "bad", tree)
    registries.add(str(bad))
    registries.add(str(write(tmp_path / "good", tree)))
    (bad / "caffe" / "small.toml").write_text("origin = 7")
    listed = run("list", "*/*")
    assert listed.exit_code == 0
    assert "good/resnet-x" in listed.stdout
    assert "bad/" not in listed.stdout
    assert listed.stderr.startswith("zoo: registry 'bad' is left out: bad: caffe/small.toml:1: origin: expected text")
    with pytest.warns(UserWarning, match="'bad' is left out"):
        assert [card.name for card in zoo.list_models("*/*")] == ["good/resnet-x"]
    with pytest.raises(CardError, match=r"bad: caffe/small\.toml"):
        zoo.info("bad/resnet-x")
    shown = run("registry", "list", "--json")
    assert shown.exit_code == 1
    assert [(facts["name"], facts["models"]) for facts in json.loads(shown.stdout)] == [("bad", None), ("good", 1)]


def test_a_list_of_compiled_registries_needs_no_pydantic(tree: Tree, tmp_path: Path) -> None:
    registries.add(str(write(tmp_path / "lab", tree)))
    assert run("list", "lab/*").exit_code == 0
    script = (
        "import sys; from click.testing import CliRunner; from zoo.cli import cli;"
        "print(CliRunner().invoke(cli, ['list', 'lab/*']).output, 'pydantic' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "lab/resnet-x" in answer
    assert answer.split()[-1] == "False"


# ------------------------------------------------------------------------------------------------------------- git


@pytest.fixture
def repository(tree: Tree, tmp_path: Path) -> Callable[[Tree], str]:
    """Commits a tree to a git repository, and returns its address."""
    folder = tmp_path / "lab-zoo.git"

    def git(*arguments: str) -> str:
        own = ["-c", "user.name=x", "-c", "user.email=x@y", "-c", "init.defaultBranch=main", "-C", str(folder)]
        return subprocess.run(["git", *own, *arguments], check=True, capture_output=True, text=True).stdout

    def commits(tree: Tree) -> str:
        folder.mkdir(exist_ok=True)
        git("init", "-q")
        for path in folder.iterdir():
            if path.name != ".git":
                subprocess.run(["rm", "-rf", str(path)], check=True)
        write(folder, tree)
        for path, text in tree.items():
            if text.startswith("-> "):
                (folder / path).unlink()
                (folder / path).symlink_to(text[3:])
        git("add", "-A")
        git("commit", "-qm", "x")
        git("tag", "-f", "v1")
        return f"file://{folder}"

    return commits


def test_a_git_repository_is_pinned_and_updated(repository: Any, tree: Tree, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    attributes = {".gitattributes": "* filter=evil\n", ".gitmodules": '[submodule "x"]\npath = x\nurl = file:///\n'}
    address = repository({**{f"registry/{path}": text for path, text in tree.items()}, **attributes, "other.toml": "x"})
    hooks = tmp_path / "lab-zoo.git" / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-checkout", "post-upload-pack", "reference-transaction"):
        (hooks / hook).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (hooks / hook).chmod(0o755)
    found, count = registries.add(f"{address}#v1")
    assert (found.name, found.kind, count) == ("lab-zoo", "git", 1)
    assert len(found.pin["commit"]) == 40
    assert sorted(path.name for path in found.folder.rglob("*") if path.is_file()) == ["colours.txt", "small.toml"]
    assert not ran.exists()

    repository(other(tree, "resnet-x", "resnet-z"))
    assert [card.name for card in zoo.list_models("lab-zoo/*")] == ["lab-zoo/resnet-x"], "pinned until it is updated"
    (old, new, _), *_ = registries.update("lab-zoo")
    assert old.pin != new.pin
    assert [card.name for card in zoo.list_models("lab-zoo/*")] == ["lab-zoo/resnet-z"]
    assert not old.folder.exists()

    repository({"a.toml": "broken"})
    with pytest.raises(CardError, match=r"lab-zoo: a\.toml"):
        registries.update()
    assert registries.added() == [new], "what was sound stays"
    assert [path.name for path in new.folder.parent.iterdir()] == [new.folder.name]


def test_what_a_git_repository_may_not_do(repository: Any, tree: Tree, tmp_path: Path, monkeypatch: Any) -> None:
    address = repository({**tree, "x.toml": "-> /etc/passwd"})
    with pytest.raises(CardError, match=r"x\.toml: is a link"):
        registries.add(address)
    with pytest.raises(FetchError, match=r"lab-zoo\.git: git fetch: .*nowhere"):
        registries.add(f"{address}#nowhere")
    with pytest.raises(UsageError, match="expected a branch, a tag or a commit"):
        registries.add(f"{address}#--upload-pack=touch")
    with pytest.raises(FetchError, match="git fetch"):
        registries.add(f"file://{tmp_path}/none")
    monkeypatch.setattr(registry_git, "SECONDS", 0.0)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    slow = write(tmp_path / "bin", {"git": "#!/bin/sh\n/bin/sleep 60\n"}) / "git"
    slow.chmod(0o755)
    with pytest.raises(FetchError, match="took more than 0 s"):
        registries.add(address)
    slow.unlink()
    with pytest.raises(UsageError, match="git is not installed"):
        registries.add(address)


# ------------------------------------------------------------------------------------------------------------- the web


def packed(tree: Tree, kind: str, top: str = "repo-1/") -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            for path, text in tree.items():
                archive.writestr(top + path, text)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for path, text in tree.items():
                info = tarfile.TarInfo(top + path)
                if text.startswith("-> "):
                    info.type, info.linkname = tarfile.SYMTYPE, text[3:]
                    tar.addfile(info)
                    continue
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "toml"])
def test_an_address_is_pinned_by_its_hash(kind: str, tree: Tree, tls_server: FaultyServer) -> None:
    tree["caffe/small.toml"] = tree["caffe/small.toml"].replace('"colours"', '"unknown"')
    body = tree["caffe/small.toml"].encode() if kind == "toml" else packed(tree, kind)
    address = tls_server.on(f"/lab.{kind}", whole(body))
    found, count = registries.add(address, "lab")
    assert (found.kind, found.pin, count) == ("web", {"sha256": hashlib.sha256(body).hexdigest()}, 1)
    assert zoo.info("lab/x").name == "lab/resnet-x"
    tls_server.on(f"/lab.{kind}", says(404))
    with pytest.raises(FetchError, match="404"):
        registries.update("lab")
    assert zoo.info("lab/x").name == "lab/resnet-x"


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        ({"../x.toml": "x"}, "tar.gz", "leads outside"),
        ({"../../x.toml": "x"}, "zip", "leads outside"),
        ({"x.toml": "-> /etc/passwd"}, "tar.gz", "holds a link"),
        ({"x.toml": "#" * (5 << 20)}, "zip", "too many for what it is"),
    ],
)
def test_a_hostile_archive_is_refused(change: Tree, kind: str, told: str, tree: Tree, tls_server: FaultyServer) -> None:
    address = tls_server.on(f"/lab.{kind}", whole(packed({**tree, **change}, kind, top="")))
    with pytest.raises(FetchError, match=told):
        registries.add(address)
    assert registries.added() == []


def test_offline_says_so(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(FetchError, match="offline"):
        registries.add("https://127.0.0.1:9/lab.zip")


# ------------------------------------------------------------------------------------------------------------- the hub


def test_a_hugging_face_repository_gives_its_cards_alone(
    tree: Tree, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    siblings = []
    for path, text in {**tree, "model.bin": "x" * 9}.items():
        body = text.encode()
        blob = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
        siblings.append({"rfilename": path, "size": len(body), "blobId": blob})
        server.on(f"/lab/zoo/resolve/{COMMIT}/{path}", says(200, body, x_repo_commit=COMMIT, etag=f'"{blob}"'))
    said = json.dumps({"id": "lab/zoo", "sha": COMMIT, "siblings": siblings}).encode()
    server.on("/api/models/lab/zoo/revision/main?blobs=true", says(200, said, content_type="application/json"))
    with pytest.raises(UsageError, match="'zoo' means something else"):
        registries.add("hf:lab/zoo")
    found, count = registries.add("hf:lab/zoo", "lab")
    assert (found.kind, found.pin, count) == ("hub", {"commit": COMMIT}, 1)
    assert zoo.info("lab/x").name == "lab/resnet-x"
    asked = {path.rpartition("/")[2] for path, _ in server.requests}
    assert asked >= {"small.toml", "colours.txt"}
    assert not asked & {"model.bin", "evil.py", "README.md", "pyproject.toml"}

    server.on(f"/lab/zoo/resolve/{COMMIT}/labels/colours.txt", says(200, LABELS.upper().encode(), x_repo_commit=COMMIT))
    with pytest.raises(FetchError, match=r"colours\.txt: is not the file that the hub lists"):
        registries.update("lab")
    server.on("/api/models/lab/zoo/revision/main?blobs=true", says(404, x_error_code="RepoNotFound"))
    with pytest.raises(FetchError, match="has no repository lab/zoo"):
        registries.update("lab")


# ------------------------------------------------------------------------------------------------------------ packages


def test_a_packages_folder_is_read_and_nothing_of_it_imported(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    code = {"labzoo/__init__.py": "raise SystemExit('imported')", "labzoo/models/__init__.py": "raise SystemExit('x')"}
    facts = {
        "METADATA": "Metadata-Version: 2.1\nName: Lab.Zoo\nVersion: 1.2\n",
        "entry_points.txt": "[zoo.registries]\nlabs = labzoo.models\n",
    }
    write(site, {**code, **{f"lab_zoo-1.2.dist-info/{name}": text for name, text in facts.items()}})
    write(site / "labzoo" / "models", tree)
    monkeypatch.syspath_prepend(site)
    found, count = registries.add("lab-zoo")
    assert (found.name, found.kind, found.pin, count) == ("lab-zoo", "package", {"version": "1.2"}, 1)
    assert found.folder == site / "labzoo" / "models"
    assert zoo.info("lab-zoo/x").name == "lab-zoo/resnet-x"
    assert registries.add("package:labs")[0].name == "labs"
    assert not [name for name in sys.modules if name.startswith("labzoo")]
    with pytest.raises(UsageError, match="no installed package has an entry point"):
        registries.add("package:other")


def test_the_commands_say_what_they_did(tree: Tree, tmp_path: Path) -> None:
    folder = write(tmp_path / "lab", tree)
    assert run("registry", "list").output == "none; `zoo registry add SOURCE` adds one\n"
    assert run("registry", "add", str(folder), "--name", "ours").output.startswith("ours: 1 model, read in ")
    assert run("registry", "list").output.split()[6:9] == ["ours", "1", "folder"]
    assert run("registry", "update").output.startswith("ours: 1 model, read in ")
    assert run("registry", "remove", "ours").output == "ours: removed\n"
    assert registries.added() == []
    assert index.open().names["efficientnet-lite0"]
