"""Classify scene: `bimors classify`."""

from __future__ import annotations

from qgis.core import (
    QgsMapLayer,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from .base import BimorsAlgorithm
from .command import classify


class Coloured(QgsProcessingLayerPostProcessorInterface):
    """Gives a result the style in its file; Processing by itself takes a colour at random."""

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        message, found = layer.loadDefaultStyle()
        if not found:
            feedback.pushWarning(f"{layer.name()}: the style in the file cannot be loaded: {message}")
        layer.triggerRepaint()


# One for all runs: QGIS keeps no reference to it.
COLOURED = Coloured()


class Classify(BimorsAlgorithm):
    """A scene in, a coloured layer out."""

    def name(self) -> str:
        return "classify"

    def displayName(self) -> str:
        return "Classify scene"

    def shortHelpString(self) -> str:
        return (
            "Labels every tile of a raster with one of your class names. The layer has a colour a class, a confidence, "
            "the runner-up and a sentence about each tile.\n\nThe labels file holds a class name a line; after a tab a "
            "colour may follow, such as #2ca02c.\n\nA run that was cancelled goes on where it stopped: take the same "
            "file as output and tick 'Go on with a run that was cancelled'."
        )

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        self.add(QgsProcessingParameterRasterLayer("INPUT", "Scene"))
        file = QgsProcessingParameterFile("LABELS", "Labels file", fileFilter="Text files (*.txt);;All files (*.*)")
        self.add(file, "A class name a line.")
        self.add(QgsProcessingParameterString("TILE_SIZE", "Tile size", "224"), "In pixels, or as 500m or 2km.")
        folder = QgsProcessingParameterFile("ADAPTER", "Adapter", QgsProcessingParameterFile.Folder, optional=True)
        self.add(folder, "The folder that 'Finetune from polygons' wrote. Empty: the model as it is.")
        polygons = [QgsProcessing.TypeVectorPolygon]
        area = QgsProcessingParameterFeatureSource("AOI", "Area of interest", polygons, optional=True)
        self.add(area, "Only tiles whose centre lies in these polygons.")
        confidence = QgsProcessingParameterNumber(
            "MIN_CONFIDENCE", "Least confidence", QgsProcessingParameterNumber.Double, 0.0, minValue=0.0, maxValue=1.0
        )
        self.add(confidence, "Below it a tile gets no label.")
        captions = QgsProcessingParameterBoolean("CAPTIONS", "Describe the tiles", True)
        self.add(captions, "Off is faster, goes by the picture alone, and leaves the column caption empty.")
        self.add(QgsProcessingParameterBoolean("RESUME", "Go on with a run that was cancelled", False))
        overlap = QgsProcessingParameterString("OVERLAP", "Overlap of tiles", "0", optional=True)
        self.add(overlap, "In pixels, or as 25% or 50m.", advanced=True)
        self.add_common()
        self.add(QgsProcessingParameterVectorDestination("OUTPUT", "Tiles", QgsProcessing.TypeVectorPolygon))

    def processAlgorithm(
        self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict:
        output = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        arguments = classify(
            self.scene(parameters, context),
            self.parameterAsFile(parameters, "LABELS", context),
            output,
            aoi=self.vector_text(parameters, "AOI", context, feedback),
            adapter=self.parameterAsFile(parameters, "ADAPTER", context),
            min_confidence=self.parameterAsDouble(parameters, "MIN_CONFIDENCE", context),
            captions=self.parameterAsBool(parameters, "CAPTIONS", context),
            resume=self.parameterAsBool(parameters, "RESUME", context),
            **self.texts(parameters, context, "TILE_SIZE", "OVERLAP", "MODEL", "BANDS", "STRETCH", "DEVICE", "EXTRA"),
        )
        if self.call(arguments, feedback) is None:
            return {}
        if context.willLoadLayerOnCompletion(output):
            context.layerToLoadOnCompletionDetails(output).setPostProcessor(COLOURED)
        return {"OUTPUT": output}
