"""Recognises what servers send in place of a file, with status 200, and gives it its name."""

from __future__ import annotations

import re

HEAD = 1 << 16
"""Bytes looked at: confirm pages say what they are well after their scripts and styles."""


def impostor(head: bytes) -> str | None:
    """Returns what a body is that is no model file, by its first bytes, or None.

    No published model file starts like a web page, an XML error or a Git-LFS pointer.
    """
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:512].lower()
    if start.startswith((b"version https://git-lfs", b"version https://hawser")):
        return "sends a Git-LFS pointer, not the file it points to (the repository's quota may be used up)"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script")) or (
        start.startswith((b"<?xml", b"<!--")) and b"<html" in start
    ):
        return _page(head[:HEAD])
    if start.startswith(b"<?xml") and b"<error>" in start:
        return f"sends an error message in place of the file{_quoted(head, b'Code')}"
    return None


def _page(head: bytes) -> str:
    text = head.lower()
    if b"virus scan" in text or b"download_warning" in text or b"uc-download-link" in text:
        return (
            "sends Google Drive's confirm page (file too large for its virus scan); download it in a browser "
            "and pass its folder as source"
        )
    if b"quota exceeded" in text or b"too many users have viewed" in text:
        return "sends Google Drive's page 'quota exceeded'; try again tomorrow, or download it in a browser"
    return f"sends a web page in place of the file{_quoted(head, b'title')}"


def _quoted(head: bytes, tag: bytes) -> str:
    """Returns the text of an element, cut short and printable, as ` ("...")`."""
    found = re.search(rb"<%s[^>]*>([^<]*)<" % tag, head, re.IGNORECASE)
    if not found:
        return ""
    words = " ".join(found[1].decode("utf-8", "replace").split())
    words = "".join(letter for letter in words if letter.isprintable())[:60]
    return f' ("{words}")' if words else ""
