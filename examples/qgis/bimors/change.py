"""Detect change: `bimors change`."""

from __future__ import annotations

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
)

from .base import BimorsAlgorithm
from .command import change
from .style import load_styled


class Change(BimorsAlgorithm):
    """Compares two classified layers of one grid."""

    def name(self) -> str:
        return "change"

    def displayName(self) -> str:
        return "Detect change"

    def group(self) -> str:
        return "Classification"

    def tags(self) -> list[str]:
        return ["change detection", "transition", "two dates", "land cover change", "difference"]

    def shortHelpString(self) -> str:
        return (
            "Compares two layers of 'Classify scene', of two dates on one grid. The output layer has the label before "
            "and after, and the probability of a change, for each tile.\n\nClassify both dates with the same model, "
            "adapter and labels file, and with 'Probability of each label' checked.\n\nFor areas of change with 95 % "
            "intervals, draw a sample of the output layer, with stratum as the field of the strata."
        )

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        polygon = [QgsProcessing.TypeVectorPolygon]
        for name, text in (("BEFORE", "Classified layer before"), ("AFTER", "Classified layer after")):
            self.add(
                QgsProcessingParameterVectorLayer(name, text, polygon),
                "The GeoPackage that bimors wrote, not a copy of it.",
            )
        rate = QgsProcessingParameterNumber(
            "MAX_FALSE", "Largest error (%)", QgsProcessingParameterNumber.Double, 5.0, minValue=0.1, maxValue=49.9
        )
        self.add(
            rate,
            "Largest probability that a tile called change did not change, and that one called no change did. Tiles "
            "between are doubtful.",
        )
        self.add_extra("--verbose")
        matrix = QgsProcessingParameterFileDestination(
            "MATRIX", "Transitions in hectares", "CSV files (*.csv)", optional=True, createByDefault=False
        )
        self.add(matrix, "CSV table with a row per label before, and a column per label after.")
        self.add(QgsProcessingParameterVectorDestination("OUTPUT", "Change", QgsProcessing.TypeVectorPolygon))

    def processAlgorithm(
        self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict:
        before, layer_before = self.file_layer(parameters, "BEFORE", context)
        after, layer_after = self.file_layer(parameters, "AFTER", context)
        output = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        matrix = self.parameterAsFileOutput(parameters, "MATRIX", context)
        arguments = change(
            before,
            after,
            output,
            layer_before=layer_before,
            layer_after=layer_after,
            max_false=f"{self.parameterAsDouble(parameters, 'MAX_FALSE', context):g}%",
            matrix=matrix,
            **self.texts(parameters, context, "EXTRA"),
        )
        if self.call(arguments, feedback) is None:
            return {}
        load_styled(output, context)
        return {"OUTPUT": output, **({"MATRIX": matrix} if matrix else {})}
