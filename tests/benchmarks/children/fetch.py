"""One download: `fetch.py TOOL URL TARGET SIZE SHA256 [CONNECTIONS]`; imports are not counted."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from protocol import resident, tell

tool, url, target, size, sha256, *rest = sys.argv[1:]


def zoo() -> Callable[[], Any]:
    import zoo
    from zoo.fetch import fetch, http  # noqa: F401  # what is imported on first use is not counted
    from zoo.files import File

    facts = {"name": "model.bin", "size": int(size), "sha256": sha256, "places": [{"kind": "url", "url": url}]}
    file = File.model_validate_json(json.dumps(facts))
    card = zoo.info("efficientnet-lite0").model_copy(update={"files": {"weights": file}})
    return lambda: fetch(card, progress=False, jobs=int(rest[0]))


def huggingface_hub() -> Callable[[], Any]:
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()

    def get() -> None:
        with open(target, "wb") as out:
            http_get(url, out, expected_size=int(size))

    return get


def pooch() -> Callable[[], Any]:
    import pooch

    pooch.get_logger().disabled = True
    return lambda: pooch.retrieve(url, f"sha256:{sha256}", fname="o", path=os.path.dirname(target))


def torch() -> Callable[[], Any]:
    import torch.hub

    return lambda: torch.hub.download_url_to_file(url, target, hash_prefix=sha256, progress=False)


get = {"zoo": zoo, "huggingface_hub": huggingface_hub, "pooch": pooch, "torch": torch}[tool]()
start = time.perf_counter()
get()
seconds = time.perf_counter() - start
tell(seconds=seconds, memory=resident("VmHWM"))
