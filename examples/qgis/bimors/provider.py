"""The Processing provider, and its setting: where the program is."""

from __future__ import annotations

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider

from .classify import Classify
from .command import NAME, PROGRAM_SETTING
from .evaluate import Evaluate
from .finetune import Finetune


class BimorsProvider(QgsProcessingProvider):
    """The three algorithms."""

    def id(self) -> str:
        return NAME

    def name(self) -> str:
        return NAME

    def longName(self) -> str:
        return "bimors: label a raster tile by tile"

    def load(self) -> bool:
        ProcessingConfig.settingIcons[NAME] = self.icon()
        about = "Program bimors (empty: the one on the PATH); its file, or the folder of its Python environment"
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
        # It carries its style and its provenance.
        return ["gpkg"]

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:
        return "gpkg"
