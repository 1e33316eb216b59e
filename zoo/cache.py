"""Where things lie on disk, and how they get there whole.

    $ZOO_HOME (default: the platform's cache folder)
      files/<algorithm>/<digest>     downloads, by content hash; files/by-address/ pins files without a strong hash
      models/<name>/<key>/           converted models
      partial/                       downloads under way, or waiting to be resumed
      hub/                           cards made of Hugging Face repositories
      index/                         the registry, compiled (zoo.index)
      registries/                    other people's registries (zoo.registries; without $ZOO_HOME among the user's data)
      check/                         what is known of Keras's own networks (zoo.check)
      locks/                         one empty file per thing that was locked

Correctness rests on unique temporary names and renames alone: a lock only spares the second process the work, so one
that does nothing (network folders) or cannot be made (read-only cache) is no error. A temporary name tells which
process owns it; what a dead process left is removed by the next one that writes to the same place.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import ZooError

# EFBIG is what a file size limit (ulimit -f, FAT32) gives; to a user it is the same: no more bytes fit here.
_NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_NOT_WRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST}

# Age at which a temporary file of another machine, whose processes cannot be asked about, counts as left behind.
_ABANDONED_AFTER = 24 * 3600


def home() -> Path:
    """Returns the cache's folder: $ZOO_HOME, else `zoo` in the platform's cache folder. It may not exist yet."""
    chosen = os.environ.get("ZOO_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("zoo", appauthor=False)


def data_home() -> Path:
    """Returns the folder of what the user added: $ZOO_HOME, else `zoo` in the platform's folder for data.

    The platform's cache folder, where everything else lies, may be emptied at any time.
    """
    if os.environ.get("ZOO_HOME"):
        return home()
    import platformdirs

    return platformdirs.user_data_path("zoo", appauthor=False)


def registries_dir() -> Path:
    """Returns where other people's registries are noted and kept; it is there once one was added."""
    return data_home() / "registries"


def files_dir() -> Path:
    """Returns the folder of downloads, by content hash."""
    return home() / "files"


def models_dir() -> Path:
    """Returns the folder of converted models."""
    return home() / "models"


def folder_name(model: str) -> str:
    """Returns a model's name as part of a path: `hf:owner/name` is `hf--owner--name`, `lab/name` is `lab@name`."""
    if not model.startswith("hf:"):
        return model.replace("/", "@")  # no name holds an '@'
    return model.replace(":", "--").replace("/", "--")


def model_of(folder: str) -> str:
    """Returns the name of the model that `folder_name` made a folder's name of."""
    if not folder.startswith("hf--"):
        return folder.replace("@", "/")
    return "/".join(folder.replace("--", ":", 1).split("--", 1))


def partial_dir() -> Path:
    """Returns the folder of unfinished downloads; on the disk of `files_dir`, so that finishing one is a rename."""
    return home() / "partial"


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Holds the lock of a path, so that one process at a time does the work of making it.

    The lock is a courtesy: where the folder is read-only or has no locks, the body runs without one.
    """
    from filelock import FileLock

    file = _lock_file(path)
    held: FileLock | None = FileLock(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if held:
            held.acquire()
    except (OSError, NotImplementedError):
        held = None
    try:
        yield
    finally:
        if held:
            held.release()


def locked(path: Path) -> bool:
    """Returns whether someone, this process included, holds the lock of a path now."""
    return _held(_lock_file(path))


def remove_free_locks() -> None:
    """Removes the lock files that nobody holds; one that is taken in the same moment costs work, no correctness."""
    with contextlib.suppress(OSError):
        for file in (home() / "locks").iterdir():
            if file.suffix == ".lock" and file.is_file() and not file.is_symlink() and not _held(file):
                remove(file)


def _lock_file(path: Path) -> Path:
    try:
        name = "-".join(path.absolute().relative_to(home()).parts)
    except ValueError:
        name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:32]
    return home() / "locks" / f"{name}.lock"


def _held(file: Path) -> bool:
    from filelock import FileLock, Timeout

    if not file.exists():
        return False
    trial = FileLock(file)
    try:
        trial.acquire(timeout=0)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
    trial.release()
    return False


@contextlib.contextmanager
def atomic_folder(final: Path) -> Iterator[Path]:
    """Gives an empty folder beside `final`, and renames it to `final` if the body succeeds; else leaves nothing.

    If another process finished `final` meanwhile, its folder stays and this one is dropped: both hold the same.

    Raises:
        ZooError: there is no room, or no right to write.
    """
    with disk_errors(final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
        _sweep(final.parent, final.name)
        temporary = _beside(final)
        temporary.mkdir()
    try:
        with disk_errors(final.parent, writable=None):
            yield temporary
        with disk_errors(final.parent):
            for path in temporary.rglob("*"):
                if path.is_file():
                    _sync(path)
            _rename_folder(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def atomic_file(final: Path) -> Iterator[Path]:
    """Gives a free name beside `final` with its suffix, and renames that file to `final` if the body succeeds.

    Raises:
        ZooError: there is no room, or no right to write.
    """
    with disk_errors(final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
        _sweep(final.parent, final.name)
        temporary = _beside(final)
        temporary.touch(exist_ok=False)
        temporary.unlink()
    try:
        with disk_errors(final.parent, writable=None):
            yield temporary
        with disk_errors(final.parent):
            settle(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


def settle(temporary: Path, final: Path) -> None:
    """Gives a finished file its final name; on the disk before the name is."""
    _sync(temporary)
    try:
        os.replace(temporary, final)
    except PermissionError:
        # Windows refuses to replace a file that someone has open.
        if os.name != "nt" or not final.exists():
            raise
    _sync_folder(final.parent)


def check_room(folder: Path, needed: int, *, kind: type[ZooError] = ZooError) -> None:
    """Raises `kind` if the disk of `folder` has less than `needed` bytes left."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        free = shutil.disk_usage(there).free
    except OSError:
        return
    if free < needed:
        raise kind(
            f"{folder}: no room on disk: {megabytes(needed)} needed, {megabytes(free)} free; "
            "free some, or set ZOO_HOME to a folder on a larger disk"
        )


