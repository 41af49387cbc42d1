"""The Processing provider, and its setting with the path of the program."""

from __future__ import annotations

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider

from .classify import Classify
from .command import NAME, PROGRAM_SETTING
from .evaluate import Evaluate
from .finetune import Finetune


class BimorsProvider(QgsProcessingProvider):
    """The provider of the algorithms."""

    def id(self) -> str:
        return NAME

    def name(self) -> str:
        return NAME

    def longName(self) -> str:
        return "bimors (raster tile classification)"

    def load(self) -> bool:
        ProcessingConfig.settingIcons[NAME] = self.icon()
        about = "Path of the program bimors, or of its Python environment (empty: search the PATH)"
        ProcessingConfig.addSetting(Setting(NAME, PROGRAM_SETTING, about, "", valuetype=Setting.FILE))
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        ProcessingConfig.removeSetting(PROGRAM_SETTING)

    def loadAlgorithms(self) -> None:
        for algorithm in (Classify, Finetune, Evaluate):
            self.addAlgorithm(algorithm())

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        # A GeoPackage contains its style and provenance.
        return ["gpkg"]

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:
        return "gpkg"
