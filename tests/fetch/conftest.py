"""What the tests of fetching share: a server, an empty cache, a second process.

Which file tests which way to fail (numbers of the project's list of bad inputs):

    1 cut body, 2 too long, 3 flipped byte, 4 200 to a range, 5 other start, 6 changed between ranges, 7 compressed
      piece, 8 416 when complete, 9 web page, 10 Git-LFS pointer, 12 redirect to http or file, 13 redirects in a circle,
      15 stalled, 16 no length, 22 first place wrong, 23 bad certificate     test_http_faults.py; 3 to 7, 9 in pieces:
                                                                             test_ranges.py
    11 confirm page, 14 names that servers give                              test_http_faults.py, test_places_told.py
    17 full disk, 18 one of two killed, 19 lock that does not lock, 20 read-only cache     test_processes.py
    21 cached file edited: another size when it is fetched (test_http_faults.py); the same size is for
      `zoo cache verify`, which reads the bytes
    24 names that lead outside, 25 symlinks, 26 hard links, 27 devices, 28 bombs, 29 doubled names, 30 capitals,
      31 wrong encoding or packing, 32 appended zip, 33 extra members        test_archive.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faulty_server import FaultyServer


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ZOO_OFFLINE", raising=False)
    return tmp_path / "home"


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running
        running.shutdown()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key, made now."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            *subject,
            "-keyout",
            str(path),
            "-out",
            f"{path}.crt",
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def tls_server(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """A server with a certificate that requests is told to trust."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{certificate}.crt")
    with FaultyServer(certificate) as running:
        yield running
        running.shutdown()


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script in a process of its own."""

    def run(script: str, *args: str, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, *args]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload]

    return run
