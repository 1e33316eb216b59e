"""Addresses of file sharing services: that of the page, which people pass around, is turned into that of the file."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from urllib.parse import SplitResult, parse_qs, quote, urlencode, urljoin, urlsplit

from zoo.fetch.places import PlaceError, host_of

Direct = Callable[[SplitResult], str]
"""Gives the address of the file itself for that of its page; raises PlaceError with what to do by hand."""

_BY_HAND = "open it in a browser, download the file there and pass its folder as source"


def google_drive(page: SplitResult, endpoint: str = "https://drive.usercontent.google.com/download") -> str:
    """Takes /file/d/ID/view, /uc?id=ID and /open?id=ID."""
    query = parse_qs(page.query)
    found = re.match(r"/(?:a/[^/]+/)?file/(?:u/\d+/)?d/([\w-]{10,100})(?:/|\Z)", page.path)
    file = found[1] if found else query.get("id", [""])[0]
    if "/folders/" in page.path:
        raise PlaceError(f"is a Google Drive folder, not a file; {_BY_HAND}")
    if not re.fullmatch(r"[\w-]{10,100}", file, re.ASCII):
        raise PlaceError(f"is no Google Drive address of a file (file/d/ID or uc?id=ID); {_BY_HAND}")
    asked = {"id": file, "export": "download", "confirm": "t"}
    if "resourcekey" in query:
        asked["resourcekey"] = query["resourcekey"][0]
    return f"{endpoint}?{urlencode(asked)}"


def one_drive_short(page: SplitResult, endpoint: str = "https://api.onedrive.com/v1.0/shares") -> str:
    """Takes what OneDrive's "share" button gives, 1drv.ms/...: the whole address is the key of its file."""
    key = base64.urlsafe_b64encode(page.geturl().encode()).decode().rstrip("=")
    return f"{endpoint}/u!{key}/root/content"


def one_drive(page: SplitResult, endpoint: str = "https://onedrive.live.com/download") -> str:
    """Takes addresses with `resid` and `authkey`: those of the "embed" and "download" buttons."""
    query = parse_qs(page.query)
    if "resid" not in query or "authkey" not in query:
        raise PlaceError(f"is a OneDrive page that does not tell where its file is; {_BY_HAND}")
    asked: dict[str, str] = {key: query[key][0] for key in ("cid", "resid", "authkey") if key in query}
    return f"{endpoint}?{urlencode(asked, quote_via=quote)}"


def mega(page: SplitResult) -> str:
    """Refuses: what mega.nz sends is enciphered, and only its page has the key."""
    raise PlaceError(f"is a page of mega.nz, which deciphers its files in the browser; {_BY_HAND}")


DIRECT: Mapping[str, Direct] = {
    "drive.google.com": google_drive,
    "docs.google.com": google_drive,
    "1drv.ms": one_drive_short,
    "onedrive.live.com": one_drive,
    "mega.nz": mega,
}


def resolve(url: str, direct: Mapping[str, Direct] = DIRECT) -> str:
    """Returns the address to ask for; most are their own.

    Raises:
        PlaceError: it is the page of a service from which no file's address can be derived.
    """
    page = urlsplit(url)
    to_file = direct.get(host_of(url).lower())
    return to_file(page) if to_file else url


def hint(url: str, status: int) -> str:
    """Returns what to do by hand where a service refuses whom it does not know."""
    if status in (401, 403, 404) and host_of(url).lower() in DIRECT:
        return f" (not shared with everyone, or only to browsers; {_BY_HAND})"
    return ""


def confirmed(page: bytes, url: str) -> str | None:
    """Returns the address behind the button of a "cannot be scanned for viruses" page, or None.

    Only a form that leads to the host that sent the page is followed, and only with its hidden fields.
    """
    form = _DownloadForm()
    form.feed(page.decode("utf-8", "replace"))
    if form.action is None or not form.fields.get("id"):
        return None
    target = urlsplit(urljoin(url, form.action))
    if (target.scheme, target.netloc) != urlsplit(url)[:2]:
        return None
    return target._replace(query=urlencode(form.fields), fragment="").geturl()


class _DownloadForm(HTMLParser):
    """Finds the action and hidden fields of the form named `download-form`."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form" and given.get("id") in ("download-form", "downloadForm") and self.action is None:
            self.action = given.get("action") or ""
            self._inside = True
        elif tag == "input" and self._inside and given.get("type") == "hidden" and len(self.fields) < 20:
            self.fields[(given.get("name") or "")[:100]] = (given.get("value") or "")[:1000]

    def handle_endtag(self, tag: str) -> None:
        self._inside &= tag != "form"
