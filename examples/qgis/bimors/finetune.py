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
    """A scene and polygons in, an adapter out."""

    def name(self) -> str:
        return "finetune"

    def displayName(self) -> str:
        return "Finetune from polygons"

    def shortHelpString(self) -> str:
        return (
            "Learns your classes from features that you drew on a scene: polygons, lines or points with a field of the "
            "class. A tile is an example of the class that covers most of it. Take the tile size with which you will "
            "classify.\n\nThe adapter is a folder of that name; give it to 'Classify scene'."
        )

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        self.add(QgsProcessingParameterRasterLayer("INPUT", "Scene"))
        anything = [QgsProcessing.TypeVectorAnyGeometry]
        self.add(QgsProcessingParameterFeatureSource("POLYGONS", "Features that say what the scene shows", anything))
        field = QgsProcessingParameterField("FIELD", "Field of the class", parentLayerParameterName="POLYGONS")
        self.add(field)
        self.add(QgsProcessingParameterString("TILE_SIZE", "Tile size", "224"), "In pixels, or as 500m or 2km.")
        whole = QgsProcessingParameterNumber.Integer
        shots = QgsProcessingParameterNumber("SHOTS", "Examples a class", whole, 16, minValue=0)
        self.add(shots, "Tiles drawn of each class; 0 takes all.")
        self.add(QgsProcessingParameterNumber("EPOCHS", "Epochs", whole, 10, minValue=1), "Rounds of training.")
        self.add(QgsProcessingParameterString("NAME", "Name of the adapter", "adapter"))
        share = QgsProcessingParameterNumber(
            "MIN_OVERLAP", "Share of a tile", QgsProcessingParameterNumber.Double, 0.5, minValue=0.0, maxValue=1.0
        )
        self.add(share, "That its class must cover.", advanced=True)
        background = QgsProcessingParameterString("BACKGROUND", "Background class", "", optional=True)
        self.add(background, "Class of the tiles that no feature reaches.", advanced=True)
        head = QgsProcessingParameterEnum("HEAD", "What is trained", HEADS, defaultValue=0)
        self.add(head, advanced=True)
        self.add(QgsProcessingParameterBoolean("OVERWRITE", "Replace an adapter of this name", False), advanced=True)
        self.add(QgsProcessingParameterBoolean("RESUME", "Go on with a run that was cancelled", False), advanced=True)
        self.add_common()
        self.add(QgsProcessingParameterFolderDestination("FOLDER", "Folder of adapters"))
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