@contextlib.contextmanager
def disk_errors(
    folder: Path, *, kind: type[ZooError] = ZooError, writable: set[int] | None = _NOT_WRITABLE
) -> Iterator[None]:
    """Says in one line that a disk is full or that `folder` cannot be written.

    Args:
        folder: where the body writes.
        kind: error to raise.
        writable: error numbers that mean "not writable"; None where the body also touches other folders.
    """
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        if no_room(error):
            raise kind(
                f"{folder}: no room left on disk; free some, or set ZOO_HOME to a folder on a larger disk"
            ) from error
        if writable and isinstance(error, OSError) and error.errno in writable:
            raise kind(
                f"{folder}: cannot be written ({os.strerror(error.errno or 0)}); "
                "set ZOO_HOME to a folder that you may write"
            ) from error
        raise


def no_room(error: BaseException) -> bool:
    """Returns whether an error says that the disk is full; libraries written in Rust or C say so in words only."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return True
    return "No space left on device" in str(error) or "os error 28" in str(error)


def megabytes(count: int) -> str:
    """Returns a number of bytes for people."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def owner() -> str:
    """Returns a new unique mark, `<machine>-<process>-<random>`, that says who made a temporary name."""
    return f"{_machine()}-{os.getpid()}-{os.urandom(4).hex()}"


def abandoned(path: Path, mark: str) -> bool:
    """Returns whether the process that made a temporary `path` under the given mark is gone."""
    machine, _, rest = mark.partition("-")
    process = rest.partition("-")[0]
    if machine == _machine() and process.isdigit() and os.name != "nt":
        return not _runs(int(process))
    # Another machine, container or boot (or Windows, where asking about a process would end it): only time can tell.
    try:
        newest = max(there.stat().st_mtime for there in (path, *path.glob("*")))
    except OSError:
        return False
    return time.time() - newest > _ABANDONED_AFTER


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # someone else's
        return True
    try:
        # A killed process has a number until its parent asks what became of it.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


@functools.cache
def _machine() -> str:
    """Returns a hash of what makes process numbers comparable: host, boot and process namespace."""
    facts = [platform.node()]
    with contextlib.suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        facts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]


def _beside(final: Path) -> Path:
    return final.with_name(f".{final.name}.{owner()}.tmp{final.suffix}")


def _sweep(folder: Path, name: str) -> None:
    """Removes what dead processes left when they wrote `name`; nothing else, whatever the folder is."""
    start = f".{name}."
    for path in folder.iterdir():
        if path.name.startswith(start) and ".tmp" in path.name:
            mark = path.name[len(start) :].partition(".tmp")[0]
            if mark.count("-") == 2 and abandoned(path, mark):
                remove(path)


def remove(path: Path) -> None:
    """Removes a file or folder that zoo made; one that is gone, or cannot be removed, is left to the next run."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _rename_folder(temporary: Path, final: Path) -> None:
    try:
        os.rename(temporary, final)
    except OSError:
        if not final.is_dir():
            raise
        if {path.name for path in temporary.iterdir()} <= {path.name for path in final.iterdir()}:
            return
        # The folder that is there lacks something (a user deleted a file): it gives way.
        aside = _beside(final)
        os.rename(final, aside)
        os.rename(temporary, final)
        shutil.rmtree(aside, ignore_errors=True)
    _sync_folder(final.parent)


def _sync(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes a rename last through a power cut, where the system can."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
