"""What was added to the stored values of a scene without a tag of its bands that says so.

Since processing baseline 04.00 (January 2022), ESA stores reflectance * 10000 + 1000 in Sentinel-2 products, in older
ones reflectance * 10000 (Sentinel-2 Products Specification Document 14.9, RADIO_ADD_OFFSET and BOA_ADD_OFFSET).
"""

from __future__ import annotations

import re
from typing import Final

from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.sensor_table import SENTINEL_2
from bimors_cli.scene.sensors import guess

_ADDED: Final = 1000.0
_FIRST_BASELINE: Final = 400
_IN_FILE_NAME: Final = re.compile(r"(?<![A-Z0-9])N(\d{4})(?![A-Z0-9])")
_PRODUCT_NAMES: Final = ("PRODUCT_URI", "DATASTRIP_ID", "TIFFTAG_DOCUMENTNAME")


def added_offset(info: SceneInfo) -> tuple[float, str] | None:
    """Return what was added to the stored values, and what says so, such as ``processing baseline 05.09``.

    None for other satellites, if nothing says it, and for bands with an offset tag: statistics of bands apply it.
    """
    found = guess(info)
    if found is None or found.sensor is not SENTINEL_2 or any(info.offsets):
        return None
    tags = dict(info.tags)
    for key in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET"):
        number = re.match(r"\s*(-?\d+(?:\.\d+)?)", tags.get(key, ""))
        if number is not None:
            return -float(number[1]), f"tag {key} is {number[1]}"
    baseline = _baseline(info, tags)
    if baseline is None:
        return None
    return (
        _ADDED if baseline >= _FIRST_BASELINE else 0.0,
        f"processing baseline {baseline // 100:02}.{baseline % 100:02}",
    )


def _baseline(info: SceneInfo, tags: dict[str, str]) -> int | None:
    """Return the processing baseline, of 05.09 as 509."""
    digits = re.fullmatch(r"\s*(\d{2})\.?(\d{2})\s*", tags.get("PROCESSING_BASELINE", ""))
    if digits is not None:
        return int(digits[1] + digits[2])
    texts = [info.name, *(tags.get(key, "") for key in _PRODUCT_NAMES), *(text or "" for text in info.descriptions)]
    found = {match[1] for text in texts for match in _IN_FILE_NAME.finditer(text)}
    return int(found.pop()) if len(found) == 1 else None
