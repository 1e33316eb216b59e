"""What a server's answer means: which version of a file, which part of it; try again, or give up with a reason."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import requests
import urllib3

from zoo.fetch import shares
from zoo.fetch.parts import Part
from zoo.fetch.places import Patience, PlaceError

_BUSY = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_WAIT = 30.0  # seconds; a server that asks for more is not waited for
CUT = (
    urllib3.exceptions.HTTPError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    OSError,
)


class TryAgainError(Exception):
    """This attempt failed, the next may not."""

    def __init__(self, reason: str, *, unreachable: bool = False, after: float = 0.0) -> None:
        super().__init__(reason)
        self.unreachable = unreachable
        self.after = after


def failure(error: Exception, host: str, patience: Patience) -> Exception:
    """Returns what a failure of the connection means: try again, or give up with a reason."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        detail = re.search(r"verify failed: ([^(]*)", text)
        return PlaceError(f"the certificate of {host} is not valid{': ' + detail[1].strip() if detail else ''}")
    if isinstance(error, requests.exceptions.ProxyError):
        return TryAgainError("the proxy does not let it through, or is not there", unreachable=True)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return TryAgainError(f"no connection to {host} in {patience.connect:g} s", unreachable=True)
    if isinstance(error, requests.exceptions.ReadTimeout | urllib3.exceptions.ReadTimeoutError):
        return TryAgainError(f"sends nothing for {patience.read:g} s")
    if "NameResolutionError" in text or "getaddrinfo failed" in text or "Name or service not known" in text:
        return TryAgainError(f"no network, or no such host ({host})", unreachable=True)
    if "Connection refused" in text or "actively refused" in text:
        return TryAgainError(f"{host} refuses the connection", unreachable=True)
    if "NewConnectionError" in text or "Network is unreachable" in text or "No route to host" in text:
        return TryAgainError(f"{host} cannot be reached", unreachable=True)
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return PlaceError("is not an address that can be fetched")
    return TryAgainError("cuts the connection")


def refusal(response: requests.Response, url: str) -> Exception:
    """Returns what an answer without a file means: try again, or give up with a reason."""
    status = response.status_code
    reason = f"answers {status} {_phrase(status)}".rstrip()
    if status not in _BUSY:
        return PlaceError(reason + shares.hint(url, status))
    after = _retry_after(response)
    if after > _LONGEST_WAIT:
        return PlaceError(f"{reason}; asks to come back in {after:.0f} s")
    return TryAgainError(reason, after=after)


def about(url: str, response: requests.Response) -> dict[str, str]:
    found = {"url": url}
    for key, header in (("etag", "etag"), ("last_modified", "last-modified")):
        if header in response.headers:
            found[key] = response.headers[header]
    return found


def validator(part: Part) -> str | None:
    """Returns what If-Range takes: a strong ETag, else the date of the last change."""
    about = part.about
    tag = about.get("etag")
    return tag if tag and not tag.startswith("W/") else about.get("last_modified")


def content_range(response: requests.Response) -> tuple[int | None, int | None, int | None]:
    """Returns (first byte, one after the last, total) of a Content-Range header, each None if it is not stated."""
    text = response.headers.get("content-range", "")
    found = re.match(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)\s*\Z", text)
    if not found:
        return None, None, None
    start, end = (int(found[1]), int(found[2]) + 1) if found[1] else (None, None)
    return start, end, (int(found[3]) if found[3] != "*" else None)


def same(about: dict[str, str], response: requests.Response) -> bool:
    """Returns whether an answer is of the version of the file that the part is of, as far as the server says."""
    tag, now = about.get("etag"), response.headers.get("etag")
    return not (tag and now and tag != now)


def length(response: requests.Response) -> int | None:
    text = response.headers.get("content-length", "")
    if "transfer-encoding" in response.headers or not re.fullmatch(r"\d{1,18}", text):
        return None
    return int(text)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _retry_after(response: requests.Response) -> float:
    """Returns the seconds that a busy server asks to wait."""
    text = response.headers.get("retry-after", "")
    if re.fullmatch(r"\d{1,6}", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0
