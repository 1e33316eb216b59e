"""Measures the fetcher on loopback beside curl and other downloaders, run in turns; prints Markdown and JSON.

python tests/benchmarks/fetch.py [--size BYTES] [--runs N] [--folder WHERE] [--python-with LIBRARY=PYTHON ...]

Each run is a process of its own that fetches one file into an empty folder: zoo verifies its sha256, writes it through
to the disk and renames it; the others do what they do. Imports are not counted, curl's start is.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ZOO = """
import sys, time
from pathlib import Path
import zoo
from zoo.fetch import fetch, http
from zoo.files import File
url, target, size, sha256, jobs = sys.argv[1:]
place = {"kind": "url", "url": url}
facts = {"name": "model.bin", "size": int(size), "sha256": sha256, "places": [place]}
file = File.model_validate_json(__import__("json").dumps(facts))
card = zoo.info("efficientnet-lite0").model_copy(update={"files": {"weights": file}})
start = time.perf_counter()
fetch(card, progress=False, jobs=int(jobs))
"""
HUB = """
import sys, time
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import disable_progress_bars
disable_progress_bars()
start = time.perf_counter()
with open(sys.argv[2], "wb") as out:
    http_get(sys.argv[1], out, expected_size=int(sys.argv[3]))
"""
POOCH = """
import os, sys, time
import pooch
pooch.get_logger().disabled = True
start = time.perf_counter()
pooch.retrieve(sys.argv[1], "sha256:" + sys.argv[4], fname="o", path=os.path.dirname(sys.argv[2]))
"""
TORCH = """
import sys, time
import torch.hub
start = time.perf_counter()
torch.hub.download_url_to_file(sys.argv[1], sys.argv[2], hash_prefix=sys.argv[4], progress=False)
"""
END = """
seconds = time.perf_counter() - start
import resource
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
TOOLS = {
    "zoo": ("zoo", ZOO, "1"),
    "zoo, 4 jobs": ("zoo", ZOO, "4"),
    "huggingface_hub http_get (no hash)": ("huggingface_hub", HUB, ""),
    "pooch (sha256)": ("pooch", POOCH, ""),
    "torch.hub (sha256)": ("torch", TORCH, ""),
}


def serve(path: Path) -> str:
    """Serves one file, with ranges, at little cost of its own."""
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

    def accept() -> None:
        while True:
            client, _ = listening.accept()
            threading.Thread(target=quietly, args=(client,), daemon=True).start()

    def quietly(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            one(client)

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}/model.bin"


def run(tool: str, pythons: dict[str, str], url: str, folder: Path, size: int, sha256: str) -> tuple[float, int]:
    """Returns seconds and the largest memory of one download into an empty folder."""
    target = folder / "o"
    if tool == "curl":
        start = time.perf_counter()
        subprocess.run(["curl", "-s", "-o", str(target), url], check=True)
        return time.perf_counter() - start, 0
    library, script, jobs = TOOLS[tool]
    command = [pythons.get(library, sys.executable), "-c", script + END, url, str(target), str(size), sha256, jobs]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "ZOO_HOME": str(folder / "home")}
    )
    seconds, memory = done.stdout.split()
    return float(seconds), int(memory)


def installed(library: str, python: str) -> bool:
    return subprocess.run([python, "-c", f"import {library}"], capture_output=True).returncode == 0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", type=int, default=10**9)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--folder", type=Path, default=None)
    options.add_argument("--python-with", action="append", default=[], metavar="LIBRARY=PYTHON")
    given = options.parse_args()
    pythons = dict(item.split("=", 1) for item in given.python_with)
    there = [name for name, (library, *_) in TOOLS.items() if installed(library, pythons.get(library, sys.executable))]
    tools = [*(["curl"] if shutil.which("curl") else []), *there]
    taken: dict[str, list[tuple[float, int]]] = {name: [] for name in tools}
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        source, hashed = folder / "source", hashlib.sha256()
        with source.open("wb") as out:
            for at in range(0, given.size, 1 << 20):
                block = os.urandom(min(1 << 20, given.size - at))
                hashed.update(block)
                out.write(block)
        url = serve(source)
        for _ in range(given.runs):
            for tool in tools:
                shutil.rmtree(folder / "run", ignore_errors=True)
                (folder / "run").mkdir()
                os.sync()  # what the tool before has left to write is not this one's to wait for
                taken[tool].append(run(tool, pythons, url, folder / "run", given.size, hashed.hexdigest()))
                print(f"{tool}: {taken[tool][-1][0]:.2f} s", file=sys.stderr, flush=True)
    show(taken, given.size)


def show(taken: dict[str, list[tuple[float, int]]], size: int) -> None:
    curl = [seconds for seconds, _ in taken.get("curl", [])]
    table = {}
    print(f"{size / 1e6:,.0f} MB over loopback; speed against curl: median of the runs' ratios (smallest to largest)\n")
    print("| tool | median s | fastest s | against curl | peak MB |\n|---|---|---|---|---|")
    for tool in ["curl", *TOOLS]:
        if tool not in taken:
            print(f"| {tool} | not installed | | | |")
            continue
        seconds = [second for second, _ in taken[tool]]
        ratios = [ours / own for ours, own in zip(curl, seconds, strict=False)] or [float("nan")]
        peak = max(memory for _, memory in taken[tool]) / 1e6
        ratio = statistics.median(ratios)
        table[tool] = {"seconds": seconds, "ratios": ratios, "ratio": ratio, "peak_mb": peak}
        spread = f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {tool} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {spread} | {peak:.0f} |")
    print("\n" + json.dumps(table))


if __name__ == "__main__":
    main()
