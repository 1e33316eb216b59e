"""Downloading one file over loopback, beside other downloaders.

Each run is a process of its own that fetches the file into an empty folder: zoo verifies its sha256, writes it through
to the disk and renames it; the others do what they do. Imports are not counted, curl's start is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from harness import Bench, Line, Measured, NotMeasured, Target, compare

SIZE, QUICK = 10**9, 10**8
"""Bytes."""
OTHERS = {
    "huggingface_hub's http_get (no hash)": "huggingface_hub",
    "pooch (sha256)": "pooch",
    "torch.hub (sha256)": "torch",
}


def fetch(bench: Bench) -> list[Line]:
    size = QUICK if bench.quick else SIZE
    with bench.folder() as folder:
        source, hashed = folder / "source", hashlib.sha256()
        with source.open("wb") as out:
            for at in range(0, size, 1 << 20):
                block = os.urandom(min(1 << 20, size - at))
                hashed.update(block)
                out.write(block)
        url = serve(source)

        def side(tool: str | None, script: str, *arguments: object) -> Callable[[], Measured]:
            def measure() -> Measured:
                with bench.folder() as target:
                    os.sync()  # what the run before has left to write is not this one's to wait for
                    if script == "curl":
                        return curl(bench, url, target)
                    given = (script, url, target / "o", size, hashed.hexdigest(), *arguments)
                    return bench.once("fetch", *given, tool=tool, home=target / "home")

            return measure

        sides = {
            "zoo": side(None, "zoo", 1),
            "curl": side(None, "curl"),
            **{name: side("tools", script) for name, script in OTHERS.items()},
            "zoo, 4 connections": side(None, "zoo", 4),
        }
        taken = bench.turns(sides)
    what = f"fetch {size / 1e6:,.0f} MB from loopback, verified"
    faster = Target(1.0, most=False)
    return [
        compare(taken, what, "curl", kind="speed", target=Target(0.9, most=False)),
        *(compare(taken, what, name, kind="speed", target=faster) for name in OTHERS),
        compare(taken, "the same over 4 connections", "curl", ours="zoo, 4 connections", kind="speed"),
    ]


def curl(bench: Bench, url: str, target: Path) -> Measured:
    if shutil.which("curl") is None:
        raise NotMeasured("curl is not installed")
    return bench.process(["curl", "-s", "-f", "-o", str(target / "o"), url])


def serve(path: Path) -> str:
    """Serves one file, with ranges, at little cost of its own; returns its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    size = path.stat().st_size

    def one(client: socket.socket) -> None:
        with client, path.open("rb") as stream:
            while True:
                asked = b""
                while b"\r\n\r\n" not in asked:
                    piece = client.recv(1 << 16)
                    if not piece:
                        return
                    asked += piece
                start, end, status = 0, size, "200 OK"
                for line in asked.decode("latin-1").lower().splitlines():
                    if line.startswith("range: bytes="):
                        first, _, last = line.removeprefix("range: bytes=").partition("-")
                        start, end, status = int(first), int(last or size - 1) + 1, "206 Partial Content"
                head = f'HTTP/1.1 {status}\r\nContent-Length: {end - start}\r\nETag: "v1"\r\nAccept-Ranges: bytes\r\n'
                if status.startswith("206"):
                    head += f"Content-Range: bytes {start}-{end - 1}/{size}\r\n"
                client.sendall(f"{head}\r\n".encode())
                if not asked.startswith(b"HEAD"):
                    while start < end:
                        start += os.sendfile(client.fileno(), stream.fileno(), start, min(1 << 20, end - start))

    def quietly(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            one(client)

    def accept() -> None:
        while True:
            client, _ = listening.accept()
            threading.Thread(target=quietly, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}/model.bin"


ROWS = {"fetch": fetch}
