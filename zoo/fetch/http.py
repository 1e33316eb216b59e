"""Files from the web: streamed, checked while they come, resumed after a cut and after the end of the process.

requests speaks HTTP (proxies, netrc and certificates as the user's system has them); what is here is what it leaves to
its caller: which answers to a Range request may be trusted, which redirects are followed, when to try again, when to
stop.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from urllib.parse import urlsplit

import requests

from zoo.cache import megabytes
from zoo.fetch import answers, connection, ranges, shares
from zoo.fetch.digest import CHUNK, Behind, Digester, Published
from zoo.fetch.pages import HEAD, impostor
from zoo.fetch.parts import Part, Span
from zoo.fetch.places import Patience, PlaceError, host_of
from zoo.fetch.progress import Bar

_PROGRESS = 1 << 16  # bytes that make an attempt count as one that brought something


class UnreachableError(PlaceError):
    """The server's host cannot be reached at all; its other files cannot be had either."""


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
    if part.size and (part.about.get("url") != url or not (answers.validator(part) or published.digests)):
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
        self.session = connection.new_session()
        self.encoding = ""
        self.resumed = False

    def run(self) -> Digester:
        """Attempts until the file is whole and right."""
        failures, most, started_over = 0, self.part.size, False
        with self.session:
            while True:
                try:
                    self._attempt()
                except answers.TryAgainError as error:
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

    def _give_up_or_wait(self, error: answers.TryAgainError, failures: int) -> None:
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
                raise answers.TryAgainError("gives another part of the file than it was asked for") from None
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
        validator = answers.validator(self.part)
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
            with closing(self._open(self.session, self._if_same(connection.range_of(start, end)))) as response:
                if response.status_code != 206:
                    # All of it, in one stream: what is there is of another version, or the server gives no ranges.
                    self.jobs = 1
                    if self._accept(response, 0):
                        self._body(response)
                    return
                if not self.part.size:
                    self._restart(answers.about(self.url, response))
                if not (answers.validator(self.part) or self.published.digests):
                    self.jobs = 1
                    self._restart()
                    raise answers.TryAgainError("gives pieces of which nothing tells whether they are of one file")
                self._check_piece(response, start, end)
                self.part.body.touch()
                self.part.note(spans)
                self._pieces(plan, response, (start, end))
        self._finish_pieces()

    def _pieces(self, plan: ranges.Plan, response: requests.Response, first: Span) -> None:
        def ask(session: requests.Session, start: int, end: int) -> requests.Response:
            answer = self._open(session, self._if_same(connection.range_of(start, end)))
            if answer.status_code != 206:
                with closing(answer):
                    if answer.status_code == 200:
                        raise ranges.OtherFileError
                    raise answers.refusal(answer, self.url)
            return answer

        def stream(session: requests.Session, start: int, end: int, given: requests.Response | None) -> ranges.Chunks:
            with closing(given or ask(session, start, end)) as answer:
                self._check_piece(answer, start, end)
                read, at = self._reader(answer), start
                while at < end and (chunk := read(min(CHUNK, end - at))):
                    yield chunk
                    at += len(chunk)
                if at < end:
                    raise answers.TryAgainError("cuts the connection")

        try:
            ranges.run(
                plan,
                self.part,
                stream=stream,
                session=connection.new_session,
                first=(first, response),
                bar=self.bar,
                patience=self.patience,
                head=self._check_head,
            )
        except ranges.TooSlowError:
            raise answers.TryAgainError(f"sends less than {megabytes(self.patience.slowest)} a second") from None
        except answers.TryAgainError:
            self.jobs = max(1, self.jobs // 2)  # it may be the number of connections that the server does not like
            raise

    def _check_piece(self, response: requests.Response, start: int, end: int) -> None:
        """Raises OtherFileError unless a 206 is of the bytes that were asked for, and of the same file."""
        got = answers.content_range(response)
        plain = response.headers.get("content-encoding", "identity").lower() == "identity"
        if got != (start, end, self.published.size) or not plain or not answers.same(self.part.about, response):
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
        return connection.follow(session, self.target, headers, self.patience, self.login)

    def _accept(self, response: requests.Response, have: int) -> bool:
        """Checks what the server answered to a request for all after `have` bytes; whether a body is to be read."""
        status = response.status_code
        if status == 200:
            self._restart(answers.about(self.url, response))
            self.resumed = False
            return True
        if have and status == 206:
            start, _, total = answers.content_range(response)
            plain = response.headers.get("content-encoding", "identity").lower() == "identity"
            same = plain and answers.same(self.part.about, response)
            if start == have and same and total in (None, self.published.size or total):
                return True
            self._restart()
            raise answers.TryAgainError("gives another part of the file than it was asked for")
        if have and status == 416:
            # Nothing comes after what is there: it is the whole file, or another one's.
            if answers.content_range(response)[2] == have:
                return False
            self._restart()
            raise answers.TryAgainError("has a file of another size than before")
        raise answers.refusal(response, self.url)

    def _body(self, response: requests.Response) -> None:
        """Writes the body to the part, as long as it can still be the published file."""
        self.encoding = response.headers.get("content-encoding", "")
        start, size = self.part.size, self.published.size
        length = answers.length(response)
        read = self._reader(response)
        chunk = read(CHUNK)
        if start == 0:
            chunk = _fill(chunk, connection.TELLING, read)
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
            raise answers.TryAgainError("cuts the connection")

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
                    raise answers.TryAgainError(f"sends less than {megabytes(self.patience.slowest)} a second")
                since, had = time.monotonic(), at
            chunk = read(CHUNK)
        return at

    def _page(self, head: bytes) -> None:
        """Raises what a page in place of the file is; a confirm page that was not seen before is confirmed."""
        confirmed = shares.confirmed(head, self.target) if self.target != self.url else None
        if confirmed and confirmed != self.target:
            self.target = confirmed
            self._restart()
            raise answers.TryAgainError("sends a confirm page again and again")
        raise self._wrong(impostor(head) or "sends a web page in place of the file")

    def _reader(self, response: requests.Response) -> Callable[[int], bytes]:
        host = host_of(response.url)

        def read(count: int) -> bytes:
            try:
                data: bytes = response.raw.read1(count, decode_content=False)
            except answers.CUT as error:
                raise answers.failure(error, host, self.patience) from error
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
