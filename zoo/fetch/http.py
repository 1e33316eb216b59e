"""Files from the web: streamed, checked while they come, resumed after a cut and after the end of the process.

requests speaks HTTP (proxies, netrc and certificates as the user's system has them); what is here is what it leaves to
its caller: which answers to a Range request may be trusted, which redirects are followed, when to try again, when to
stop.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from contextlib import closing
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

import zoo
from zoo.cache import megabytes
from zoo.fetch.digest import CHUNK, Digester, Published
from zoo.fetch.pages import HEAD, impostor
from zoo.fetch.parts import Part
from zoo.fetch.places import Patience, PlaceError, host_of
from zoo.fetch.progress import Bar

_BUSY = {408, 425, 429, 500, 502, 503, 504}
_MAX_REDIRECTS = 10
_PROGRESS = 1 << 16  # bytes that make an attempt count as one that brought something
_TELLING = 512  # bytes that tell a web page from a model
_LONGEST_WAIT = 30.0  # seconds; a server that asks for more is not waited for
_CUT = (
    urllib3.exceptions.HTTPError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    OSError,
)


class UnreachableError(PlaceError):
    """The server's host cannot be reached at all; its other files cannot be had either."""


class _TryAgainError(Exception):
    """This attempt failed, the next may not."""

    def __init__(self, reason: str, *, unreachable: bool = False, after: float = 0.0) -> None:
        super().__init__(reason)
        self.unreachable = unreachable
        self.after = after


def download(url: str, part: Part, published: Published, *, patience: Patience, bar: Bar) -> Digester:
    """Fetches `url` into `part`, continuing what is there, until its bytes are the published ones.

    Raises:
        PlaceError: the server does not give the file.
        UnreachableError: there is no such server, or no network.
    """
    if urlsplit(url).scheme == "http" and "sha256" not in published.digests:
        raise PlaceError("plain http is refused for a file without a published sha256")
    if part.size and (part.about.get("url") != url or not (_validator(part) or published.digests)):
        part.restart()
    return _Transfer(url, part, published, patience, bar).run()


class _Transfer:
    def __init__(self, url: str, part: Part, published: Published, patience: Patience, bar: Bar) -> None:
        self.url = url
        self.part = part
        self.published = published
        self.patience = patience
        self.bar = bar
        self.digester = Digester(published)
        self.session = requests.Session()
        self.session.headers["User-Agent"] = f"convnet-zoo/{zoo.__version__}"
        # Byte ranges and hashes are of the file as it lies on the server, not of a compressed rendering.
        self.session.headers["Accept-Encoding"] = "identity"
        self.encoding = ""
        self.resumed = False

    def run(self) -> Digester:
        """Attempts until the file is whole and right."""
        failures, most, started_over = 0, self.part.size, False
        with self.session:
            while True:
                try:
                    self._attempt()
                except _TryAgainError as error:
                    # Measured against the most there ever was: a server that makes us start over is no progress.
                    failures = 1 if self.part.size >= most + _PROGRESS else failures + 1
                    most = max(most, self.part.size)
                    self._give_up_or_wait(error, failures)
                    continue
                finally:
                    self.part.close()
                problem = self.digester.problem(self.part.body)
                if problem is None:
                    return self.digester
                self._restart()
                # What an earlier attempt left may be of another version of the file: that is no fault of this one.
                if not self.resumed or started_over:
                    raise PlaceError(problem + self._compressed())
                started_over = True

    def _give_up_or_wait(self, error: _TryAgainError, failures: int) -> None:
        limit = self.patience.unreachable if error.unreachable else self.patience.attempts
        if failures >= limit:
            had = f" after {megabytes(self.part.size)}" if self.part.size else ""
            if error.unreachable and not self.part.size:
                raise UnreachableError(str(error))
            raise PlaceError(f"{error}{had}, {failures} attempts in a row")
        wait = self.patience.backoff * 2 ** (failures - 1) * random.uniform(0.75, 1.25)
        time.sleep(max(wait, error.after))

    def _restart(self, about: dict[str, str] | None = None) -> None:
        self.part.restart(about)
        self.digester = Digester(self.published)

    def _attempt(self) -> None:
        """Asks for what is missing and writes it to the part."""
        have, size = self.part.size, self.published.size
        self.resumed = True
        if size is not None and have > size:
            self._restart()
            have = 0
        if self.digester.count != have:
            self.digester = Digester(self.published)
            self.digester.read(self.part.body)
        if have and have == size:
            return
        headers = {}
        if have:
            headers["Range"] = f"bytes={have}-"
            validator = _validator(self.part)
            if validator:
                headers["If-Range"] = validator
        with closing(self._open(headers)) as response:
            if self._accept(response, have):
                self._body(response)

    def _open(self, headers: dict[str, str]) -> requests.Response:
        """Sends the request and follows redirects; each hop is a request of its own, so no credentials travel along."""
        url = self.url
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                response = self.session.get(
                    url,
                    headers=headers,
                    stream=True,
                    allow_redirects=False,
                    timeout=(self.patience.connect, self.patience.read),
                )
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                raise _why(error, host_of(url), self.patience) from error
            target = response.headers.get("location")
            if target is None or response.status_code not in (301, 302, 303, 307, 308):
                return response
            response.close()
            target = urljoin(url, target)
            was, becomes = urlsplit(url).scheme, urlsplit(target).scheme
            if becomes not in ("http", "https") or (was == "https" and becomes == "http"):
                raise PlaceError(f"redirects from {was} to {becomes}, which is refused")
            url = target
        raise PlaceError(f"redirects in a circle (more than {_MAX_REDIRECTS} times)")

    def _accept(self, response: requests.Response, have: int) -> bool:
        """Checks what the server answered to a request for all after `have` bytes; whether a body is to be read."""
        status = response.status_code
        if status == 200:
            self._restart(_about(self.url, response))
            self.resumed = False
            return True
        if have and status == 206:
            start, total = _content_range(response)
            tag, now = self.part.about.get("etag"), response.headers.get("etag")
            same = not (tag and now and tag != now)
            if start == have and same and total in (None, self.published.size or total):
                return True
            self._restart()
            raise _TryAgainError("gives another part of the file than it was asked for")
        if have and status == 416:
            # Nothing comes after what is there: it is the whole file, or another one's.
            if _content_range(response)[1] == have:
                return False
            self._restart()
            raise _TryAgainError("has a file of another size than before")
        reason = f"answers {status} {_phrase(status)}".rstrip()
        if status in _BUSY:
            after = _retry_after(response)
            if after > _LONGEST_WAIT:
                raise PlaceError(f"{reason}; asks to come back in {after:.0f} s")
            raise _TryAgainError(reason, after=after)
        raise PlaceError(reason)

    def _body(self, response: requests.Response) -> None:
        """Writes the body to the part, as long as it can still be the published file."""
        self.encoding = response.headers.get("content-encoding", "")
        start, size = self.part.size, self.published.size
        length = _length(response)
        read = self._reader(response)
        chunk = read(CHUNK)
        if start == 0:
            chunk = _fill(chunk, _TELLING, read)
            if impostor(chunk):
                raise self._wrong(impostor(_fill(chunk, HEAD, read)) or "")
        if size is not None and length is not None and start + length != size:
            raise self._wrong(f"has {start + length:,} bytes, the published file has {size:,}")
        since, had = time.monotonic(), self.digester.count
        while chunk:
            if self.digester.count + len(chunk) > self.published.limit:
                raise self._wrong(f"sends more than the {self.published.limit:,} bytes of the published file")
            self.part.write(chunk)
            self.digester.update(chunk)
            self.bar.at(self.digester.count)
            if time.monotonic() - since > self.patience.window:
                if self.digester.count - had < self.patience.window * self.patience.slowest:
                    raise _TryAgainError(f"sends less than {megabytes(self.patience.slowest)} a second")
                since, had = time.monotonic(), self.digester.count
            chunk = read(CHUNK)
        end = size if length is None else start + length
        if end is not None and self.digester.count < end:
            raise _TryAgainError("cuts the connection")

    def _reader(self, response: requests.Response) -> Callable[[int], bytes]:
        host = host_of(response.url)

        def read(count: int) -> bytes:
            try:
                data: bytes = response.raw.read1(count, decode_content=False)
            except _CUT as error:
                raise _why(error, host, self.patience) from error
            return data

        return read

    def _wrong(self, reason: str) -> PlaceError:
        reason += self._compressed()
        self._restart()
        return PlaceError(reason)

    def _compressed(self) -> str:
        if self.encoding.lower() in ("", "identity"):
            return ""
        return f" (the server compressed it, {self.encoding[:20]!a}, though asked not to)"


