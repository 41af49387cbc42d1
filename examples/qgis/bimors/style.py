"""Results are loaded in the style in their file, with its form; Processing would use a random colour."""

from __future__ import annotations

from qgis.core import (
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
)
from qgis.PyQt import sip

from .translate import tr


class _DefaultStyle(QgsProcessingLayerPostProcessorInterface):
    """Applies the default style in the file of a layer."""

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        message, found = layer.loadDefaultStyle()
        if not found:
            text = tr("{layer}: cannot load the style in the file: {message}")
            feedback.pushWarning(text.format(layer=layer.name(), message=message))
        layer.triggerRepaint()


_STYLES: list[_DefaultStyle] = []


def load_styled(output: str, context: QgsProcessingContext) -> None:
    """Make QGIS apply the style in the file of an output, if it is to be loaded into the project."""
    if context.willLoadLayerOnCompletion(output):
        # One for each layer: the context deletes it with itself. Without a reference Python would forget its method.
        style = _DefaultStyle()
        sip.transferto(style, None)
        _STYLES[:] = [*(one for one in _STYLES if not sip.isdeleted(one)), style]
        context.layerToLoadOnCompletionDetails(output).setPostProcessor(style)
