"""A web server on 127.0.0.1 that does to its clients what bad servers and bad networks do."""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    body = b""
    """What the client sent."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_POST()

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        self.close_connection = True
        answers = self.server.answers.get(self.path)
        if not answers:
            self.reply(404)
            return
        # The last answer of a list is given for ever.
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        with contextlib.suppress(ConnectionError):
            answer(self)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Sends a whole answer; `content_length=""` leaves that header out."""
        headers = {"content_length": str(len(body)), "connection": "close", **headers}
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def range_start(self) -> int:
        found = re.match(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(found[1]) if found else 0

    def log_message(self, *args: object) -> None:
        pass


class FaultyServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.scheme = "https"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are the point."""

    def on(self, path: str, *answers: Answer) -> str:
        """Answers requests for `path` with these, one after the other, and returns its address."""
        self.answers[path] = list(answers)
        return f"{self.scheme}://127.0.0.1:{self.server_port}{path}"

    def ranges(self) -> list[str | None]:
        """Returns the Range header of each request so far."""
        return [headers.get("Range") for _, headers in self.requests]


def whole(data: bytes, etag: str = '"v1"') -> Answer:
    """What a good server does: ranges, If-Range, 416."""

    def answer(handler: Handler) -> None:
        start = handler.range_start()
        condition = handler.headers.get("if-range")
        if start and condition in (None, etag):
            if start >= len(data):
                handler.reply(416, content_range=f"bytes */{len(data)}", etag=etag)
                return
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            handler.reply(206, data[start:], content_range=span, etag=etag)
            return
        handler.reply(200, data, etag=etag)

    return answer


def cut(data: bytes, after: int, etag: str = '"v1"') -> Answer:
    """Promises everything, hangs up after some bytes."""

    def answer(handler: Handler) -> None:
        handler.reply(200, data[:after], content_length=str(len(data)), etag=etag)

    return answer


def says(status: int, body: bytes = b"", **headers: str) -> Answer:
    """One fixed answer."""
    return lambda handler: handler.reply(status, body, **headers)
