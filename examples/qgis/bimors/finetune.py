"""Finetune from polygons: `bimors finetune SCENE --polygons`."""

from __future__ import annotations

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from .command import finetune
from .training import Training


class Finetune(Training):
    """Trains an adapter with the features of a vector layer."""

    def name(self) -> str:
        return "finetune"

    def displayName(self) -> str:
        return "Finetune from polygons"

    def shortHelpString(self) -> str:
        return (
            "Trains an adapter for your classes from polygons, lines or points digitized on a scene, with a field that "
            "holds the class name. A tile becomes a training example of the class that covers most of it. Use the same "
            "tile size as for classification.\n\nThe adapter is written to a folder of that name, which can be used in "
            "'Classify scene'."
        )

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        self.add(QgsProcessingParameterRasterLayer("INPUT", "Scene"))
        geometry = [QgsProcessing.TypeVectorAnyGeometry]
        self.add(QgsProcessingParameterFeatureSource("POLYGONS", "Training features", geometry))
        field = QgsProcessingParameterField("FIELD", "Class field", parentLayerParameterName="POLYGONS")
        self.add(field, "Field of the training features with the class name.")
        self.add(
            QgsProcessingParameterString("TILE_SIZE", "Tile size", "224"),
            "Tile size in pixels, or in ground units such as 500m or 2km.",
        )
        overlap = QgsProcessingParameterNumber(
            "MIN_OVERLAP", "Minimum overlap", QgsProcessingParameterNumber.Double, 0.5, minValue=0.0, maxValue=1.0
        )
        self.add(overlap, "Fraction of a tile that its class must cover.", advanced=True)
        background = QgsProcessingParameterString("BACKGROUND", "Background class", "", optional=True)
        self.add(
            background, "Class of the tiles without training features. Empty: these tiles are not used.", advanced=True
        )
        corrected = QgsProcessingParameterMultipleLayers(
            "CORRECTED", "Corrected layers", QgsProcessing.TypeVectorPolygon, optional=True
        )
        self.add(corrected, "Layers of 'Suggest tiles to label' whose corrected and checked tiles are examples too.")
        self.add_training()
        self.add_common()
        self.add_destination()

    def processAlgorithm(
        self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict:
        output = self.inside(parameters, context, self.parameterAsString(parameters, "NAME", context))
        arguments = finetune(
            self.scene(parameters, context),
            output,
            corrected=self.files(parameters, "CORRECTED", context),
            polygons=self.vector_text(parameters, "POLYGONS", context, feedback),
            **self.training(parameters, context),
            **self.numbers(parameters, context, "MIN_OVERLAP"),
            **self.texts(
                parameters, context, "FIELD", "TILE_SIZE", "BACKGROUND", "MODEL", "BANDS", "STRETCH", "DEVICE", "EXTRA"
            ),
        )
        return {} if self.call(arguments, feedback) is None else {"OUTPUT": output}
