"""The model card of a fine-tuned model: README.md with the metadata that hubs read, made of what the run wrote down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zoo import hub_cards
from zoo.errors import ZooError
from zoo.schema import License

_KNOWN = """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc-by-3.0 cc-by-4.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-4.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 ecl-2.0
    epl-2.0 gpl-2.0 gpl-3.0 isc lgpl-3.0 mit mpl-2.0 ms-pl ofl-1.1 unlicense wtfpl zlib
"""
_HUB_LICENSES = frozenset(_KNOWN.split())
"""Identifiers that the hub knows; it has another one for what it does not."""
_CLASSES = 50  # of which the card tells each; more are counted


def render(repo: str, facts: Mapping[str, Any], metrics: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """Writes the card.

    Args:
        repo: owner/name.
        facts: zoo.json of the model.
        metrics: metrics.json of the run.
        plan: plan.json of the run.

    Returns:
        Markdown that begins with YAML metadata.
    """
    base = str(facts["model"])
    license = _license(base)
    held_out = int(metrics["validation_images"])
    parts = [
        f"---\n{_metadata(repo, base, license, metrics)}\n---\n\n# {repo.partition('/')[2]}",
        f"An image classifier of {len(facts['class_names'])} classes: `{base}`, fine-tuned with "
        f"zoo ({_strategy(metrics, plan)}). It is one Keras 3 file of built-in layers, and takes raw RGB images.",
        f"## How good it is\n\n{_accuracy(metrics, held_out)}",
        f"## What it was trained on\n\n{_data(metrics)}\n\n{_classes(metrics)}",
        f"## How to use it\n\n{_usage(repo, facts)}",
        f"## Input\n\n{_input(facts['preprocessing'])}",
        f"## Licence\n\n{_rights(base, license)}",
    ]
    return "\n\n".join(parts) + "\n"


def _license(base: str) -> License | None:
    """Returns what is known of the licences of the network that was fine-tuned."""
    from zoo import registry

    try:
        return registry.info(base, offline=True).license
    except ZooError:
        return None


def _metadata(repo: str, base: str, license: License | None, metrics: Mapping[str, Any]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    weights = license.weights if license else "not stated"
    identifier = re.sub(r"-(only|or-later)\Z", "", weights.lower())
    known = identifier in _HUB_LICENSES
    named: Any = {} if known or weights == "not stated" else {"license_name": re.sub(r"[^a-z0-9.]+", "-", identifier)}
    dataset = f"own images ({metrics['validation_images']} held out)"
    measured = [("accuracy", "accuracy"), ("balanced_accuracy", "balanced accuracy")]
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type="imagefolder",
            dataset_name=dataset,
            metric_type=key,
            metric_name=name,
            metric_value=round(float(metrics[key]), 4),
        )
        for key, name in measured
    ]
    # The hub makes a link of base_model: only a name of its own can stand there.
    of_hub = base.removeprefix(hub_cards.PREFIX).partition("@")[0] if base.startswith(hub_cards.PREFIX) else None
    data = ModelCardData(
        library_name="keras",
        pipeline_tag="image-classification",
        tags=["keras", "image-classification", "convnet-zoo", f"zoo:{base}"],
        license=identifier if known else "unknown" if weights == "not stated" else "other",
        base_model=of_hub,
        model_name=repo.partition("/")[2],
        eval_results=results,
        **named,
    )
    return data.to_yaml().strip()


def _strategy(metrics: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    ways = {
        "linear": "a linear classifier on its features",
        "head": "a new last layer",
        "blocks": "a new last layer and the last blocks",
    }
    strategy = str(metrics.get("strategy", plan.get("strategy", "")))
    return ways.get(strategy, strategy or "strategy unknown")


def _accuracy(metrics: Mapping[str, Any], held_out: int) -> str:
    rows = [
        ("accuracy", f"{metrics['accuracy']:.1%}"),
        ("balanced accuracy (mean over classes)", f"{metrics['balanced_accuracy']:.1%}"),
    ]
    if metrics.get("top5") is not None:
        rows.append(("top-5 accuracy", f"{metrics['top5']:.1%}"))
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    right = round(metrics["accuracy"] * held_out)
    few = " So few say little about others." if held_out < 100 else ""
    told = f"Measured on {held_out} images held out, never trained on; {right} of them were named right.{few}"
    return f"{told}\n\n| | |\n| --- | --- |\n{table}"


def _data(metrics: Mapping[str, Any]) -> str:
    training, held_out = metrics["training_images"], metrics["validation_images"]
    return f"{training + held_out} images of its author's: {training} trained on, {held_out} held out."


def _classes(metrics: Mapping[str, Any]) -> str:
    names = list(metrics["classes"])
    per_class: Mapping[str, Any] = metrics.get("per_class", {})
    rows = []
    for name in names[:_CLASSES]:
        found = per_class.get(name, {})
        share = f"{found['accuracy']:.1%}" if found.get("images") else "-"
        rows.append(f"| {_cell(name)} | {found.get('images', 0)} | {share} |")
    more = f"\n\nAnd {len(names) - _CLASSES} more, see `labels.txt`." if len(names) > _CLASSES else ""
    return "| class | held out | named right |\n| --- | --- | --- |\n" + "\n".join(rows) + more


def _cell(text: str) -> str:
    """Returns a name so that neither a table nor HTML breaks on it."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\|`*_\[\]])", r"\\\1", text)


def _usage(repo: str, facts: Mapping[str, Any]) -> str:
    height, width = facts["preprocessing"]["height"], facts["preprocessing"]["width"]
    return f"""With Keras alone:

```python
import keras
from huggingface_hub import hf_hub_download

model = keras.saving.load_model(hf_hub_download("{repo}", "model.keras"))
probabilities = model.predict(images)  # images: (N, {height}, {width}, 3), RGB, 0 to 255
```

With zoo, which also brings images to size and knows the names of the classes:

```console
$ pip install convnet-zoo
$ zoo predict hf:{repo} image.jpg
```

```python
import zoo

answers = zoo.predict("hf:{repo}", "image.jpg")
model = zoo.load("hf:{repo}")
```"""


def _input(rules: Mapping[str, Any]) -> str:
    height, width = rules["height"], rules["width"]
    resize = rules["resize"]
    ways = {
        "short-side": "the shorter side is scaled to {size}, then the centre is cut out",
        "square": "the image is scaled to {size} x {size}, then the centre is cut out",
        "crop-fraction": "the central {fraction} of both sides are cut out and scaled",
        "crop-padding": "the central square of side / (side + {padding}) of the shorter side is cut out and scaled",
    }
    how = (
        ways[resize["kind"]].format(**resize)
        if isinstance(resize, Mapping)
        else "no source says how images are resized"
    )
    return (
        f"RGB images of {height} x {width}, values 0 to 255, shape (N, {height}, {width}, 3). The normalisation is "
        f"inside the model. For other sizes: {how} ({rules['interpolation']})."
    )


def _rights(base: str, license: License | None) -> str:
    if license is None:
        return f"What the licence of `{base}` is, is not known here."
    note = f" {' '.join(license.note.split())}" if license.note else ""
    return (
        f"Of `{base}`: weights {license.weights}, code {license.code}, training data {license.training_data}.{note} "
        "What its author adds to that for the images used here is not stated."
    )
