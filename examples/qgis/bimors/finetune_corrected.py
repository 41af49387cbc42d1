"""Finetune from corrected tiles: `bimors finetune LAYER`."""

from __future__ import annotations

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterVectorLayer,
)

from .command import finetune
from .training import Training


class FinetuneCorrected(Training):
    """Trains an adapter with the labels that the user corrected in a classified layer."""

    def name(self) -> str:
        return "finetunecorrected"

    def displayName(self) -> str:
        return "Finetune from corrected tiles"

    def shortHelpString(self) -> str:
        return (
            "Trains an adapter from a layer of 'Classify scene' or 'Suggest tiles to label' in which you corrected "
            "labels. A tile whose label you changed is an example. A tile whose label was right is one if you tick it "
            "in a boolean field named checked.\n\nSave the edits of the layer first. Bands, stretch and tile size are "
            "those of the layer.\n\nThe adapter is written to a folder of that name, which can be used in 'Classify "
            "scene'."
        )

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        self.add(
            QgsProcessingParameterVectorLayer("INPUT", "Corrected layer", [QgsProcessing.TypeVectorPolygon]),
            "The GeoPackage that bimors wrote, not a copy of it.",
        )
        self.add_training()
        self.add_model()
        self.add_destination()

    def processAlgorithm(
        self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict:
        path, layer = self.file_layer(parameters, "INPUT", context)
        output = self.inside(parameters, context, self.parameterAsString(parameters, "NAME", context))
        arguments = finetune(
            path,
            output,
            layer=layer,
            **self.training(parameters, context),
            **self.texts(parameters, context, "MODEL", "DEVICE", "EXTRA"),
        )
        return {} if self.call(arguments, feedback) is None else {"OUTPUT": output}
