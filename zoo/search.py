"""Finds models by words, and chooses one where a name stands for several. Takes rows of `zoo.index`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zoo.index import STATUSES, Row, natural

_PLACES = (
    ("architecture", 15),
    ("aliases", 12),
    ("family", 12),
    ("origin", 6),
    ("dataset", 6),
    ("task", 6),
    ("paper", 5),
    ("license", 4),
    ("summary", 3),
)
"""Keys of rows that are searched beside the name, and what a word found there counts."""
_PORTS = re.compile(
    r"timm-(tv|tf|mx|gluon|fb|goog|pycls|dm)|pytorchcv|gluoncv2|pretrainedmodels|kerashub|cnn-finetune|openvino|qubvel|"
    r"lukemelas|callidior|titu1994|heuritech|flyyufelix|functional|mxnet-soeaver|caffe-soeaver|torchnet|machrisaa"
)
"""Tags of publishers who converted the weights of another."""


def search(rows: Iterable[Row], words: Sequence[str]) -> list[Row]:
    """Returns the models in which every word occurs, best first.

    Args:
        rows: models.
        words: parts of names, architectures, publishers, papers, data sets, ...; case, blanks and hyphens do not count.
    """
    wanted = [part for word in words for part in [_squashed(word)] if part]
    together = "".join(wanted)
    found = []
    for row in rows:
        scores = [_score(row, word) for word in wanted]
        if wanted and all(scores):
            score = sum(scores) + (50 if together in _squashed(row["name"]) else 0)
            found.append((-score, *_merit(row), natural(row["name"]), row))
    return [row for *_, row in sorted(found, key=lambda entry: entry[:-1])]


def _score(row: Row, word: str) -> int:
    """Returns how well a word fits a model; 0 if it does not."""
    name = _squashed(row["name"])
    variant, _, publisher = row["name"].partition(".")
    if word == name or word in map(_squashed, row["aliases"]):
        return 100
    best = 40 if word == _squashed(variant) else 30 if word == _squashed(publisher) else 0
    best = max(best, 25 if name.startswith(word) else 20 if word in name else 0)
    for key, weight in _PLACES:
        value = row[key]
        texts = value if isinstance(value, list) else [value]
        if any(word in _squashed(text) for text in texts):
            best = max(best, weight)
    return best


def _squashed(text: str) -> str:
    return re.sub(r"[\s._/-]+", "", text.lower())


def _merit(row: Row) -> tuple[int, float, bool]:
    """Sorts what was checked before what was not, then by published accuracy, then originals before ports."""
    top1 = row["top1"]
    tag = row["name"].partition(".")[2]
    return STATUSES.index(row["status"]), -(top1 if isinstance(top1, float | int) else -1.0), bool(_PORTS.match(tag))


@dataclass(frozen=True)
class Choice:
    """Which of several models a bare architecture's name stands for."""

    name: str
    """As it was given."""
    row: Row
    others: tuple[Row, ...]
    """Best first."""

    def __str__(self) -> str:
        """Says in one line which model was chosen, why, and which others there are."""
        chosen = self.row
        text = f"{self.name} is here {chosen['name']} ({_facts(chosen)})"
        if not self.others:
            return text
        names = [f"{row['name']} ({_facts(row)})" for row in self.others[:5]]
        rest = len(self.others) - len(names)
        more = f" and {rest} more (`zoo list '{self.name}.*'`)" if rest else ""
        why = (
            "what was compared with its origin comes first, then the highest published top-1, then the first publisher"
        )
        return f"{text}: {why}; others: {', '.join(names)}{more}"


def choose(rows: Iterable[Row], name: str) -> Choice | None:
    """Returns what a name stands for that is the architecture of several models: `resnet50` of `resnet50.slim`, ...

    Args:
        rows: models.
        name: no model's own name or alias.

    Returns:
        The choice, or None if no model is called `<name>.<publisher>`.
    """
    found = sorted(
        (row for row in rows if row["name"].partition(".")[0] == name and "." in row["name"]),
        key=lambda row: (_merit(row), natural(row["name"])),
    )
    return Choice(name, found[0], tuple(found[1:])) if found else None


def _facts(row: Row) -> str:
    top1 = row["top1"]
    return f"{row['status']}" + (f", {100 * top1:.1f} % top-1" if isinstance(top1, float | int) else "")
