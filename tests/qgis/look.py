"""Run by QGIS's Python: open a layer over a scene, tell what QGIS makes of its style, and draw both."""

import json
import os
import sys

from qgis.core import (
    QgsApplication,
    QgsExpression,
    QgsExpressionContext,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsPointXY,
    QgsRasterLayer,
    QgsRenderContext,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtXml import QDomDocument


def tell(layer):
    """What QGIS knows of the layer's style."""
    renderer = layer.renderer()
    context = QgsRenderContext()
    renderer.startRender(context, layer.fields())
    features = list(layer.getFeatures())
    about = {
        "valid": layer.isValid(),
        "crs": layer.crs().authid(),
        "renderer": renderer.type(),
        "attribute": None if renderer.type() == "singleSymbol" else renderer.classAttribute(),
        "written": layer.labelsEnabled(),
        "styles": styles(layer),
        "names": [evaluate(layer.displayExpression(), feature) for feature in features[:20]],
        "tips": [fill(layer.mapTipTemplate(), feature) for feature in features[:20]],
        "fills": [rgba(symbol_of(renderer, feature, context)) for feature in features],
    }
    if renderer.type() == "categorizedSymbol":
        about["categories"] = [[category.value(), category.label()] for category in renderer.categories()]
        about["colours"] = [rgba(category.symbol()) for category in renderer.categories()]
    elif renderer.type() == "graduatedSymbol":
        about["ranges"] = [[step.lowerValue(), step.upperValue()] for step in renderer.ranges()]
        about["colours"] = [rgba(step.symbol()) for step in renderer.ranges()]
    renderer.stopRender(context)
    return about


def styles(layer):
    """The styles in the file: those of the layer first, the default one before all."""
    count, _ids, names, _, _ = layer.listStylesInDatabase()
    return list(names[: max(count, 0)])


def symbol_of(renderer, feature, context):
    context.expressionContext().setFeature(feature)  # where the style has an expression in place of a field
    return renderer.symbolForFeature(feature, context)


def rgba(symbol):
    return None if symbol is None else list(symbol.color().getRgb())


def evaluate(expression, feature):
    context = QgsExpressionContext()
    context.setFeature(feature)
    return QgsExpression(expression).evaluate(context)


def fill(template, feature):
    context = QgsExpressionContext()
    context.setFeature(feature)
    return QgsExpression.replaceExpressionText(template, context)


def draw(layers, png, width, points, written):
    """Draw layers, the first on top, and return the RGB at points of the map."""
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setDestinationCrs(layers[0].crs())
    extent = layers[0].extent()
    settings.setExtent(extent)
    settings.setOutputSize(QSize(width, round(width * extent.height() / extent.width())))
    settings.setBackgroundColor(QColor("white"))
    settings.setFlag(QgsMapSettings.DrawLabeling, written)
    settings.setFlag(QgsMapSettings.Antialiasing, False)
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    image.save(png)
    place = settings.mapToPixel()
    found = []
    for x, y in points:
        pixel = place.transform(QgsPointXY(x, y))
        found.append(list(image.pixelColor(int(pixel.x()), int(pixel.y())).getRgb()[:3]))
    return found


def main(layer, name, scene=None, style=None, png=None, width=400, points=(), written=False):
    tiles = QgsVectorLayer(f"{layer}|layername={name}", "layer", "ogr")
    if style is not None:
        _, ids, names, _, _ = tiles.listStylesInDatabase()
        text, _ = tiles.getStyleFromDatabase(ids[names.index(style)])
        document = QDomDocument()
        document.setContent(text)
        assert tiles.importNamedStyle(document)[0]
    about = tell(tiles)
    if png is not None:
        below = [] if scene is None else [QgsRasterLayer(scene, "scene")]
        assert all(raster.isValid() for raster in below)
        about["pixels"] = draw([tiles, *below], png, width, points, written)
    return about


application = QgsApplication([], False)
application.initQgis()
print(json.dumps(main(**json.loads(sys.argv[1]))))
sys.stdout.flush()
os._exit(0)  # QGIS falls over its own feet when it tidies up
