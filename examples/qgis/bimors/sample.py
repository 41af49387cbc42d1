"""Sample tiles for reference labels: `bimors sample`."""

from __future__ import annotations

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterNumber,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
)

from .base import BimorsAlgorithm
from .command import DESIGNS, sample
from .style import load_styled


class Sample(BimorsAlgorithm):
    """Draws tiles of a classified layer by chance."""

    def name(self) -> str:
        return "sample"

    def displayName(self) -> str:
        return "Sample tiles for reference labels"

    def group(self) -> str:
        return "Accuracy and area"

    def tags(self) -> list[str]:
        return ["accuracy assessment", "stratified random sampling", "area estimation", "validation", "Olofsson"]

    def shortHelpString(self) -> str:
        return (
            "Draws tiles of a layer of 'Classify scene' by chance. Label them by eye, then 'Assess accuracy and areas' "
            "estimates the accuracy of the map and the area of each class with 95 % intervals.\n\nToggle editing of "
            "the output layer, and fill in the field reference of each tile with the class that the scene shows there, "
            "or with 'cannot tell'. The label of the map is hidden, because it would bias you.\n\nSelect the training "
            "features as features to avoid: tiles that trained the map make it look better than it is. Accuracy and "
            "areas are those of the other tiles.\n\nSet at most one of standard error, number of tiles and tiles per "
            "class. If none is set, the sample is as large as a standard error of 0.02 of the overall accuracy needs."
        )

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        integer, real = QgsProcessingParameterNumber.Integer, QgsProcessingParameterNumber.Double
        polygon = [QgsProcessing.TypeVectorPolygon]
        self.add(
            QgsProcessingParameterVectorLayer("INPUT", "Classified layer", polygon),
            "The GeoPackage that bimors wrote, not a copy of it.",
        )
        design = QgsProcessingParameterEnum(
            "DESIGN", "Design", DESIGNS, defaultValue="stratified", usesStaticStrings=True
        )
        self.add(
            design,
            "stratified draws tiles of each class of the map, random draws from all tiles, systematic draws a regular "
            "grid of tiles.",
        )
        error = QgsProcessingParameterNumber(
            "TARGET_SE", "Standard error of the overall accuracy", real, optional=True, minValue=0.001, maxValue=0.5
        )
        self.add(error, "Draw as many tiles as this standard error needs, for example 0.02.")
        tiles = QgsProcessingParameterNumber("TILES", "Number of tiles", integer, optional=True, minValue=1)
        self.add(tiles, "Draw so many tiles, of each class in proportion to its area.")
        self.add(QgsProcessingParameterNumber("PER_CLASS", "Tiles per class", integer, optional=True, minValue=1))
        geometry = [QgsProcessing.TypeVectorAnyGeometry]
        self.add(
            QgsProcessingParameterFeatureSource("EXCLUDE", "Features to avoid", geometry, optional=True),
            "No tile that intersects one of these features is drawn: the training features.",
        )
        by = QgsProcessingParameterField("BY", "Field of the strata", parentLayerParameterName="INPUT", optional=True)
        self.add(by, "Field with texts or whole numbers. Empty: the label of the map.", advanced=True)
        least = QgsProcessingParameterNumber("LEAST", "Least tiles per class", integer, 50, minValue=1)
        self.add(least, "With a standard error or a number of tiles: rare classes get so many.", advanced=True)
        expect = QgsProcessingParameterNumber(
            "EXPECT", "Expected accuracy", real, optional=True, minValue=0.01, maxValue=0.99
        )
        self.add(expect, "With a standard error: the user's accuracy to expect. Empty: 0.8.", advanced=True)
        distance = QgsProcessingParameterNumber("MIN_DISTANCE", "Least distance in metres", real, 0.0, minValue=0.0)
        self.add(distance, "Least distance between the centres of drawn tiles.", advanced=True)
        seed = QgsProcessingParameterNumber("SEED", "Seed", integer, 1, minValue=0)
        self.add(seed, "The same seed draws the same tiles.", advanced=True)
        self.add(
            QgsProcessingParameterBoolean("SHOW_LABEL", "Show the label of the map", False),
            "It biases whoever labels the tiles.",
            advanced=True,
        )
        self.add_overwrite("sample")
        self.add_extra("--size pond=80")
        self.add(QgsProcessingParameterVectorDestination("OUTPUT", "Sample", QgsProcessing.TypeVectorPolygon))

    def processAlgorithm(
        self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict:
        path, layer = self.file_layer(parameters, "INPUT", context)
        output = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        arguments = sample(
            path,
            layer,
            output,
            exclude=self.vector_text(parameters, "EXCLUDE", context, feedback),
            show_label=self.parameterAsBool(parameters, "SHOW_LABEL", context),
            overwrite=self.parameterAsBool(parameters, "OVERWRITE", context),
            **self.choices(parameters, context, "DESIGN"),
            **self.numbers(
                parameters, context, "TARGET_SE", "TILES", "PER_CLASS", "LEAST", "EXPECT", "MIN_DISTANCE", "SEED"
            ),
            **self.texts(parameters, context, "BY", "EXTRA"),
        )
        if self.call(arguments, feedback) is None:
            return {}
        self.warn_if_temporary(output, feedback)
        load_styled(output, context)
        return {"OUTPUT": output}
