"""Files of Hugging Face repositories, through huggingface_hub: its endpoint, token, proxies and offline switch hold."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from zoo.cache import megabytes
from zoo.fetch.digest import Digester, Published
from zoo.fetch.places import PlaceError
from zoo.fetch.progress import Bar
from zoo.schema import HubPlace


def download(place: HubPlace, folder: Path, published: Published, bar: Bar) -> tuple[Digester, Path]:
    """Fetches a file into a folder, and returns what was counted and hashed, and where it lies.

    Raises:
        PlaceError: the hub does not give the file, or not the published one.
    """
    import huggingface_hub
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise PlaceError("huggingface_hub is set offline (HF_HUB_OFFLINE)")
    # Read now and not when the library was imported, as its own variable is.
    endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    with _reasons(place), _quiet():
        url = huggingface_hub.hf_hub_url(place.repo, place.file, revision=place.revision, endpoint=endpoint)
        size = huggingface_hub.get_hf_file_metadata(url).size
        if size is not None and size != (published.size or size):
            raise PlaceError(f"has {size:,} bytes, the published file has {published.size:,}")
        if (size or 0) > published.limit:
            raise PlaceError(f"has {megabytes(size or 0)}, more than any model file")
        bar.at(0)
        path = Path(
            huggingface_hub.hf_hub_download(
                place.repo, place.file, revision=place.revision, endpoint=endpoint, local_dir=folder
            )
        )
    digester = Digester(published)
    digester.read(path)
    bar.at(digester.count)
    problem = digester.problem(path)
    if problem:
        raise PlaceError(problem)
    return digester, path


@contextlib.contextmanager
def _reasons(place: HubPlace) -> Iterator[None]:
    """Says in one line what huggingface_hub complains of."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise PlaceError(
            f"{place.repo} is gated: ask for access on its page, then log in with 'hf auth login' or set HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise PlaceError(f"has no repository {place.repo}, or only for those who log in (HF_TOKEN)") from error
    except errors.RevisionNotFoundError as error:
        raise PlaceError(f"{place.repo} has no revision {place.revision}") from error
    except errors.LocalEntryNotFoundError as error:
        raise PlaceError("no network, or the hub cannot be reached") from error
    except errors.EntryNotFoundError as error:
        raise PlaceError(f"{place.repo} has no file {place.file}") from error
    except PlaceError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise  # of the disk: told by whoever knows the folder
        raise PlaceError(f"huggingface_hub failed: {_short(error)}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences huggingface_hub's own bars; zoo shows one."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    were_off = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not were_off:
            enable_progress_bars()


def _short(error: Exception) -> str:
    """Returns an error as one printable line without logins, tokens and queries of addresses."""
    text = re.sub(r"://[^/\s@]*@", "://", " ".join(str(error).split()))
    text = re.sub(r"\?\S*|hf_\w+|(?i:bearer)\s+\S+", "...", text)
    return f"{type(error).__name__}: " + "".join(letter for letter in text if letter.isprintable())[:160]
