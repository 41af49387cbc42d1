"""Evaluate: map accuracy of a classified layer, `bimors evaluate LAYER --reference`."""

from __future__ import annotations

import json
from pathlib import Path

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
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

from .base import BimorsAlgorithm
from .command import evaluate


class Evaluate(BimorsAlgorithm):
    """Computes the accuracy of a classified layer from reference data."""

    def name(self) -> str:
        return "evaluate"

    def displayName(self) -> str:
        return "Evaluate against polygons"

    def group(self) -> str:
        return "Accuracy and area"

    def tags(self) -> list[str]:
        return ["accuracy assessment", "validation", "confusion matrix", "kappa", "precision", "recall"]

    def shortHelpString(self) -> str:
        return (
            "Computes the accuracy of a layer of 'Classify scene' from reference polygons or points of known class. "
            "Use reference data that were not used for training.\n\nPolygons chosen by hand give the accuracy of "
            "these places. For the accuracy of the whole map and the areas of its classes, use 'Sample tiles for "
            "reference labels' and 'Assess accuracy and areas'.\n\nThe metrics are shown in the log and written to a "
            "folder named after the layer, as a report (map_check.md), JSON and charts."
        )

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        polygon = [QgsProcessing.TypeVectorPolygon]
        self.add(QgsProcessingParameterVectorLayer("INPUT", "Classified layer", polygon))
        geometry = [QgsProcessing.TypeVectorAnyGeometry]
        self.add(QgsProcessingParameterFeatureSource("REFERENCE", "Reference polygons or points", geometry))
        field = QgsProcessingParameterField("FIELD", "Class field", parentLayerParameterName="REFERENCE")
        self.add(field, "Field of the reference layer with the class name.")
        overlap = QgsProcessingParameterNumber(
            "MIN_OVERLAP", "Minimum overlap", QgsProcessingParameterNumber.Double, 0.5, minValue=0.0, maxValue=1.0
        )
        self.add(overlap, "Fraction of a tile that reference polygons must cover to include the tile.", advanced=True)
        self.add_extra("--layer tiles")
        self.add(QgsProcessingParameterFolderDestination("FOLDER", "Output folder"))
        self.addOutput(QgsProcessingOutputFolder("OUTPUT", "Results"))
        self.addOutput(QgsProcessingOutputFile("PAGE", "Report"))
        self.addOutput(QgsProcessingOutputNumber("ACCURACY", "Accuracy"))
        self.addOutput(QgsProcessingOutputNumber("COVERAGE", "Coverage"))
        self.addOutput(QgsProcessingOutputNumber("KAPPA", "Kappa"))

    def processAlgorithm(
        self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict:
        path, name = self.file_layer(parameters, "INPUT", context)
        output = self.inside(parameters, context, f"{Path(path).stem}_check")
        reference, reference_layer = self.vector(parameters, "REFERENCE", context, feedback)
        arguments = evaluate(
            path,
            name,
            reference,
            reference_layer,
            self.parameterAsString(parameters, "FIELD", context),
            output,
            **self.numbers(parameters, context, "MIN_OVERLAP"),
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
