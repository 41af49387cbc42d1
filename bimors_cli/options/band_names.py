"""Names of the bands of the spectrum, for scenes and bundles."""

from __future__ import annotations

from typing import Final

BAND_NAMES: Final = (
    "coastal",
    "blue",
    "green",
    "red",
    "rededge1",
    "rededge2",
    "rededge3",
    "nir",
    "nir narrow",
    "water vapour",
    "cirrus",
    "swir1",
    "swir2",
)

# Key of open_clip_config.json: the number of bands that the image tower takes; missing for red, green and blue.
CHANNELS: Final = "in_chans"
