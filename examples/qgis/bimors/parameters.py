"""The parameters of an algorithm as QGIS has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputDefinition,
    QgsProcessingOutputFile,
    QgsProcessingOutputFolder,
    QgsProcessingOutputHtml,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterCrs,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
)

from . import spec
from .declared import Option
from .spec import Algorithm, Output, Parameter
from .translate import tr

_ALL_FILES = "All files (*.*)"


def make(algorithm: Algorithm, parameter: Parameter) -> QgsProcessingParameterDefinition:
    """Return a parameter with its tooltip."""
    if parameter.kind == spec.CHOICES:
        found = _choices(algorithm, parameter)
    elif parameter.kind:
        found = _KINDS[parameter.kind](parameter)
    else:
        found = _declared(algorithm, parameter, algorithm.declared(parameter))
    if parameter.advanced:
        found.setFlags(found.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
    found.setHelp(tr(algorithm.tip(parameter)))
    return found


def make_output(output: Output) -> QgsProcessingOutputDefinition:
    """Return an output that is not a parameter."""
    kinds = {
        "number": QgsProcessingOutputNumber,
        "html": QgsProcessingOutputHtml,
        "file": QgsProcessingOutputFile,
        "folder": QgsProcessingOutputFolder,
    }
    return kinds[output.kind](output.name, tr(output.label))


def _declared(algorithm: Algorithm, parameter: Parameter, option: Option | None) -> QgsProcessingParameterDefinition:
    """Return a parameter whose type follows from the declaration of the option."""
    name, label = parameter.name, tr(parameter.label)
    if option is None:
        return QgsProcessingParameterString(name, label, parameter.default or "", optional=not parameter.default)
    if option.kind == "flag":
        return QgsProcessingParameterBoolean(name, label, bool(option.default))
    if parameter.percent or option.kind in ("whole", "real"):
        return _number(parameter, option)
    if option.choices:
        return _choices(algorithm, parameter)
    return QgsProcessingParameterString(
        name, label, option.default or "", multiLine=parameter.multiline, optional=not option.required
    )


def _number(parameter: Parameter, option: Option) -> QgsProcessingParameterNumber:
    whole = option.kind == "whole"
    default = option.default
    if parameter.percent and default is not None:
        default = float(default.rstrip("%"))
    limits = {
        name: own if own is not None else declared
        for name, own, declared in (
            ("minValue", parameter.minimum, option.minimum),
            ("maxValue", parameter.maximum, option.maximum),
        )
    }
    return QgsProcessingParameterNumber(
        parameter.name,
        tr(parameter.label),
        QgsProcessingParameterNumber.Integer if whole else QgsProcessingParameterNumber.Double,
        default,
        optional=default is None,
        **{name: value for name, value in limits.items() if value is not None},
    )


def _choices(algorithm: Algorithm, parameter: Parameter) -> QgsProcessingParameterEnum:
    option = algorithm.declared(parameter)
    default = None if option is None else option.default
    return QgsProcessingParameterEnum(
        parameter.name,
        tr(parameter.label),
        list(algorithm.choices(parameter)),
        allowMultiple=option is not None and option.kind == "list",
        defaultValue=default,
        optional=default is None,
        usesStaticStrings=True,
    )


def _types(parameter: Parameter) -> list[int]:
    polygon = parameter.geometry == "polygon"
    return [QgsProcessing.TypeVectorPolygon if polygon else QgsProcessing.TypeVectorAnyGeometry]


def _file(parameter: Parameter, behaviour: Any) -> QgsProcessingParameterFile:
    filters = [*([parameter.filter] if parameter.filter else []), _ALL_FILES]
    text = ";;".join(filters) if behaviour == QgsProcessingParameterFile.File else ""
    return QgsProcessingParameterFile(
        parameter.name, tr(parameter.label), behaviour, optional=parameter.optional, fileFilter=text
    )


def _multiple(parameter: Parameter, kind: int) -> QgsProcessingParameterMultipleLayers:
    required = parameter.kind == spec.FILES and not parameter.optional
    return QgsProcessingParameterMultipleLayers(parameter.name, tr(parameter.label), kind, optional=not required)


def _destination(parameter: Parameter, cls: Callable[..., Any], **further: Any) -> QgsProcessingParameterDefinition:
    return cls(
        parameter.name,
        tr(parameter.label),
        optional=parameter.optional,
        createByDefault=not parameter.optional,
        **further,
    )


_KINDS: dict[str, Callable[[Parameter], QgsProcessingParameterDefinition]] = {
    spec.SCENE: lambda p: QgsProcessingParameterRasterLayer(p.name, tr(p.label)),
    spec.RASTER: lambda p: QgsProcessingParameterRasterLayer(p.name, tr(p.label), optional=p.optional),
    spec.SCENES: lambda p: _multiple(p, QgsProcessing.TypeRaster),
    spec.LAYERS: lambda p: _multiple(p, QgsProcessing.TypeVectorPolygon),
    spec.FILES: lambda p: _multiple(p, QgsProcessing.TypeFile),
    spec.LAYER: lambda p: QgsProcessingParameterVectorLayer(p.name, tr(p.label), _types(p), optional=p.optional),
    spec.SOURCE: lambda p: QgsProcessingParameterFeatureSource(p.name, tr(p.label), _types(p), optional=p.optional),
    spec.TILES: lambda p: QgsProcessingParameterFeatureSource(
        p.name, tr(p.label), [QgsProcessing.TypeVectorPolygon], optional=p.optional
    ),
    spec.FILE: lambda p: _file(p, QgsProcessingParameterFile.File),
    spec.FOLDER: lambda p: _file(p, QgsProcessingParameterFile.Folder),
    spec.FIELD: lambda p: QgsProcessingParameterField(
        p.name, tr(p.label), parentLayerParameterName=p.parent, optional=p.optional
    ),
    spec.CRS: lambda p: QgsProcessingParameterCrs(p.name, tr(p.label), optional=p.optional),
    spec.VECTOR_OUTPUT: lambda p: _destination(
        p, QgsProcessingParameterVectorDestination, type=QgsProcessing.TypeVectorPolygon
    ),
    spec.RASTER_OUTPUT: lambda p: _destination(p, QgsProcessingParameterRasterDestination),
    spec.FILE_OUTPUT: lambda p: _destination(p, QgsProcessingParameterFileDestination, fileFilter=p.filter),
    spec.FOLDER_OUTPUT: lambda p: _destination(p, QgsProcessingParameterFolderDestination),
    spec.TABLE: lambda p: QgsProcessingParameterFeatureSink(p.name, tr(p.label), QgsProcessing.TypeVector),
}
