"""Requests to a server, and the redirects that are followed; whether an address gives a file at all."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

import zoo
from zoo.fetch import answers, shares
from zoo.fetch.pages import impostor
from zoo.fetch.places import Patience, PlaceError, host_of

TELLING = 512  # bytes that tell a web page from a model
_MAX_REDIRECTS = 10


def new_session() -> requests.Session:
    session = requests.Session()
    session.headers["User-Agent"] = f"convnet-zoo/{zoo.__version__}"
    # Byte ranges and hashes are of the file as it lies on the server, not of a compressed rendering.
    session.headers["Accept-Encoding"] = "identity"
    return session


def range_of(start: int, end: int) -> dict[str, str]:
    return {"Range": f"bytes={start}-{end - 1}"}


def follow(
    session: requests.Session, target: str, headers: Mapping[str, str], patience: Patience, login: Mapping[str, str]
) -> requests.Response:
    """Sends a request and follows redirects; each hop is a request of its own, so no credentials travel along.

    Raises:
        PlaceError: it leads where nothing is to be fetched from.
    """
    url = target
    for _ in range(_MAX_REDIRECTS + 1):
        # Logins and the user's netrc are for the hosts that the card names, not for those that a server names.
        elsewhere = urlsplit(url).netloc != urlsplit(target).netloc
        try:
            response = session.get(
                url,
                headers=dict(headers) if elsewhere else {**headers, **login},
                stream=True,
                allow_redirects=False,
                timeout=(patience.connect, patience.read),
                auth=_nobody if elsewhere or login else None,
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise answers.failure(error, host_of(url), patience) from error
        location = response.headers.get("location")
        if location is None or response.status_code not in (301, 302, 303, 307, 308):
            return response
        response.close()
        location = urljoin(url, location)
        was, becomes = urlsplit(url).scheme, urlsplit(location).scheme
        if becomes not in ("http", "https") or (was == "https" and becomes == "http"):
            raise PlaceError(f"redirects from {was} to {becomes}, which is refused")
        if "@" in urlsplit(location).netloc:
            raise PlaceError(f"redirects to {host_of(location)} with a login in the address, which is refused")
        url = location
    raise PlaceError(f"redirects in a circle (more than {_MAX_REDIRECTS} times)")


def probe(url: str, *, patience: Patience, direct: Mapping[str, shares.Direct] = shares.DIRECT) -> int | None:
    """Asks whether an address gives a file, without fetching more than its first bytes.

    Args:
        url: address of the file, or of a page of a file sharing service in `direct`.
        patience: when to give up.
        direct: as for `download`.

    Returns:
        Bytes that the server says the file has; None if it does not say.

    Raises:
        PlaceError: it does not answer, or with something that is no file.
    """
    target = shares.resolve(url, direct)
    for attempt in range(1, patience.attempts + 1):
        try:
            with (
                new_session() as session,
                closing(follow(session, target, range_of(0, TELLING), patience, {})) as response,
            ):
                if response.status_code not in (200, 206):
                    raise answers.refusal(response, url)
                whole = response.status_code == 200
                total = answers.length(response) if whole else answers.content_range(response)[2]
                try:
                    kind = impostor(response.raw.read(TELLING, decode_content=True))
                except answers.CUT as error:
                    raise answers.failure(error, host_of(url), patience) from error
                if kind:
                    raise PlaceError(kind)
                return total
        except answers.TryAgainError as error:
            if attempt == patience.attempts or error.after > patience.read:
                raise PlaceError(str(error)) from error
            time.sleep(max(error.after, patience.backoff * 2 ** (attempt - 1)))
    raise AssertionError


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Logs in as no one; requests asks netrc only where no login is given."""
    return request
