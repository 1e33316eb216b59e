"""Files from the web: streamed, checked while they come, resumed after a cut and after the end of the process.

requests speaks HTTP (proxies, netrc and certificates as the user's system has them); what is here is what it leaves to
its caller: which answers to a Range request may be trusted, which redirects are followed, when to try again, when to
stop.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

import zoo
from zoo.cache import megabytes
from zoo.fetch import ranges, shares
from zoo.fetch.digest import CHUNK, Behind, Digester, Published
from zoo.fetch.pages import HEAD, impostor
from zoo.fetch.parts import Part, Span
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


class _TooMuchError(Exception):
    """The body is longer than the published file."""


def download(
    url: str,
    part: Part,
    published: Published,
    *,
    patience: Patience,
    bar: Bar,
    jobs: int = 1,
    direct: Mapping[str, shares.Direct] = shares.DIRECT,
    login: Mapping[str, str] | None = None,
) -> Digester:
    """Fetches `url` into `part`, continuing what is there, until its bytes are the published ones.

    Args:
        url: address of the file, or of a page of a file sharing service in `direct`.
        part: where the bytes go.
        published: what is known of them.
        patience: when to give up.
        bar: is told how much has come.
        jobs: connections at a time, for a large file of known size, if the server gives ranges.
        direct: host -> function that gives the address of the file itself.
        login: headers for the address's own host and no other; without them, the user's netrc holds.

    Raises:
        PlaceError: the server does not give the file.
        UnreachableError: there is no such server, or no network.
    """
    target = shares.resolve(url, direct)
    if "http" in (urlsplit(url).scheme, urlsplit(target).scheme) and "sha256" not in published.digests:
        raise PlaceError("plain http is refused for a file without a published sha256")
    if part.size and (part.about.get("url") != url or not (_validator(part) or published.digests)):
        part.restart()
    return _Transfer(url, target, part, published, patience, bar, jobs, login or {}).run()


class _Transfer:
    def __init__(
        self,
        url: str,
        target: str,
        part: Part,
        published: Published,
        patience: Patience,
        bar: Bar,
        jobs: int,
        login: Mapping[str, str],
    ) -> None:
        self.url = url
        self.target = target
        self.part = part
        self.published = published
        self.patience = patience
        self.bar = bar
        self.jobs = jobs
        self.login = login
        self.digester = Digester(published)
        self.session = _session()
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
                self.jobs = 1
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
        size = self.published.size
        self.resumed = True
        if size is not None and self.part.size > size:
            self._restart()
        if size is not None and self._pieces_pay(size):
            try:
                self._attempt_in_pieces(size)
            except ranges.OtherFileError:
                self.jobs = 1
                self._restart()
                raise _TryAgainError("gives another part of the file than it was asked for") from None
            return
        self.part.flatten()
        have = self.part.size
        self._catch_up()
        if have and have == size:
            return
        headers = self._if_same({"Range": f"bytes={have}-"}) if have else {}
        with closing(self._open(self.session, headers)) as response:
            if self._accept(response, have):
                self._body(response)

    def _catch_up(self) -> None:
        """Brings the digester to where the part is, if the part is of an earlier run."""
        if self.digester.count != self.part.size:
            self.digester = Digester(self.published)
            self.digester.read(self.part.body)

    def _if_same(self, headers: dict[str, str]) -> dict[str, str]:
        validator = _validator(self.part)
        return {**headers, "If-Range": validator} if validator else headers

    def _pieces_pay(self, size: int) -> bool:
        if self.part.spans is not None:
            return True  # also with one job: nothing that is there is asked for again
        return self.jobs > 1 and size - self.part.size >= ranges.WORTH_IT

    def _attempt_in_pieces(self, size: int) -> None:
        """Asks for a first piece; the server's answer to it decides whether more are asked for beside it."""
        spans = self.part.spans
        if spans is None:
            spans = [(0, self.part.size)] if self.part.size else []
        plan = ranges.Plan(size, spans, self.jobs)
        if plan.missing:
            start, end = plan.take()
            with closing(self._open(self.session, self._if_same(_range(start, end)))) as response:
                if response.status_code != 206:
                    # All of it, in one stream: what is there is of another version, or the server gives no ranges.
                    self.jobs = 1
                    if self._accept(response, 0):
                        self._body(response)
                    return
                if not self.part.size:
                    self._restart(_about(self.url, response))
                if not (_validator(self.part) or self.published.digests):
                    self.jobs = 1
                    self._restart()
                    raise _TryAgainError("gives pieces of which nothing tells whether they are of one file")
                self._check_piece(response, start, end)
                self.part.body.touch()
                self.part.note(spans)
                self._pieces(plan, response, (start, end))
        self._finish_pieces()

    def _pieces(self, plan: ranges.Plan, response: requests.Response, first: Span) -> None:
        def ask(session: requests.Session, start: int, end: int) -> requests.Response:
            answer = self._open(session, self._if_same(_range(start, end)))
            if answer.status_code != 206:
                with closing(answer):
                    if answer.status_code == 200:
                        raise ranges.OtherFileError
                    raise _refusal(answer, self.url)
            return answer

        def stream(session: requests.Session, start: int, end: int, given: requests.Response | None) -> ranges.Chunks:
            with closing(given or ask(session, start, end)) as answer:
                self._check_piece(answer, start, end)
                read, at = self._reader(answer), start
                while at < end and (chunk := read(min(CHUNK, end - at))):
                    yield chunk
                    at += len(chunk)
                if at < end:
                    raise _TryAgainError("cuts the connection")

        try:
            ranges.run(
                plan,
                self.part,
                stream=stream,
                session=_session,
                first=(first, response),
                bar=self.bar,
                patience=self.patience,
                head=self._check_head,
            )
        except ranges.TooSlowError:
            raise _TryAgainError(f"sends less than {megabytes(self.patience.slowest)} a second") from None
        except _TryAgainError:
            self.jobs = max(1, self.jobs // 2)  # it may be the number of connections that the server does not like
            raise

    def _check_piece(self, response: requests.Response, start: int, end: int) -> None:
        """Raises OtherFileError unless a 206 is of the bytes that were asked for, and of the same file."""
        got = _content_range(response)
        plain = response.headers.get("content-encoding", "identity").lower() == "identity"
        if got != (start, end, self.published.size) or not plain or not _same(self.part.about, response):
            raise ranges.OtherFileError

    def _check_head(self, chunk: bytes) -> None:
        kind = impostor(chunk)
        if kind:
            raise self._wrong(kind)

    def _finish_pieces(self) -> None:
        self.part.flatten()
        self.digester = Digester(self.published)
        self.digester.read(self.part.body)

    def _open(self, session: requests.Session, headers: dict[str, str]) -> requests.Response:
        return follow(session, self.target, headers, self.patience, self.login)

    def _accept(self, response: requests.Response, have: int) -> bool:
        """Checks what the server answered to a request for all after `have` bytes; whether a body is to be read."""
        status = response.status_code
        if status == 200:
            self._restart(_about(self.url, response))
            self.resumed = False
            return True
        if have and status == 206:
            start, _, total = _content_range(response)
            plain = response.headers.get("content-encoding", "identity").lower() == "identity"
            same = plain and _same(self.part.about, response)
            if start == have and same and total in (None, self.published.size or total):
                return True
            self._restart()
            raise _TryAgainError("gives another part of the file than it was asked for")
        if have and status == 416:
            # Nothing comes after what is there: it is the whole file, or another one's.
            if _content_range(response)[2] == have:
                return False
            self._restart()
            raise _TryAgainError("has a file of another size than before")
        raise _refusal(response, self.url)

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
                self._page(_fill(chunk, HEAD, read))
        if size is not None and length is not None and start + length != size:
            raise self._wrong(f"has {start + length:,} bytes, the published file has {size:,}")
        end = size if length is None else start + length
        try:
            with Behind(self.digester) as behind:
                at = self._stream(chunk, start, read, behind)
        except _TooMuchError:
            raise self._wrong(f"sends more than the {self.published.limit:,} bytes of the published file") from None
        if end is not None and at < end:
            raise _TryAgainError("cuts the connection")

    def _stream(self, chunk: bytes, at: int, read: Callable[[int], bytes], behind: Behind) -> int:
        """Writes chunk after chunk; returns where the body ended."""
        since, had = time.monotonic(), at
        while chunk:
            at += len(chunk)
            if at > self.published.limit:
                raise _TooMuchError
            self.part.write(chunk)
            behind.update(chunk)
            self.bar.at(at)
            if time.monotonic() - since > self.patience.window:
                if at - had < self.patience.window * self.patience.slowest:
                    raise _TryAgainError(f"sends less than {megabytes(self.patience.slowest)} a second")
                since, had = time.monotonic(), at
            chunk = read(CHUNK)
        return at

    def _page(self, head: bytes) -> None:
        """Raises what a page in place of the file is; a confirm page that was not seen before is confirmed."""
        confirmed = shares.confirmed(head, self.target) if self.target != self.url else None
        if confirmed and confirmed != self.target:
            self.target = confirmed
            self._restart()
            raise _TryAgainError("sends a confirm page again and again")
        raise self._wrong(impostor(head) or "sends a web page in place of the file")

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
            raise _why(error, host_of(url), patience) from error
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
            with _session() as session, closing(follow(session, target, _range(0, _TELLING), patience, {})) as response:
                if response.status_code not in (200, 206):
                    raise _refusal(response, url)
                whole = response.status_code == 200
                total = _length(response) if whole else _content_range(response)[2]
                try:
                    kind = impostor(response.raw.read(_TELLING, decode_content=True))
                except _CUT as error:
                    raise _why(error, host_of(url), patience) from error
                if kind:
                    raise PlaceError(kind)
                return total
        except _TryAgainError as error:
            if attempt == patience.attempts or error.after > patience.read:
                raise PlaceError(str(error)) from error
            time.sleep(max(error.after, patience.backoff * 2 ** (attempt - 1)))
    raise AssertionError


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


def _refusal(response: requests.Response, url: str) -> Exception:
    """Returns what an answer without a file means: try again, or give up with a reason."""
    status = response.status_code
    reason = f"answers {status} {_phrase(status)}".rstrip()
    if status not in _BUSY:
        return PlaceError(reason + shares.hint(url, status))
    after = _retry_after(response)
    if after > _LONGEST_WAIT:
        return PlaceError(f"{reason}; asks to come back in {after:.0f} s")
    return _TryAgainError(reason, after=after)


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


def _content_range(response: requests.Response) -> tuple[int | None, int | None, int | None]:
    """Returns (first byte, one after the last, total) of a Content-Range header, each None if it is not stated."""
    text = response.headers.get("content-range", "")
    found = re.match(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)\s*\Z", text)
    if not found:
        return None, None, None
    start, end = (int(found[1]), int(found[2]) + 1) if found[1] else (None, None)
    return start, end, (int(found[3]) if found[3] != "*" else None)


def _same(about: dict[str, str], response: requests.Response) -> bool:
    """Returns whether an answer is of the version of the file that the part is of, as far as the server says."""
    tag, now = about.get("etag"), response.headers.get("etag")
    return not (tag and now and tag != now)


def _range(start: int, end: int) -> dict[str, str]:
    return {"Range": f"bytes={start}-{end - 1}"}


def _session() -> requests.Session:
    session = requests.Session()
    session.headers["User-Agent"] = f"convnet-zoo/{zoo.__version__}"
    # Byte ranges and hashes are of the file as it lies on the server, not of a compressed rendering.
    session.headers["Accept-Encoding"] = "identity"
    return session


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Logs in as no one; requests asks netrc only where no login is given."""
    return request


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
