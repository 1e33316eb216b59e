"""`convert.py FILES_AS_JSON FOLDER SOURCE_AS_JSON`: files to an artifact, as `zoo get` does, everything imported."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

from protocol import forget_peak, keras_is_up, resident, tell
from pydantic import TypeAdapter

import zoo
from zoo.convert import convert_card
from zoo.sources import Source

paths, folder, source = [Path(path) for path in json.loads(sys.argv[1])], Path(sys.argv[2]), json.loads(sys.argv[3])
importlib.import_module(f"zoo.formats.{source['format']}")
keras_is_up()
like = zoo.info("open-nsfw")
file = like.files["weights"]
card = like.model_copy(
    update={
        "check": None,
        "source": TypeAdapter(Source).validate_json(json.dumps(source)),
        "preprocessing": like.preprocessing.model_copy(update={"height": 224, "width": 224}),
        "labels": like.labels.model_copy(update={"count": 1000}),
        "files": {
            str(number): file.model_copy(update={"name": path.name, "sha256": "unknown"})
            for number, path in enumerate(paths)
        },
    }
)
files = dict(zip(card.files, paths, strict=True))
forget_peak()
before, start = resident("VmRSS"), time.perf_counter()
convert_card(card, files, folder)
tell(seconds=time.perf_counter() - start, memory=resident("VmHWM") - before)
