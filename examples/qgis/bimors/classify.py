"""Classify scene: `bimors classify`."""

from __future__ import annotations

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from .base import BimorsAlgorithm
from .command import CLASSIFY_HEADS, REFINEMENTS, classify
from .style import load_styled


class Classify(BimorsAlgorithm):
    """Classifies a scene into a styled vector layer."""

    def name(self) -> str:
        return "classify"

    def displayName(self) -> str:
        return "Classify scene"

    def group(self) -> str:
        return "Classification"

    def tags(self) -> list[str]:
        return ["land cover", "zero-shot", "CLIP", "tiles", "labels", "captions"]

    def shortHelpString(self) -> str:
        return (
            "Classifies the tiles of a raster layer with class names of your choice. The output layer has one polygon "
            "per tile, with label, confidence, second-best label and a caption, and is styled by class.\n\nThe labels "
            "file has one class name per line, optionally followed by a tab and a colour such as #2ca02c.\n\nTo resume "
            "a cancelled run, choose the same output file and check 'Resume a cancelled run'."
        )

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        self.add(QgsProcessingParameterRasterLayer("INPUT", "Scene"))
        file = QgsProcessingParameterFile("LABELS", "Labels file", fileFilter="Text files (*.txt);;All files (*.*)")
        self.add(file, "Text file with one class name per line.")
        self.add(
            QgsProcessingParameterString("TILE_SIZE", "Tile size", "224"),
            "Tile size in pixels, or in ground units such as 500m or 2km.",
        )
        folder = QgsProcessingParameterFile("ADAPTER", "Adapter", QgsProcessingParameterFile.Folder, optional=True)
        self.add(
            folder, "Folder of an adapter trained with 'Finetune from polygons'. Empty: the model without adapter."
        )
        polygons = [QgsProcessing.TypeVectorPolygon]
        area = QgsProcessingParameterFeatureSource("AOI", "Area of interest", polygons, optional=True)
        self.add(area, "Only tiles with their centre in these polygons are classified.")
        confidence = QgsProcessingParameterNumber(
            "MIN_CONFIDENCE", "Minimum confidence", QgsProcessingParameterNumber.Double, 0.0, minValue=0.0, maxValue=1.0
        )
        self.add(confidence, "Tiles with a lower confidence get no label.")
        captions = QgsProcessingParameterBoolean("CAPTIONS", "Generate captions", True)
        self.add(
            captions, "If unchecked, tiles are classified by the image alone: faster, and the field caption is empty."
        )
        features = QgsProcessingParameterBoolean("KEEP_FEATURES", "Keep image features", False)
        self.add(features, "Store the image features of the tiles in the file: 'Suggest tiles to label' needs them.")
        probabilities = QgsProcessingParameterBoolean("PROBABILITIES", "Probability of each label", False)
        self.add(probabilities, "Add a field with the probability of each label: 'Detect change' needs them.")
        self.add(QgsProcessingParameterBoolean("RESUME", "Resume a cancelled run", False))
        overlap = QgsProcessingParameterString("OVERLAP", "Tile overlap", "0", optional=True)
        self.add(overlap, "Overlap of adjacent tiles in pixels, or such as 25% or 50m.", advanced=True)
        vote = QgsProcessingParameterBoolean("VOTE", "Average overlapping tiles", False)
        self.add(
            vote, "With a tile overlap: the map is as fine as the step between tiles, not as a tile.", advanced=True
        )
        refine = QgsProcessingParameterEnum(
            "REFINE", "Refine labels", REFINEMENTS, optional=True, usesStaticStrings=True
        )
        self.add(
            refine,
            "Refine the labels of all tiles together: transductive uses similar tiles, spatial also uses neighbours on "
            "the map. Empty: every tile is labelled by itself.",
            advanced=True,
        )
        head = QgsProcessingParameterEnum(
            "HEAD", "Head", CLASSIFY_HEADS, defaultValue="auto", optional=True, usesStaticStrings=True
        )
        self.add(head, "auto uses the head of the adapter, zero-shot plain CLIP without an adapter.", advanced=True)
        self.add_common()
        self.add(QgsProcessingParameterVectorDestination("OUTPUT", "Classified tiles", QgsProcessing.TypeVectorPolygon))

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
            keep_features=self.parameterAsBool(parameters, "KEEP_FEATURES", context),
            probabilities=self.parameterAsBool(parameters, "PROBABILITIES", context),
            vote=self.parameterAsBool(parameters, "VOTE", context),
            resume=self.parameterAsBool(parameters, "RESUME", context),
            **self.choices(parameters, context, "REFINE", "HEAD"),
            **self.texts(parameters, context, "TILE_SIZE", "OVERLAP", "MODEL", "BANDS", "STRETCH", "DEVICE", "EXTRA"),
        )
        if self.call(arguments, feedback) is None:
            return {}
        load_styled(output, context)
        return {"OUTPUT": output}
