"""A fine-tuning run -> a repository on a Hugging Face hub: the model, its numbers, its labels, and a model card."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import finished, model_card
from zoo.errors import FormatError, PushError, UsageError

_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}\Z")
MODEL = "model.keras"
_PRIVATE = ("command", "notes", "skipped")
"""Keys of a run's files that name files of its author's."""


@dataclass(frozen=True)
class Pushed:
    """What was uploaded, or would be.

    Args:
        repo: owner/name.
        url: the repository's page.
        commit: id of the commit; None after a dry run.
        card: the model card, README.md.
        files: name of each file -> its size in bytes.
    """

    repo: str
    url: str
    commit: str | None
    card: str
    files: dict[str, int]


def push(
    run: str | os.PathLike[str],
    repo: str,
    *,
    private: bool = False,
    message: str | None = None,
    dry_run: bool = False,
) -> Pushed:
    """Uploads what a fine-tuning run made, with a model card; `hf:owner/name` is its name from then on.

    The hub is that of huggingface_hub: HF_ENDPOINT names another one, and the token is the one of `hf auth login` or
    HF_TOKEN. Neither images nor their paths are uploaded.

    Args:
        run: the run's folder.
        repo: owner/name; made if it is not there.
        private: only its owner may see it. A repository that is there and public is refused.
        message: of the commit.
        dry_run: upload nothing, ask no one.

    Returns:
        The repository, the commit and the card.

    Raises:
        FormatError: the folder is not one of a run.
        UsageError: the repository's name is none.
        PushError: nobody is logged in, the hub refuses, or it cannot be reached.
    """
    if not _REPO.match(repo) or ".." in repo or "--" in repo:
        raise UsageError(f"{repo!a}: expected owner/name")
    folder = Path(run)
    facts, metrics, plan = _read(folder)
    card = model_card.render(repo, facts, metrics, plan)
    texts = {
        "README.md": card,
        "metrics.json": _json(_public(metrics, plan)),
        "plan.json": _json(_public(plan, plan)),
        "labels.txt": _labels(facts),
    }
    files: dict[str, Path | bytes] = {MODEL: folder / MODEL, **{name: text.encode() for name, text in texts.items()}}
    sizes = {name: len(body) if isinstance(body, bytes) else body.stat().st_size for name, body in files.items()}
    if dry_run:
        return Pushed(repo, f"{_endpoint()}/{repo}", None, card, sizes)
    commit = _upload(repo, files, private=private, message=message or f"{facts['model']}, fine-tuned with zoo")
    return Pushed(repo, f"{_endpoint()}/{repo}", commit, card, sizes)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Returns what a run's folder says: zoo.json of its model, metrics.json, plan.json."""
    if not (folder / MODEL).is_file():
        raise FormatError(f"{folder}: holds no {MODEL}; name the folder that `zoo finetune` wrote")
    facts = finished.facts(folder / MODEL)
    finished.check(folder / MODEL)
    if facts.get("made_by") != "zoo finetune" or not facts.get("class_names"):
        raise FormatError(f"{folder}: {MODEL} was not made by `zoo finetune`; only runs can be pushed")
    found = []
    for name in ("metrics.json", "plan.json"):
        try:
            value = json.loads((folder / name).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise FormatError(f"{folder}: {name} cannot be read ({type(error).__name__}); fine-tune again") from error
        if not isinstance(value, dict):
            raise FormatError(f"{folder}: {name}: expected a JSON object; fine-tune again")
        found.append(value)
    if list(found[0].get("classes", ())) != list(facts["class_names"]):
        raise FormatError(f"{folder}: metrics.json is of other classes than {MODEL}; the files are not of one run")
    return facts, found[0], found[1]


def _public(value: Any, plan: dict[str, Any]) -> Any:
    """Returns what a run wrote down without where its author's images lie and what they are called."""
    place = str(plan.get("data", ""))
    if isinstance(value, dict):
        kept = {key: _public(part, plan) for key, part in value.items() if key not in _PRIVATE}
        return {**kept, **{key: len(value[key]) for key in ("skipped",) if isinstance(value.get(key), list)}}
    if isinstance(value, list):
        return [_public(part, plan) for part in value]
    if isinstance(value, str) and len(place) > 1:
        return value.replace(place, Path(place).name)
    return value


def _labels(facts: dict[str, Any]) -> str:
    """One class a line in the order of the outputs, `id<TAB>name`, as zoo's label lists are."""
    names = [" ".join(name.split()) for name in facts["class_names"]]
    return "".join(f"{key}\t{name}\n" for key, name in zip(facts.get("class_ids") or names, names, strict=True))


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


# ------------------------------------------------------------------------------------------------------------ the hub


def _endpoint() -> str:
    from zoo.fetch import hub

    return hub.endpoint().rstrip("/")


def _upload(repo: str, files: dict[str, Path | bytes], *, private: bool, message: str) -> str:
    import huggingface_hub
    from huggingface_hub import CommitOperationAdd, constants
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if constants.HF_HUB_OFFLINE or os.environ.get("ZOO_OFFLINE", "").lower() not in ("", "0", "false", "no", "off"):
        raise PushError(f"{repo}: offline (HF_HUB_OFFLINE or ZOO_OFFLINE); unset it to upload")
    token = huggingface_hub.get_token()
    if not token:
        raise PushError(f"{repo}: nobody is logged in; run `hf auth login`, or set HF_TOKEN to a token that may write")
    disable_progress_bars()
    api = huggingface_hub.HfApi(endpoint=_endpoint(), token=token, library_name="convnet-zoo")
    with _told(repo):
        try:
            api.create_repo(repo, private=private or None)
        except HfHubHTTPError as error:
            # It is there, or whoever may write to it may not make one; if neither, the first answer counts.
            if error.response.status_code not in (403, 409) or not api.repo_exists(repo):
                raise
        if private and not api.model_info(repo).private:
            raise PushError(
                f"{repo}: is there already and is public; make it private on its page, or leave --private out"
            )
        operations = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=body if isinstance(body, bytes) else str(body))
            for name, body in files.items()
        ]
        return str(api.create_commit(repo, operations, commit_message=message).oid)


@contextlib.contextmanager
def _told(repo: str) -> Iterator[None]:
    """Says in one line what the hub, or the way there, complains of; never the token."""
    try:
        yield
    except PushError:
        raise
    except Exception as error:
        raise PushError(f"{repo}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    from zoo.fetch.hub import short, unreachable

    status = getattr(getattr(error, "response", None), "status_code", None)
    reasons = {
        401: "the hub does not accept the token; run `hf auth login` again, or set HF_TOKEN to a valid one",
        403: "the token may not write there; use one with the role 'write', or another owner",
        404: "the hub has no such owner or repository, or hides it from this token",
        413: "the hub refuses a file as too large",
        429: "the hub asks to come back later (too many requests)",
    }
    if status in reasons:
        return reasons[status]
    if status is not None and status >= 500:
        return f"the hub fails ({status}); try again later"
    if unreachable(error):
        return "no network, or the hub cannot be reached; check HF_ENDPOINT and the connection"
    return f"huggingface_hub failed: {short(error)}"
