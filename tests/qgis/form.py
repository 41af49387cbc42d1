"""Run by QGIS's Python: open a layer, and tell how its form edits each field and how its tiles are drawn."""

import json
import os
import sys

from qgis.core import (
    QgsApplication,
    QgsEditorWidgetSetup,
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsRenderContext,
    QgsVectorLayer,
)


def tell_fields(layer):
    form = layer.editFormConfig()
    found = {}
    for index, field in enumerate(layer.fields()):
        setup = field.editorWidgetSetup()
        assert isinstance(setup, QgsEditorWidgetSetup)
        found[field.name()] = {
            "widget": setup.type(),
            "config": setup.config(),
            "readonly": form.readOnly(index),
        }
    return found


def tell_symbol(symbol):
    return {
        "fill": [layer.brushStyle() for layer in symbol.symbolLayers()],
        "outline": symbol.symbolLayers()[-1].strokeColor().name(),
        "width": symbol.symbolLayers()[-1].strokeWidth(),
    }


def main(layer, name, answers=None):
    opened = QgsVectorLayer(f"{layer}|layername={name}", "layer", "ogr")
    assert opened.isValid()
    if answers:
        # As the form does: through the edit buffer, into the file.
        assert opened.startEditing()
        field = opened.fields().indexOf("reference")
        for feature in opened.getFeatures():
            if feature["tile_id"] in answers:
                assert opened.changeAttributeValue(feature.id(), field, answers[feature["tile_id"]])
        assert opened.commitChanges(), opened.commitErrors()
    renderer = opened.renderer()
    context = QgsRenderContext()
    context.expressionContext().appendScopes(QgsExpressionContextUtils.globalProjectLayerScopes(opened))
    renderer.startRender(context, opened.fields())
    drawn, names = {}, {}
    for feature in opened.getFeatures():
        context.expressionContext().setFeature(feature)
        found = renderer.symbolsForFeature(feature, context)
        assert len(found) == 1, len(found)
        drawn[feature["tile_id"]] = tell_symbol(found[0])
        scope = QgsExpressionContext()
        scope.setFeature(feature)
        names[feature["tile_id"]] = QgsExpression(opened.displayExpression()).evaluate(scope)
    renderer.stopRender(context)
    columns = opened.attributeTableConfig().columns()
    return {
        "renderer": renderer.type(),
        "fields": tell_fields(opened),
        "drawn": drawn,
        "names": names,
        "hidden": [column.name for column in columns if column.hidden],
    }


application = QgsApplication([], False)
application.initQgis()
print(json.dumps(main(**json.loads(sys.argv[1]))))
sys.stdout.flush()
os._exit(0)  # QGIS falls over its own feet when it tidies up
