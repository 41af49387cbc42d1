"""Removing user names, passwords, signatures and tokens from URLs in messages."""

from __future__ import annotations

import re
from typing import Final

# scheme://user:password@host/path?query#fragment anywhere in a text. A quote, a bracket or a space ends it.
_URL: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?:[^\s/?#'\"<>]*@)?(?P<rest>[^\s?#'\"<>{}|,]*)(?:[?#](?:[^\s'\"<>{}|,]|,(?!\s))*)?",
    re.I,
)
# /vsicurl?header.Authorization=...&url=...: GDAL's options precede the URL, and some of them are secret.
_VSI_OPTIONS: Final = re.compile(r"(?P<handler>/vsi\w+\?)(?:[^\s'\"<>{}|,]|,(?!\s))*", re.I)
# GDAL's messages name a remote file by its last part: "scene.tif?sig=... : HTTP error code 403".
_QUERY: Final = re.compile(r"(?<=\w)\?[\w.~%-]+=(?:[^\s'\"<>{}|,]|,(?!\s))*")
# PG:host=... password=..., X-Amz-Signature=... and the like, outside of URLs.
_PAIR: Final = re.compile(
    r"(?P<key>\b(?:password|passwd|pwd|token|secret|signature|sig|apikey|api_key|access_key(?:_id)?|authorization"
    r"|x-(?:amz|goog)-[\w-]+)\s*[=:]\s*)(?:(?:bearer|basic)\s+)?[^\s&'\"]+",
    re.I,
)


def redact(text: str) -> str:
    """Return a text without the secrets of its URLs.

    Removes user, password, query and fragment of URLs, the options of ``/vsicurl?`` names, and the values of keys such
    as ``password=``.
    """
    text = _VSI_OPTIONS.sub(r"\g<handler>...", text)
    text = _URL.sub(r"\g<scheme>\g<rest>", text)
    text = _QUERY.sub("", text)
    return _PAIR.sub(r"\g<key>...", text)
