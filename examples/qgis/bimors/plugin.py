"""What QGIS starts and stops: the provider."""

from __future__ import annotations

from qgis.core import QgsApplication

from .provider import BimorsProvider


class BimorsPlugin:
    """Adds the provider to Processing while the plugin is on."""

    def __init__(self) -> None:
        self._provider = None

    def initProcessing(self) -> None:
        """Add the provider; `qgis_process` calls this alone."""
        self._provider = BimorsProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        """Add the provider."""
        self.initProcessing()

    def unload(self) -> None:
        """Take the provider away."""
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None
