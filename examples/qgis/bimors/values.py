"""What a user chose in a dialog, as values of the program's options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qgis.core import (
    QgsMapLayer,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterVectorLayer,
    QgsProviderRegistry,
    QgsVectorLayer,
)

from . import spec
from .command import Value, file_and_layer
from .spec import Algorithm, Parameter
from .translate import tr

# Layers in these formats are passed to the program; QGIS exports others, memory layers and selections to a GeoPackage.
_VECTOR_FORMATS = ["gpkg", "shp", "geojson", "fgb"]
_VECTOR_INPUTS = (
    QgsProcessingParameterVectorLayer,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterMultipleLayers,
)
# Of a search by example: more were not chosen by hand.
_MOST_TILES = 200


class Reader:
    """Reads the parameters of one run."""

    def __init__(
        self,
        algorithm: QgsProcessingAlgorithm,
        described: Algorithm,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> None:
        self._qgis, self._described = algorithm, described
        self._parameters, self._context, self._feedback = parameters, context, feedback

    def values(self) -> dict[str, Value]:
        """Return the values of all options by their names; a folder of outputs is left to the algorithm."""
        found: dict[str, Value] = {}
        for parameter in self._described.parameters:
            if not parameter.option or parameter.kind == spec.FOLDER_OUTPUT:
                continue
            for option, value in self._of(parameter).items():
                if option in found and value:
                    earlier = found[option]
                    value = [*_as_list(earlier), *_as_list(value)] if earlier else value
                elif option in found:
                    continue
                found[option] = value
        return found

    def text(self, name: str) -> str:
        """Return a parameter as text."""
        return self._qgis.parameterAsString(self._parameters, name, self._context)

    def _is_set(self, name: str) -> bool:
        default = self._qgis.parameterDefinition(name).defaultValue()
        return self._parameters.get(name, default) not in (None, "")

    def _of(self, parameter: Parameter) -> dict[str, Value]:
        """Return the values that a parameter sets by the names of the options."""
        name = parameter.name
        if parameter.kind in (spec.LAYER, spec.SOURCE) and parameter.layer_option:
            path, layer = self._layer(name) if parameter.kind == spec.LAYER else self._source(name)
            return {parameter.option: path, parameter.layer_option: layer}
        readers: dict[str, Callable[[str], Value]] = {
            spec.SCENE: self._raster,
            spec.RASTER: self._raster,
            spec.SCENES: self._rasters,
            spec.LAYER: lambda name: self._layer(name)[0],
            spec.LAYERS: self._layers,
            spec.SOURCE: lambda name: file_and_layer(*self._source(name)),
            spec.TILES: self._tiles,
            spec.FILES: lambda name: self._qgis.parameterAsFileList(self._parameters, name, self._context),
            spec.FILE: lambda name: self._qgis.parameterAsFile(self._parameters, name, self._context),
            spec.FOLDER: lambda name: self._qgis.parameterAsFile(self._parameters, name, self._context),
            spec.FIELD: self.text,
            spec.CRS: self._crs,
            spec.CHOICES: lambda name: self._choice(parameter),
            spec.VECTOR_OUTPUT: lambda name: self._qgis.parameterAsOutputLayer(self._parameters, name, self._context),
            spec.RASTER_OUTPUT: lambda name: self._qgis.parameterAsOutputLayer(self._parameters, name, self._context),
            spec.FILE_OUTPUT: lambda name: self._qgis.parameterAsFileOutput(self._parameters, name, self._context),
        }
        read = readers.get(parameter.kind, lambda name: self._declared(parameter))
        return {parameter.option: read(name)}

    def _declared(self, parameter: Parameter) -> Value:
        name, option = parameter.name, self._described.declared(parameter)
        assert option is not None
        if option.kind == "flag":
            return self._qgis.parameterAsBool(self._parameters, name, self._context)
        if parameter.percent or option.kind in ("whole", "real"):
            if not self._is_set(name):
                return ""
            if option.kind == "whole":
                return str(self._qgis.parameterAsInt(self._parameters, name, self._context))
            number = self._qgis.parameterAsDouble(self._parameters, name, self._context)
            return f"{number:g}%" if parameter.percent else repr(number)
        if option.choices:
            return self._choice(parameter)
        text = self.text(name)
        return text.splitlines() if parameter.multiline else text

    def _choice(self, parameter: Parameter) -> str:
        definition = self._qgis.parameterDefinition(parameter.name)
        if definition.allowMultiple():
            chosen = self._qgis.parameterAsEnumStrings(self._parameters, parameter.name, self._context)
            return ",".join(chosen)
        return self._qgis.parameterAsEnumString(self._parameters, parameter.name, self._context)

    def _crs(self, name: str) -> str:
        if not self._is_set(name):
            return ""
        crs = self._qgis.parameterAsCrs(self._parameters, name, self._context)
        return crs.authid() or crs.toWkt()

    def _raster(self, name: str) -> str:
        if not self._is_set(name):
            return ""
        layer = self._qgis.parameterAsRasterLayer(self._parameters, name, self._context)
        if layer is None:
            raise QgsProcessingException(self._qgis.invalidRasterError(self._parameters, name))
        return _raster_file(layer)

    def _rasters(self, name: str) -> list[str]:
        return [_raster_file(layer) for layer in self._layer_list(name)]

    def _layer_list(self, name: str) -> list[QgsMapLayer]:
        return self._qgis.parameterAsLayerList(self._parameters, name, self._context)

    def _layer(self, name: str) -> tuple[str, str]:
        """Return file and layer name of a layer that the program wrote, without exporting it: it has provenance."""
        if not self._is_set(name):
            return "", ""
        layer = self._qgis.parameterAsVectorLayer(self._parameters, name, self._context)
        if layer is None:
            raise QgsProcessingException(self._qgis.invalidSourceError(self._parameters, name))
        return _vector_file(layer)

    def _layers(self, name: str) -> list[str]:
        return [_vector_file(layer)[0] for layer in self._layer_list(name)]

    def _source(self, name: str) -> tuple[str, str]:
        """Return file and layer name of features; both empty if the parameter is not set."""
        if not self._is_set(name):
            return "", ""
        return self._qgis.parameterAsCompatibleSourceLayerPathAndLayerName(
            self._parameters, name, self._context, _VECTOR_FORMATS, "gpkg", self._feedback
        )

    def _tiles(self, name: str) -> list[str]:
        """Return the tile_id of chosen features."""
        if not self._is_set(name):
            return []
        source = self._qgis.parameterAsSource(self._parameters, name, self._context)
        label = tr(self._described.parameter(name).label)
        if source is None or source.fields().indexOf("tile_id") < 0:
            raise QgsProcessingException(
                tr("{label}: the layer has no field tile_id: select a layer of bimors.").format(label=label)
            )
        if not 0 < source.featureCount() <= _MOST_TILES:
            raise QgsProcessingException(
                tr("{label}: {count} features: select some tiles, and check 'Selected features only'.").format(
                    label=label, count=source.featureCount()
                )
            )
        return [str(feature["tile_id"]) for feature in source.getFeatures()]


def unlike_their_files(
    algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], context: QgsProcessingContext
) -> str:
    """Return why the program would read other features than the project shows; empty if it would not."""
    for definition in algorithm.parameterDefinitions():
        # QGIS exports the features of a source that has a filter, but not those of a layer.
        filter_matters = not isinstance(definition, QgsProcessingParameterFeatureSource)
        for layer in _vector_layers(algorithm, definition, parameters.get(definition.name()), context):
            if problem := _unlike_its_file(layer, filter_matters):
                return problem
    return ""


def _vector_layers(
    algorithm: QgsProcessingAlgorithm,
    definition: QgsProcessingParameterDefinition,
    value: Any,
    context: QgsProcessingContext,
) -> list[QgsVectorLayer]:
    """Return the vector layers of an input, except of one whose selected features QGIS exports."""
    if value in (None, "") or not isinstance(definition, _VECTOR_INPUTS):
        return []
    name = definition.name()
    if isinstance(definition, QgsProcessingParameterMultipleLayers):
        layers = algorithm.parameterAsLayerList({name: value}, name, context)
        return [layer for layer in layers if isinstance(layer, QgsVectorLayer)]
    if isinstance(value, QgsProcessingFeatureSourceDefinition):
        if value.selectedFeaturesOnly:
            return []
        value = value.source.staticValue()
    layer = algorithm.parameterAsVectorLayer({name: value}, name, context)
    return [] if layer is None else [layer]


def _as_list(value: Value) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _raster_file(layer: QgsMapLayer) -> str:
    """Return the GDAL data source of a raster layer."""
    if layer.dataProvider().name() != "gdal":
        raise QgsProcessingException(
            tr("{layer} is not a GDAL raster: export it as GeoTIFF first.").format(layer=layer.name())
        )
    return layer.source()


def _vector_file(layer: QgsVectorLayer) -> tuple[str, str]:
    parts = QgsProviderRegistry.instance().decodeUri(layer.dataProvider().name(), layer.source())
    if layer.dataProvider().name() != "ogr" or not parts.get("path"):
        raise QgsProcessingException(
            tr("{layer} is not a file layer: select the GeoPackage that bimors wrote.").format(layer=layer.name())
        )
    return parts["path"], parts.get("layerName") or ""


def _unlike_its_file(layer: QgsVectorLayer, filter_matters: bool) -> str:
    if layer.providerType() != "ogr":  # QGIS exports it
        return ""
    if layer.isModified():
        return tr(
            "{layer} has unsaved edits, which the program cannot read: save them (Layer > Save Layer Edits)."
        ).format(layer=layer.name())
    if filter_matters and layer.subsetString():
        return tr("{layer} has a filter, but the program reads the whole file: remove it (Layer > Filter).").format(
            layer=layer.name()
        )
    return ""
