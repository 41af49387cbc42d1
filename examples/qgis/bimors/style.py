"""Results are loaded in the style in their file, with its form; Processing would use a random colour."""

from __future__ import annotations

from qgis.core import (
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
)
from qgis.PyQt import sip


class _DefaultStyle(QgsProcessingLayerPostProcessorInterface):
    """Applies the default style in the file of a layer."""

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        message, found = layer.loadDefaultStyle()
        if not found:
            feedback.pushWarning(f"{layer.name()}: cannot load the style in the file: {message}")
        layer.triggerRepaint()


def load_styled(output: str, context: QgsProcessingContext) -> None:
    """Make QGIS apply the style in the file of an output, if it is to be loaded into the project."""
    if context.willLoadLayerOnCompletion(output):
        style = _DefaultStyle()
        # The context deletes it with itself, at a time that Python does not know: one for each layer, which C++ owns.
        sip.transferto(style, None)
        context.layerToLoadOnCompletionDetails(output).setPostProcessor(style)
