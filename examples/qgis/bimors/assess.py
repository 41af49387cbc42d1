"""Assess accuracy and areas: `bimors evaluate SAMPLE`."""

from __future__ import annotations

import json
from pathlib import Path

from qgis.core import (
    QgsFeature,
    QgsFeatureSink,
    QgsField,
    QgsFields,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputHtml,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterVectorLayer,
)
from qgis.PyQt.QtCore import QVariant

from .base import BimorsAlgorithm
from .command import assess


class Assess(BimorsAlgorithm):
    """Estimates the accuracy of a map and the areas of its classes from a labelled sample."""

    def name(self) -> str:
        return "assess"

    def displayName(self) -> str:
        return "Assess accuracy and areas"

    def group(self) -> str:
        return "Accuracy and area"

    def tags(self) -> list[str]:
        return [
            "accuracy assessment", "area estimation", "confidence interval", "confusion matrix", "hectares", "sample",
            "Olofsson", "Stehman", "user's accuracy", "producer's accuracy",
        ]  # fmt: skip

    def shortHelpString(self) -> str:
        return (
            "Estimates the accuracy of a map and the area of each class from a layer of 'Sample tiles for reference "
            "labels' whose field reference you filled in (Stehman 2014).\n\nSave the edits of the layer first. Tiles "
            "without a reference are counted and left out.\n\nThe output table has a row per class: the area on the "
            "map and the estimated area in hectares on the ground, user's and producer's accuracy, their standard "
            "errors (se) and 95 % intervals (low, high). The log shows them too. An empty field means that the sample "
            "does not give the number.\n\nWith a folder, a report and the tables are written too."
        )

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        self.add(
            QgsProcessingParameterVectorLayer("INPUT", "Sample", [QgsProcessing.TypeVectorPolygon]),
            "The GeoPackage that bimors wrote, not a copy of it.",
        )
        self.add_extra("--verbose")
        self.add(QgsProcessingParameterFeatureSink("AREAS", "Accuracy and areas", QgsProcessing.TypeVector))
        folder = QgsProcessingParameterFolderDestination(
            "FOLDER", "Output folder", optional=True, createByDefault=False
        )
        self.add(folder, "The results are written to a folder in it that is named after the sample.")
        self.addOutput(QgsProcessingOutputHtml("REPORT", "Report"))
        self.addOutput(QgsProcessingOutputNumber("ACCURACY", "Overall accuracy"))
        self.addOutput(QgsProcessingOutputNumber("ACCURACY_SE", "Standard error of the overall accuracy"))

    def processAlgorithm(
        self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict:
        path, _ = self.file_layer(parameters, "INPUT", context)
        wants_files = bool(self.parameterAsString(parameters, "FOLDER", context))
        folder = self.inside(parameters, context, f"{Path(path).stem}_areas") if wants_files else ""
        written = self.call(assess(path, output=folder, **self.texts(parameters, context, "EXTRA")), feedback)
        if written is None:
            return {}
        found = json.loads(written)
        return {
            "AREAS": self._table(found["classes"], parameters, context),
            "ACCURACY": found["overall"]["accuracy"],
            "ACCURACY_SE": found["overall"]["se"],
            **({"REPORT": str(Path(folder) / "report.html")} if folder else {}),
        }

    def _table(self, classes: dict, parameters: dict, context: QgsProcessingContext) -> str:
        """Write the estimates of each class to the output table; a number that is unknown is null."""
        columns = list(next(iter(classes.values())))
        fields = QgsFields()
        fields.append(QgsField("class", QVariant.String))
        for column in columns:
            whole = all(isinstance(estimates[column], int) for estimates in classes.values())
            fields.append(QgsField(column, QVariant.LongLong if whole else QVariant.Double))
        sink, destination = self.parameterAsSink(parameters, "AREAS", context, fields)
        if sink is None:
            raise QgsProcessingException(self.invalidSinkError(parameters, "AREAS"))
        for name, estimates in classes.items():
            feature = QgsFeature(fields)
            feature.setAttributes([name, *(estimates[column] for column in columns)])
            sink.addFeature(feature, QgsFeatureSink.FastInsert)
        return destination
