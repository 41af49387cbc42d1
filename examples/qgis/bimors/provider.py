"""The Processing provider, and its setting with the path of the program."""

from __future__ import annotations

from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .assess import Assess
from .change import Change
from .classify import Classify
from .evaluate import Evaluate
from .finetune import Finetune
from .finetune_corrected import FinetuneCorrected
from .program import NAME, PROGRAM_SETTING
from .sample import Sample
from .suggest import Suggest

ALGORITHMS = (Classify, Change, Finetune, FinetuneCorrected, Suggest, Sample, Assess, Evaluate)


class BimorsProvider(QgsProcessingProvider):
    """The provider of the algorithms."""

    def id(self) -> str:
        return NAME

    def name(self) -> str:
        return NAME

    def longName(self) -> str:
        return "bimors (raster tile classification)"

    def icon(self) -> QIcon:
        return QIcon(str(Path(__file__).with_name("icon.svg")))

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
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        # A GeoPackage contains its style and provenance.
        return ["gpkg"]

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:
        return "gpkg"
