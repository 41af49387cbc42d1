"""What the three algorithms share."""

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

# Layers in these go to the program as they are; QGIS writes others, memory layers and selections to a GeoPackage.
_VECTOR_FORMATS = ["gpkg", "shp", "geojson", "fgb"]


class BimorsAlgorithm(QgsProcessingAlgorithm):
    """Runs the program."""

    def createInstance(self) -> BimorsAlgorithm:
        return type(self)()

    def canExecute(self) -> tuple[bool, str]:
        """Look for the program before the dialog opens."""
        try:
            _program()
        except ProgramError as error:
            return False, str(error)
        return True, ""

    def add(
        self, parameter: QgsProcessingParameterDefinition, tip: str = "", *, advanced: bool = False
    ) -> QgsProcessingParameterDefinition:
        """Add a parameter."""
        if advanced:
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
        parameter.setHelp(tip)
        self.addParameter(parameter)
        return parameter

    def add_common(self) -> None:
        """Add what the program takes wherever it looks at pictures."""
        for name, text, default, tip in (
            ("MODEL", "Model", "mini", "A name from bimors models list, or the folder of a bundle."),
            ("BANDS", "Bands for red, green, blue", "", "For example 4,3,2. Empty: by colour interpretation."),
            ("STRETCH", "Stretch", "auto", "auto, none, MIN,MAX or percentiles as p2,p98."),
            ("DEVICE", "Device", "auto", "auto, cpu, cuda or mps."),
        ):
            self.add(QgsProcessingParameterString(name, text, default, optional=True), tip, advanced=True)
        self.add_extra("--no-caption-cache")

    def add_extra(self, example: str) -> None:
        """Add a line for every option that has no field of its own."""
        extra = QgsProcessingParameterString("EXTRA", "Further options of the command", "", optional=True)
        self.add(extra, f"As on the command line, for example {example}.", advanced=True)

    def call(self, arguments: list[str], feedback: QgsProcessingFeedback) -> str | None:
        """Run the program; returns its standard output, None if it was cancelled."""
        try:
            return run([_program(), *arguments], feedback)
        except (ProgramError, ProgramFailed) as error:
            raise QgsProcessingException(str(error)) from error

    def scene(self, parameters: dict, context: QgsProcessingContext) -> str:
        """Return what GDAL opens for the raster layer INPUT."""
        layer = self.parameterAsRasterLayer(parameters, "INPUT", context)
        if layer is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, "INPUT"))
        if layer.dataProvider().name() != "gdal":
            raise QgsProcessingException(f"{layer.name()} is no file that GDAL opens: save it as GeoTIFF first.")
        return layer.source()

    def vector(
        self, parameters: dict, name: str, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> tuple[str, str]:
        """Return file and layer of a vector input; both empty where it was not given."""
        if parameters.get(name) in (None, ""):
            return "", ""
        return self.parameterAsCompatibleSourceLayerPathAndLayerName(
            parameters, name, context, _VECTOR_FORMATS, "gpkg", feedback
        )

    def vector_text(
        self, parameters: dict, name: str, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> str:
        """Return FILE:LAYER of a vector input, or nothing."""
        return file_and_layer(*self.vector(parameters, name, context, feedback))

    def texts(self, parameters: dict, context: QgsProcessingContext, *names: str) -> dict[str, str]:
        """Return text parameters by their names in lower case, as `command` takes them."""
        return {name.lower(): self.parameterAsString(parameters, name, context) for name in names}

    def inside(self, parameters: dict, context: QgsProcessingContext, name: str) -> str:
        """Return a path in the folder FOLDER; bimors makes and replaces only folders of its own."""
        folder = self.parameterAsString(parameters, "FOLDER", context)
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, name)


def file_of(layer: QgsMapLayer) -> tuple[str, str]:
    """Return file and layer name of a layer, without copying it: the file carries its provenance."""
    parts = QgsProviderRegistry.instance().decodeUri(layer.dataProvider().name(), layer.source())
    if layer.dataProvider().name() != "ogr" or not parts.get("path"):
        raise QgsProcessingException(f"{layer.name()} is no file: take the GeoPackage that bimors wrote.")
    return parts["path"], parts.get("layerName") or ""


def _program() -> str:
    return find_program(ProcessingConfig.getSetting(PROGRAM_SETTING) or "")
