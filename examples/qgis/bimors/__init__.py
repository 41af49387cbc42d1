"""The QGIS plugin bimors: Processing algorithms that run the program bimors."""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:
    """Return the plugin; QGIS calls this."""
    from .plugin import BimorsPlugin

    return BimorsPlugin()
