"""When a scene was acquired, by the tags of its file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

# ACQUISITIONDATETIME is of GDAL's IMAGERY domain, the others of its default domain; the first that is valid counts.
_TAGS: Final = ("ACQUISITIONDATETIME", "ACQUISITION_DATETIME", "ACQUISITION_DATE", "TIFFTAG_DATETIME")
_FORMATS: Final = ("%Y:%m:%d %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y%m%d")  # that of TIFF 6.0 first


def acquired(tags: Mapping[str, str], imagery: Mapping[str, str]) -> str | None:
    """Return the time of acquisition as RFC 3339, UTC if the tag has no time zone; None without one.

    Parameters
    ----------
    tags, imagery : mapping of str to str
        Tags of the file, and of its domain IMAGERY.
    """
    for key in _TAGS:
        time = _parse((imagery.get(key) or tags.get(key) or "").strip())
        if time is not None:
            return time.isoformat().replace("+00:00", "Z")
    return None


def _parse(text: str) -> datetime | None:
    for parse in (datetime.fromisoformat, *(lambda t, form=form: datetime.strptime(t, form) for form in _FORMATS)):
        try:
            time: datetime = parse(text)
            return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return None
