"""The Processing provider, and its setting with the path of the program."""

from __future__ import annotations

from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsApplication, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from . import translate
from .algorithm import BimorsAlgorithm
from .program import NAME, PROGRAM_SETTING
from .results import CLASSES
from .specs import ALGORITHMS
from .translate import tr


class BimorsProvider(QgsProcessingProvider):
    """The provider of the algorithms."""

    def id(self) -> str:
        return NAME

    def name(self) -> str:
        return NAME

    def longName(self) -> str:
        return tr("bimors (raster tile classification)")

    def icon(self) -> QIcon:
        return QIcon(str(Path(__file__).with_name("icon.svg")))

    def load(self) -> bool:
        translate.use(QgsApplication.locale())
        ProcessingConfig.settingIcons[NAME] = self.icon()
        about = tr("Path of the program bimors, or of its Python environment (empty: search the PATH)")
        ProcessingConfig.addSetting(Setting(NAME, PROGRAM_SETTING, about, "", valuetype=Setting.FILE))
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        ProcessingConfig.removeSetting(PROGRAM_SETTING)

    def loadAlgorithms(self) -> None:
        for described in ALGORITHMS:
            self.addAlgorithm(CLASSES.get(described.name, BimorsAlgorithm)(described))

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        # A GeoPackage contains its style and provenance.
        return ["gpkg"]

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:
        return "gpkg"
