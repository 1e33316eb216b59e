"""A model's paper as BibTeX: what the card knows, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zoo.errors import UnknownFactError

_ARXIV = re.compile(r"https?://arxiv\.org/(?:abs|pdf)/([\w.-]+/\d{7}|\d{4}\.\d{4,5})")
_SPECIAL = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\~{}"}


def bibtex(facts: Mapping[str, Any]) -> str:
    """Returns an entry for the paper of a card; authors are not among what cards state.

    Args:
        facts: a card as JSON.

    Raises:
        UnknownFactError: no source gives its paper.

    >>> paper = {"title": "Network In Network", "url": "https://arxiv.org/abs/1312.4400", "year": 2013}
    >>> print(bibtex({"name": "nin.caffe", "paper": paper}))
    @misc{arxiv:1312.4400,
      title = {{Network In Network}},
      year = {2013},
      eprint = {1312.4400},
      archiveprefix = {arXiv},
      url = {https://arxiv.org/abs/1312.4400},
    }
    """
    paper = facts["paper"]
    if paper == "unknown":
        raise UnknownFactError(f'{facts.get("name", "card")}: no source gives its paper; the card says "unknown"')
    known = {key: value for key, value in paper.items() if value != "unknown"}
    arxiv = _ARXIV.match(known.get("url", ""))
    fields = []
    if "title" in known:
        title = "".join(_SPECIAL.get(letter, letter) for letter in known["title"])
        fields.append(f"title = {{{{{title}}}}}")
    if "year" in known:
        fields.append(f"year = {{{known['year']}}}")
    if arxiv:
        fields += [f"eprint = {{{arxiv[1]}}}", "archiveprefix = {arXiv}"]
    if "url" in known:
        fields.append(f"url = {{{known['url']}}}")
    words = re.findall(r"[a-z0-9]+", known.get("title", facts.get("name", "paper")).lower())
    key = f"arxiv:{arxiv[1]}" if arxiv else "-".join([*words[:4], str(known.get("year", ""))]).rstrip("-")
    return "\n".join([f"@misc{{{key},", *(f"  {line}," for line in fields), "}"])
