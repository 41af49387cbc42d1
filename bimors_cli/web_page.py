"""Web pages in place of files: a proxy, or a site that wants a login, answers a download with one."""

from __future__ import annotations


def is_web_page(head: bytes) -> bool:
    """Tell whether a file with these first bytes is an HTML page."""
    return head.lstrip().lower().startswith((b"<!doctype html", b"<html"))