def _fill(chunk: bytes, count: int, read: Callable[[int], bytes]) -> bytes:
    """Returns the chunk with more bytes behind it, until it has `count` or the body ends."""
    while len(chunk) < count and (more := read(CHUNK)):
        chunk += more
    return chunk


def _why(error: Exception, host: str, patience: Patience) -> Exception:
    """Returns what a failure of the connection means: try again, or give up with a reason."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        detail = re.search(r"verify failed: ([^(]*)", text)
        return PlaceError(f"the certificate of {host} is not valid{': ' + detail[1].strip() if detail else ''}")
    if isinstance(error, requests.exceptions.ProxyError):
        return _TryAgainError("the proxy does not let it through, or is not there", unreachable=True)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return _TryAgainError(f"no connection to {host} in {patience.connect:g} s", unreachable=True)
    if isinstance(error, requests.exceptions.ReadTimeout | urllib3.exceptions.ReadTimeoutError):
        return _TryAgainError(f"sends nothing for {patience.read:g} s")
    if "NameResolutionError" in text or "getaddrinfo failed" in text or "Name or service not known" in text:
        return _TryAgainError(f"no network, or no such host ({host})", unreachable=True)
    if "Connection refused" in text or "actively refused" in text:
        return _TryAgainError(f"{host} refuses the connection", unreachable=True)
    if "NewConnectionError" in text or "Network is unreachable" in text or "No route to host" in text:
        return _TryAgainError(f"{host} cannot be reached", unreachable=True)
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return PlaceError("is not an address that can be fetched")
    return _TryAgainError("cuts the connection")


def _about(url: str, response: requests.Response) -> dict[str, str]:
    found = {"url": url}
    for key, header in (("etag", "etag"), ("last_modified", "last-modified")):
        if header in response.headers:
            found[key] = response.headers[header]
    return found


def _validator(part: Part) -> str | None:
    """Returns what If-Range takes: a strong ETag, else the date of the last change."""
    about = part.about
    tag = about.get("etag")
    return tag if tag and not tag.startswith("W/") else about.get("last_modified")


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """Returns (start, total) of a Content-Range header, each None if it is not stated."""
    found = re.match(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18}|\*)\s*\Z", response.headers.get("content-range", ""))
    if not found:
        return None, None
    return (int(found[1]) if found[1] else None), (int(found[2]) if found[2] != "*" else None)


def _length(response: requests.Response) -> int | None:
    text = response.headers.get("content-length", "")
    if "transfer-encoding" in response.headers or not re.fullmatch(r"\d{1,18}", text):
        return None
    return int(text)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _retry_after(response: requests.Response) -> float:
    """Returns the seconds that a busy server asks to wait."""
    text = response.headers.get("retry-after", "")
    if re.fullmatch(r"\d{1,6}", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0
