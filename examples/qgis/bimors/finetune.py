"""Finetune from polygons: `bimors finetune SCENE --polygons`."""

from __future__ import annotations

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputFolder,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from .base import BimorsAlgorithm
from .command import finetune

HEADS = ["bimors", "coop", "cocoop", "cache", "linear"]


class Finetune(BimorsAlgorithm):
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
        integer = QgsProcessingParameterNumber.Integer
        shots = QgsProcessingParameterNumber("SHOTS", "Examples per class", integer, 16, minValue=0)
        self.add(shots, "Number of training tiles per class; 0 uses all tiles.")
        self.add(
            QgsProcessingParameterNumber("EPOCHS", "Epochs", integer, 10, minValue=1), "Passes over the training tiles."
        )
        self.add(QgsProcessingParameterString("NAME", "Adapter name", "adapter"))
        overlap = QgsProcessingParameterNumber(
            "MIN_OVERLAP", "Minimum overlap", QgsProcessingParameterNumber.Double, 0.5, minValue=0.0, maxValue=1.0
        )
        self.add(overlap, "Fraction of a tile that its class must cover.", advanced=True)
        background = QgsProcessingParameterString("BACKGROUND", "Background class", "", optional=True)
        self.add(
            background, "Class of the tiles without training features. Empty: these tiles are not used.", advanced=True
        )
        head = QgsProcessingParameterEnum("HEAD", "Head", HEADS, defaultValue=0)
        self.add(head, "Classification head to train.", advanced=True)
        self.add(QgsProcessingParameterBoolean("OVERWRITE", "Overwrite an existing adapter", False), advanced=True)
        self.add(QgsProcessingParameterBoolean("RESUME", "Resume a cancelled run", False), advanced=True)
        self.add_common()
        self.add(QgsProcessingParameterFolderDestination("FOLDER", "Output folder"))
        self.addOutput(QgsProcessingOutputFolder("OUTPUT", "Adapter"))

    def processAlgorithm(
        self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict:
        output = self.inside(parameters, context, self.parameterAsString(parameters, "NAME", context))
        arguments = finetune(
            self.scene(parameters, context),
            self.vector_text(parameters, "POLYGONS", context, feedback),
            self.parameterAsString(parameters, "FIELD", context),
            output,
            shots=self.parameterAsInt(parameters, "SHOTS", context),
            epochs=self.parameterAsInt(parameters, "EPOCHS", context),
            min_overlap=self.parameterAsDouble(parameters, "MIN_OVERLAP", context),
            head=HEADS[self.parameterAsEnum(parameters, "HEAD", context)],
            overwrite=self.parameterAsBool(parameters, "OVERWRITE", context),
            resume=self.parameterAsBool(parameters, "RESUME", context),
            **self.texts(
                parameters, context, "TILE_SIZE", "BACKGROUND", "MODEL", "BANDS", "STRETCH", "DEVICE", "EXTRA"
            ),
        )
        return {} if self.call(arguments, feedback) is None else {"OUTPUT": output}
