"""One commit of a git repository as bytes: `git` fetches and lists it, and no working tree is ever made.

Without a working tree there are no hooks, filters, submodules, links or file names that could do anything; git itself
is told to run no hook, ask no question and speak no protocol but the address's own.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from zoo import cache
from zoo.errors import CardError, FetchError, UsageError
from zoo.registries import check_room
from zoo.registry_sources import maybe

LIMIT = 256 << 20
"""Bytes that a repository's last commit may take on the disk."""
SECONDS = 300.0
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}\Z")


def snapshot(address: str, ref: str, name: str) -> tuple[dict[str, bytes], dict[str, str]]:
    """Fetches one commit and returns what may be a registry's files in it.

    Args:
        address: https://... or file:///...
        ref: branch, tag, commit or HEAD.
        name: the registry's, for messages.

    Returns:
        (path -> bytes, {"commit": its id}).

    Raises:
        FetchError: git cannot have it.
        CardError: a file is a link, or there are too many.
        UsageError: git is not installed, or the ref is none.
    """
    if shutil.which("git") is None:
        raise UsageError(f"{address}: git is not installed; install it, or name an archive (.tar.gz, .zip)")
    if not _REF.match(ref) or ".." in ref:
        raise UsageError(f"{address}#{ref}: expected a branch, a tag or a commit behind '#'")
    with tempfile.TemporaryDirectory(prefix="zoo-git-", ignore_cleanup_errors=True) as folder:
        git = _Git(Path(folder) / "repository", address)
        git.run("init", "--quiet", "--bare", str(git.folder))
        git.run(
            "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-commit-graph",
            "--no-auto-maintenance", "--end-of-options", address, ref,
        )  # fmt: skip
        commit = git.run("rev-parse", "--verify", "FETCH_HEAD^{commit}").decode().strip()
        return _files(git, commit, name), {"commit": commit}


def _files(git: _Git, commit: str, name: str) -> dict[str, bytes]:
    chosen: dict[str, str] = {}
    total = 0
    for entry in git.run("ls-tree", "-r", "-z", "-l", "--full-tree", commit).split(b"\0"):
        facts, _, raw = entry.partition(b"\t")
        path = raw.decode("utf-8", "replace")
        if not facts or not maybe(path):
            continue
        mode, kind, blob, size = facts.decode().split()
        if mode == "120000" or kind != "blob":
            raise CardError(f"{name}: {path}: is a link; put a file there")
        total += int(size)
        check_room(name, path, int(size), len(chosen) + 1, total)
        chosen[path] = blob
    answer, found = git.run("cat-file", "--batch", given="".join(f"{blob}\n" for blob in chosen.values())), {}
    for path, blob in chosen.items():
        head, _, rest = answer.partition(b"\n")
        if not head.startswith(f"{blob} blob ".encode()):
            raise FetchError(f"{git.address}: {path}: git gave something else")
        length = int(head.split()[2])
        found[path], answer = rest[:length], rest[length + 1 :]
    return found


class _Git:
    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address
        self._environment = {
            **{
                key: value
                for key, value in os.environ.items()
                if not key.startswith("GIT_") or key.startswith(("GIT_SSL", "GIT_EXEC_PATH"))
            },
            "GIT_ALLOW_PROTOCOL": address.partition(":")[0],
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "SSH_ASKPASS": "",
            "GCM_INTERACTIVE": "never",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "LC_ALL": "C",
        }

    def run(self, *arguments: str, given: str = "") -> bytes:
        """Runs git and returns what it writes; it is stopped when it takes too long or too much."""
        settings = (
            f"core.hooksPath={os.devnull}", "core.fsmonitor=false", "core.askPass=", "gc.auto=0",
            "transfer.fsckObjects=true", "fetch.fsckObjects=true", "submodule.recurse=false",
        )  # fmt: skip
        command = ["git", *(part for setting in settings for part in ("-c", setting))]
        if arguments[0] != "init":
            command.append(f"--git-dir={self.folder}")
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as text:
            text.write(given.encode())
            text.seek(0)
            process = subprocess.Popen(
                [*command, *arguments],
                stdin=text,
                stdout=out,
                stderr=said,
                env=self._environment,
                start_new_session=True,
            )
            try:
                self._wait(process)
            finally:
                _end(process)
            if process.returncode:
                said.seek(0)
                raise FetchError(f"{self.address}: git {arguments[0]}: {_last_line(said.read(20_000))}")
            out.seek(0)
            return out.read()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + SECONDS
        while True:
            try:
                process.wait(0.1)
                return
            except subprocess.TimeoutExpired:
                pass
            if time.monotonic() > end:
                raise FetchError(f"{self.address}: git took more than {SECONDS:.0f} s; try again later")
            if _size(self.folder) > LIMIT:
                raise FetchError(
                    f"{self.address}: the repository has more than {cache.megabytes(LIMIT)} without its history; "
                    "ask for one that holds the cards alone"
                )


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends git and the helpers that it started."""
    if process.poll() is None:
        with contextlib.suppress(OSError):
            if os.name == "nt":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(said: bytes) -> str:
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    told = next(
        (line for line in lines if line.startswith(("fatal:", "remote:", "error:"))), lines[-1] if lines else ""
    )
    text = re.sub(r"://[^/\s@]*@", "://", told.removeprefix("fatal: ")) or "failed without a word"
    return "".join(letter for letter in text if letter.isprintable())[:300]
