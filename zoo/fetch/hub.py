"""Files of Hugging Face repositories: huggingface_hub finds them; its endpoint, token and offline switch hold.

The bytes come through `zoo.fetch.http` as any file's do: resumed by the next process, in pieces, and hashed on the way.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any

import urllib3

from zoo.fetch.digest import Published
from zoo.fetch.places import PlaceError
from zoo.files import HubPlace

_TIMEOUT = (10, 30)  # seconds to connect, and between two bytes


def address(place: HubPlace, published: Published | None = None) -> tuple[str, dict[str, str] | None]:
    """Returns a file's address and the headers that its host wants, after asking the hub whether it gives the file.

    Raises:
        PlaceError: the hub does not give the file, or has another one than the published.
    """
    url, size = _asked(place)
    if published and published.size and size not in (None, published.size):
        raise PlaceError(f"has {size:,} bytes, the published file has {published.size:,}")
    found = token()
    return url, {"Authorization": f"Bearer {found}"} if found else None


def _asked(place: HubPlace) -> tuple[str, int | None]:
    """Returns a file's address and, as the hub says, its bytes."""
    import huggingface_hub
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise PlaceError("huggingface_hub is set offline (HF_HUB_OFFLINE)")
    hub = endpoint()
    with reasons(place):
        url = huggingface_hub.hf_hub_url(place.repo, place.file, revision=place.revision, endpoint=hub)
        return url, huggingface_hub.get_hf_file_metadata(url, endpoint=hub).size


def size(place: HubPlace) -> int | None:
    """Returns the bytes that the hub says a file has.

    Raises:
        PlaceError: the hub does not give the file.
    """
    return _asked(place)[1]


def facts(repo: str, revision: str) -> Any:
    """Returns what the hub says of a model repository at a revision: `sha`, `siblings` with sizes and hashes, and more.

    Raises:
        PlaceError: the hub does not say it.
    """
    import huggingface_hub
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise PlaceError("huggingface_hub is set offline (HF_HUB_OFFLINE)")
    with reasons(HubPlace(kind="hub", repo=repo, file="README.md", revision=revision)):
        found = huggingface_hub.HfApi(endpoint=endpoint()).model_info(
            repo, revision=revision, files_metadata=True, timeout=_TIMEOUT[1], token=token() or False
        )
    if not re.match(r"[0-9a-f]{40}\Z", str(found.sha)):
        raise PlaceError(f"{repo}: the hub names no commit")
    return found


def read(place: HubPlace, most: int) -> bytes:
    """Returns a small file of a repository.

    Raises:
        PlaceError: the hub does not give it, or it has more than `most` bytes.
    """
    import requests

    url, login = address(place)
    try:
        with requests.get(url, headers=login or {}, timeout=_TIMEOUT, stream=True) as answer:
            answer.raise_for_status()
            body: bytes = answer.raw.read(most + 1, decode_content=True)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise PlaceError(f"{place.file} cannot be fetched: {type(error).__name__}; try again") from error
    if len(body) > most:
        raise PlaceError(f"{place.file}: more than {most} bytes")
    return body


def endpoint() -> str:
    """Returns the hub's address, read now and not when huggingface_hub was imported, as its own variable is."""
    from huggingface_hub import constants

    return os.environ.get("HF_ENDPOINT") or constants.ENDPOINT


def token() -> str | None:
    """Returns the user's token, unless HF_HUB_DISABLE_IMPLICIT_TOKEN forbids sending one that nobody asked for."""
    import huggingface_hub
    from huggingface_hub import constants

    return None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else huggingface_hub.get_token()


@contextlib.contextmanager
def reasons(place: HubPlace) -> Iterator[None]:
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
        if unreachable(error):
            raise PlaceError("no network, or the hub cannot be reached") from error
        raise PlaceError(f"huggingface_hub failed: {short(error)}") from error


def unreachable(error: Exception) -> bool:
    """Returns whether an error says that there is no way to the hub, whatever library speaks HTTP."""
    names = {base.__name__ for base in type(error).__mro__}
    return bool(names & {"ConnectError", "ConnectTimeout", "ConnectionError", "OfflineModeIsEnabled"})


def short(error: Exception) -> str:
    """Returns an error as one printable line without logins, tokens and queries of addresses."""
    text = re.sub(r"://[^/\s@]*@", "://", " ".join(str(error).split()))
    text = re.sub(r"\?\S*|hf_\w+|(?i:bearer)\s+\S+", "...", text)
    return f"{type(error).__name__}: " + "".join(letter for letter in text if letter.isprintable())[:160]
