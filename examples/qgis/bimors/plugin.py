"""The plugin class."""

from __future__ import annotations

from qgis.core import QgsApplication

from .provider import BimorsProvider


class BimorsPlugin:
    """Registers the Processing provider while the plugin is enabled."""

    def __init__(self) -> None:
        self._provider = None

    def initProcessing(self) -> None:
        """Register the provider; `qgis_process` calls only this method."""
        self._provider = BimorsProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        """Register the provider."""
        self.initProcessing()

    def unload(self) -> None:
        """Remove the provider."""
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None
