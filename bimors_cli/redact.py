"""What must not be shown: user names, passwords, signatures and tokens in addresses."""

from __future__ import annotations

import re
from typing import Final

# scheme://user:password@host/path?query#fragment, wherever it stands in a text. A quote, a bracket or a blank ends it.
_URL: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?:[^\s/?#'\"<>]*@)?(?P<rest>[^\s?#'\"<>{}|,]*)(?:[?#](?:[^\s'\"<>{}|,]|,(?!\s))*)?",
    re.I,
)
# /vsicurl?header.Authorization=...&url=...: GDAL's options stand before the address, and some of them are secret.
_VSI_OPTIONS: Final = re.compile(r"(?P<handler>/vsi\w+\?)(?:[^\s'\"<>{}|,]|,(?!\s))*", re.I)
# What GDAL says of a remote file begins with its last part: "scene.tif?sig=... : HTTP error code 403".
_QUERY: Final = re.compile(r"(?<=\w)\?[\w.~%-]+=(?:[^\s'\"<>{}|,]|,(?!\s))*")
# PG:host=... password=..., X-Amz-Signature=... and the like, where no address tells.
_PAIR: Final = re.compile(
    r"(?P<key>\b(?:password|passwd|pwd|token|secret|signature|sig|apikey|api_key|access_key(?:_id)?|authorization"
    r"|x-(?:amz|goog)-[\w-]+)\s*[=:]\s*)(?:(?:bearer|basic)\s+)?[^\s&'\"]+",
    re.I,
)


def redact(text: str) -> str:
    """Return a text without what its addresses may hold of secrets.

    User and password, query and fragment of a URL are left out; so are the options of a ``/vsicurl?`` name and the
    values of words such as ``password=``.
    """
    text = _VSI_OPTIONS.sub(r"\g<handler>...", text)
    text = _URL.sub(r"\g<scheme>\g<rest>", text)
    text = _QUERY.sub("", text)
    return _PAIR.sub(r"\g<key>...", text)
