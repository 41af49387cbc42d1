"""Evaluate: a layer of bimors against polygons or points of known class, `bimors evaluate LAYER --reference`."""

from __future__ import annotations

import json
from pathlib import Path

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputFile,
    QgsProcessingOutputFolder,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterVectorLayer,
)

from .base import BimorsAlgorithm, file_of
from .command import evaluate


class Evaluate(BimorsAlgorithm):
    """A layer and a reference in, figures out."""

    def name(self) -> str:
        return "evaluate"

    def displayName(self) -> str:
        return "Evaluate"

    def shortHelpString(self) -> str:
        return (
            "Checks a layer that 'Classify scene' wrote against polygons or points whose class you know. Take others "
            "than those that you trained with.\n\nThe figures are in the log; a folder named after the layer gets them "
            "as a page (map_check.md), as JSON and as charts."
        )

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        polygon = [QgsProcessing.TypeVectorPolygon]
        self.add(QgsProcessingParameterVectorLayer("INPUT", "Layer of bimors", polygon))
        anything = [QgsProcessing.TypeVectorAnyGeometry]
        self.add(QgsProcessingParameterFeatureSource("REFERENCE", "Polygons or points of known class", anything))
        field = QgsProcessingParameterField("FIELD", "Field of the class", parentLayerParameterName="REFERENCE")
        self.add(field)
        share = QgsProcessingParameterNumber(
            "MIN_OVERLAP", "Share of a tile", QgsProcessingParameterNumber.Double, 0.5, minValue=0.0, maxValue=1.0
        )
        self.add(share, "That polygons must cover, so that the tile counts.", advanced=True)
        self.add_extra("--layer tiles")
        self.add(QgsProcessingParameterFolderDestination("FOLDER", "Folder of results"))
        self.addOutput(QgsProcessingOutputFolder("OUTPUT", "Results"))
        self.addOutput(QgsProcessingOutputFile("PAGE", "Page"))
        self.addOutput(QgsProcessingOutputNumber("ACCURACY", "Accuracy"))
        self.addOutput(QgsProcessingOutputNumber("COVERAGE", "Coverage"))
        self.addOutput(QgsProcessingOutputNumber("KAPPA", "Kappa"))

    def processAlgorithm(
        self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict:
        layer = self.parameterAsVectorLayer(parameters, "INPUT", context)
        if layer is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, "INPUT"))
        path, name = file_of(layer)
        output = self.inside(parameters, context, f"{Path(path).stem}_check")
        reference, reference_layer = self.vector(parameters, "REFERENCE", context, feedback)
        arguments = evaluate(
            path,
            name,
            reference,
            reference_layer,
            self.parameterAsString(parameters, "FIELD", context),
            output,
            min_overlap=self.parameterAsDouble(parameters, "MIN_OVERLAP", context),
            **self.texts(parameters, context, "EXTRA"),
        )
        written = self.call(arguments, feedback)
        if written is None:
            return {}
        found = json.loads(written)
        return {
            "OUTPUT": output,
            "PAGE": str(Path(output) / "map_check.md"),
            "ACCURACY": found["accuracy"],
            "COVERAGE": found["coverage"],
            "KAPPA": found["kappa"],
        }
