"""Suggest tiles to label: `bimors suggest`."""

from __future__ import annotations

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterNumber,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
)

from .base import BimorsAlgorithm
from .command import suggest
from .style import load_styled


class Suggest(BimorsAlgorithm):
    """Selects the tiles whose labels would improve the map most."""

    def name(self) -> str:
        return "suggest"

    def displayName(self) -> str:
        return "Suggest tiles to label"

    def group(self) -> str:
        return "Training"

    def tags(self) -> list[str]:
        return ["active learning", "uncertainty", "examples", "correct", "train"]

    def shortHelpString(self) -> str:
        return (
            "Selects tiles whose correct labels would improve the map most: like many tiles of the map, and unlike the "
            "examples and each other. The layer must be written by 'Classify scene' with 'Keep image features' "
            "checked.\n\nCorrect the labels in the output layer, tick the field checked of each tile that is right, "
            "save the edits, and train with 'Finetune from polygons' or 'Finetune from corrected tiles'.\n\nSelect a "
            "sample for the assessment of accuracy as features to avoid: its tiles must not train the map."
        )

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        integer, real = QgsProcessingParameterNumber.Integer, QgsProcessingParameterNumber.Double
        self.add(
            QgsProcessingParameterVectorLayer("INPUT", "Classified layer", [QgsProcessing.TypeVectorPolygon]),
            "The GeoPackage that bimors wrote, not a copy of it.",
        )
        self.add(QgsProcessingParameterNumber("TILES", "Number of tiles", integer, 20, minValue=1))
        geometry = [QgsProcessing.TypeVectorAnyGeometry]
        self.add(
            QgsProcessingParameterFeatureSource("EXAMPLES", "Training features", geometry, optional=True),
            "Their tiles are not suggested, and tiles like them only after others.",
        )
        self.add(
            QgsProcessingParameterFeatureSource("EXCLUDE", "Features to avoid", geometry, optional=True),
            "No tile under these features is suggested: a sample for the assessment of accuracy.",
        )
        distance = QgsProcessingParameterNumber("MIN_DISTANCE", "Least distance in metres", real, 0.0, minValue=0.0)
        self.add(distance, "Least distance between the centres of suggested tiles.", advanced=True)
        seed = QgsProcessingParameterNumber("SEED", "Seed", integer, 1, minValue=0)
        self.add(seed, "The same seed suggests the same tiles.", advanced=True)
        self.add_overwrite("layer")
        self.add_extra("--verbose")
        self.add(QgsProcessingParameterVectorDestination("OUTPUT", "Suggested tiles", QgsProcessing.TypeVectorPolygon))

    def processAlgorithm(
        self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict:
        path, layer = self.file_layer(parameters, "INPUT", context)
        output = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        arguments = suggest(
            path,
            layer,
            output,
            examples=self.vector_text(parameters, "EXAMPLES", context, feedback),
            exclude=self.vector_text(parameters, "EXCLUDE", context, feedback),
            overwrite=self.parameterAsBool(parameters, "OVERWRITE", context),
            **self.numbers(parameters, context, "TILES", "MIN_DISTANCE", "SEED"),
            **self.texts(parameters, context, "EXTRA"),
        )
        if self.call(arguments, feedback) is None:
            return {}
        self.warn_if_temporary(output, feedback)
        load_styled(output, context)
        return {"OUTPUT": output}
