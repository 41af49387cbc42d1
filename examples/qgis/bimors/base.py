"""Base class of the algorithms."""

from __future__ import annotations

import os

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import (
    QgsMapLayer,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterString,
    QgsProviderRegistry,
)

from .command import PROGRAM_SETTING, ProgramError, file_and_layer, find_program
from .process import ProgramFailed, run

# Layers in these formats are passed to the program; QGIS exports others, memory layers and selections to a GeoPackage.
_VECTOR_FORMATS = ["gpkg", "shp", "geojson", "fgb"]


class BimorsAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that runs the program."""

    def createInstance(self) -> BimorsAlgorithm:
        return type(self)()

    def canExecute(self) -> tuple[bool, str]:
        """Check that the program is installed before the dialog opens."""
        try:
            _program()
        except ProgramError as error:
            return False, str(error)
        return True, ""

    def add(
        self, parameter: QgsProcessingParameterDefinition, tip: str = "", *, advanced: bool = False
    ) -> QgsProcessingParameterDefinition:
        """Add a parameter with its tooltip."""
        if advanced:
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
        parameter.setHelp(tip)
        self.addParameter(parameter)
        return parameter

    def add_common(self) -> None:
        """Add the parameters of all algorithms that read a scene."""
        for name, text, default, tip in (
            ("MODEL", "Model", "mini", "Name of a model (see bimors models list), or folder of a bundle."),
            (
                "BANDS",
                "Bands for red, green, blue",
                "",
                "Band numbers, for example 4,3,2. Empty: bands by colour interpretation.",
            ),
            ("STRETCH", "Stretch", "auto", "auto, none, MIN,MAX, or percentiles such as p2,p98."),
            ("DEVICE", "Device", "auto", "auto, cpu, cuda or mps."),
        ):
            self.add(QgsProcessingParameterString(name, text, default, optional=True), tip, advanced=True)
        self.add_extra("--no-caption-cache")

    def add_extra(self, example: str) -> None:
        """Add a parameter for further options of the command."""
        extra = QgsProcessingParameterString("EXTRA", "Additional command-line parameters", "", optional=True)
        self.add(extra, f"Options of the command, for example {example}.", advanced=True)

    def call(self, arguments: list[str], feedback: QgsProcessingFeedback) -> str | None:
        """Run the program and return its standard output; None if it was cancelled."""
        try:
            return run([_program(), *arguments], feedback)
        except (ProgramError, ProgramFailed) as error:
            raise QgsProcessingException(str(error)) from error

    def scene(self, parameters: dict, context: QgsProcessingContext) -> str:
        """Return the GDAL data source of the raster layer INPUT."""
        layer = self.parameterAsRasterLayer(parameters, "INPUT", context)
        if layer is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, "INPUT"))
        if layer.dataProvider().name() != "gdal":
            raise QgsProcessingException(f"{layer.name()} is not a GDAL raster: export it as GeoTIFF first.")
        return layer.source()

    def vector(
        self, parameters: dict, name: str, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> tuple[str, str]:
        """Return file and layer name of a vector input; both empty if it is not set."""
        if parameters.get(name) in (None, ""):
            return "", ""
        return self.parameterAsCompatibleSourceLayerPathAndLayerName(
            parameters, name, context, _VECTOR_FORMATS, "gpkg", feedback
        )

    def vector_text(
        self, parameters: dict, name: str, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> str:
        """Return FILE:LAYER of a vector input; empty if it is not set."""
        return file_and_layer(*self.vector(parameters, name, context, feedback))

    def texts(self, parameters: dict, context: QgsProcessingContext, *names: str) -> dict[str, str]:
        """Return string parameters by lower-case name, as the functions of `command` take them."""
        return {name.lower(): self.parameterAsString(parameters, name, context) for name in names}

    def inside(self, parameters: dict, context: QgsProcessingContext, name: str) -> str:
        """Return a path in the folder FOLDER; bimors creates and replaces only its own subfolders."""
        folder = self.parameterAsString(parameters, "FOLDER", context)
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, name)


def file_of(layer: QgsMapLayer) -> tuple[str, str]:
    """Return file and layer name of a layer without exporting it: the file contains its provenance."""
    parts = QgsProviderRegistry.instance().decodeUri(layer.dataProvider().name(), layer.source())
    if layer.dataProvider().name() != "ogr" or not parts.get("path"):
        raise QgsProcessingException(f"{layer.name()} is not a file layer: select the GeoPackage that bimors wrote.")
    return parts["path"], parts.get("layerName") or ""


def _program() -> str:
    return find_program(ProcessingConfig.getSetting(PROGRAM_SETTING) or "")
