"""Base class of the algorithms."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorLayer,
    QgsProcessingUtils,
    QgsProviderRegistry,
    QgsVectorLayer,
)

from .command import file_and_layer
from .process import ProgramFailed, run
from .program import PROGRAM_SETTING, ProgramError, find_program

# Layers in these formats are passed to the program; QGIS exports others, memory layers and selections to a GeoPackage.
_VECTOR_FORMATS = ["gpkg", "shp", "geojson", "fgb"]
_VECTOR_INPUTS = (
    QgsProcessingParameterVectorLayer,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterMultipleLayers,
)


class BimorsAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that runs the program."""

    def createInstance(self) -> BimorsAlgorithm:
        return type(self)()

    def groupId(self) -> str:
        return self.group().lower().replace(" ", "_")

    def canExecute(self) -> tuple[bool, str]:
        """Check that the program is installed before the dialog opens."""
        try:
            _program()
        except ProgramError as error:
            return False, str(error)
        return True, ""

    def checkParameterValues(self, parameters: dict, context: QgsProcessingContext) -> tuple[bool, str]:
        """Check before the start that the files of the layers hold what the project shows."""
        for definition in self.parameterDefinitions():
            # QGIS exports the features of a source that has a filter, but not those of a layer.
            filter_matters = not isinstance(definition, QgsProcessingParameterFeatureSource)
            for layer in self._layers(definition, parameters.get(definition.name()), context):
                if problem := _unlike_its_file(layer, filter_matters):
                    return False, problem
        return super().checkParameterValues(parameters, context)

    def _layers(
        self, definition: QgsProcessingParameterDefinition, value: Any, context: QgsProcessingContext
    ) -> list[QgsVectorLayer]:
        """Return the vector layers of an input, except of one whose selected features QGIS exports."""
        if value in (None, "") or not isinstance(definition, _VECTOR_INPUTS):
            return []
        name = definition.name()
        if isinstance(definition, QgsProcessingParameterMultipleLayers):
            return self.parameterAsLayerList({name: value}, name, context)
        if isinstance(value, QgsProcessingFeatureSourceDefinition):
            if value.selectedFeaturesOnly:
                return []
            value = value.source.staticValue()
        layer = self.parameterAsVectorLayer({name: value}, name, context)
        return [] if layer is None else [layer]

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
        bands = QgsProcessingParameterString("BANDS", "Bands for red, green, blue", "", optional=True)
        self.add(bands, "Band numbers, for example 4,3,2. Empty: bands by colour interpretation.", advanced=True)
        stretch = QgsProcessingParameterString("STRETCH", "Stretch", "auto", optional=True)
        self.add(stretch, "auto, none, MIN,MAX, or percentiles such as p2,p98.", advanced=True)
        self.add_model()

    def add_model(self) -> None:
        """Add the parameters of all algorithms that use a model."""
        model = QgsProcessingParameterString("MODEL", "Model", "mini", optional=True)
        self.add(model, "Name of a model (see bimors models list), or folder of a bundle.", advanced=True)
        device = QgsProcessingParameterString("DEVICE", "Device", "auto", optional=True)
        self.add(device, "auto, cpu, cuda or mps.", advanced=True)
        self.add_extra("--no-caption-cache")

    def add_extra(self, example: str) -> None:
        """Add a parameter for further options of the command."""
        extra = QgsProcessingParameterString("EXTRA", "Additional command-line parameters", "", optional=True)
        self.add(extra, f"Options of the command, for example {example}.", advanced=True)

    def add_overwrite(self, what: str) -> None:
        """Add the parameter for the replacement of a file that holds the work of the user."""
        tip = "If unchecked, the program refuses to replace a file, and the work that it may contain."
        self.add(QgsProcessingParameterBoolean("OVERWRITE", f"Replace an existing {what}", False), tip, advanced=True)

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

    def choices(self, parameters: dict, context: QgsProcessingContext, *names: str) -> dict[str, str]:
        """Return enum parameters by lower-case name, as the functions of `command` take them."""
        return {name.lower(): self.parameterAsEnumString(parameters, name, context) for name in names}

    def numbers(self, parameters: dict, context: QgsProcessingContext, *names: str) -> dict[str, str]:
        """Return number parameters by lower-case name, as the functions of `command` take them; empty if not set."""
        found = {}
        for name in names:
            definition = self.parameterDefinition(name)
            whole = definition.dataType() == QgsProcessingParameterNumber.Integer
            if parameters.get(name, definition.defaultValue()) in (None, ""):
                found[name.lower()] = ""
            elif whole:
                found[name.lower()] = str(self.parameterAsInt(parameters, name, context))
            else:
                found[name.lower()] = str(self.parameterAsDouble(parameters, name, context))
        return found

    def file_layer(self, parameters: dict, name: str, context: QgsProcessingContext) -> tuple[str, str]:
        """Return file and layer name of a layer that the program wrote, without exporting it: it has provenance."""
        layer = self.parameterAsVectorLayer(parameters, name, context)
        if layer is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, name))
        return _file_of(layer)

    def files(self, parameters: dict, name: str, context: QgsProcessingContext) -> list[str]:
        """Return the files of several layers that the program wrote."""
        return [_file_of(layer)[0] for layer in self.parameterAsLayerList(parameters, name, context)]

    def warn_if_temporary(self, output: str, feedback: QgsProcessingFeedback) -> None:
        """Warn about a layer that the user will edit in a folder that QGIS deletes when it is closed."""
        if Path(output).is_relative_to(QgsProcessingUtils.tempFolder()):
            feedback.pushWarning(
                "The output is a temporary file, which QGIS deletes when it is closed. Save it to a file of your own "
                "before you edit it: run the algorithm again and select an output file."
            )

    def inside(self, parameters: dict, context: QgsProcessingContext, name: str) -> str:
        """Return a path in the folder FOLDER; bimors creates and replaces only its own subfolders."""
        folder = self.parameterAsString(parameters, "FOLDER", context)
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, name)


def _file_of(layer: QgsVectorLayer) -> tuple[str, str]:
    parts = QgsProviderRegistry.instance().decodeUri(layer.dataProvider().name(), layer.source())
    if layer.dataProvider().name() != "ogr" or not parts.get("path"):
        raise QgsProcessingException(f"{layer.name()} is not a file layer: select the GeoPackage that bimors wrote.")
    return parts["path"], parts.get("layerName") or ""


def _unlike_its_file(layer: QgsVectorLayer, filter_matters: bool) -> str:
    """Return why the program would read other features from the file than the project shows; empty if it would not."""
    if layer.providerType() != "ogr":  # QGIS exports it
        return ""
    if layer.isModified():
        return f"{layer.name()} has unsaved edits, which the program cannot read: save them (Layer > Save Layer Edits)."
    if filter_matters and layer.subsetString():
        return f"{layer.name()} has a filter, but the program reads the whole file: remove it (Layer > Filter)."
    return ""


def _program() -> str:
    return find_program(ProcessingConfig.getSetting(PROGRAM_SETTING) or "")
