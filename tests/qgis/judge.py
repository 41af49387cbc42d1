"""Run by QGIS's Python: open a layer of a search, judge tiles as its form does, tell how it edits and draws them."""

import json
import os
import sys

from qgis.core import (
    QgsApplication,
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsFieldFormatterContext,
    QgsRenderContext,
    QgsVectorLayer,
)
from qgis.gui import QgsGui
from qgis.PyQt.QtWidgets import QComboBox, QWidget


def edit(layer, verdicts, labels):
    """Choose the entries of the list of accept, and type labels, through the widgets of the form."""
    registry = QgsGui.editorWidgetRegistry()
    assert layer.startEditing()
    for feature in list(layer.getFeatures()):
        for name, chosen in (("accept", verdicts), ("label", labels)):
            if feature["tile_id"] in chosen:
                index = layer.fields().indexOf(name)
                parent = QWidget()
                wrapper = registry.create(layer, index, None, parent)
                wrapper.setFeature(feature)
                if name == "accept":
                    box = wrapper.widget()
                    assert isinstance(box, QComboBox)
                    box.setCurrentIndex(box.findText(chosen[feature["tile_id"]]))
                    value = wrapper.value()
                else:
                    value = chosen[feature["tile_id"]]
                assert layer.changeAttributeValue(feature.id(), index, value)
    assert layer.commitChanges(), layer.commitErrors()


def shown_value(layer, feature, name):
    """What the attribute table shows."""
    index = layer.fields().indexOf(name)
    setup = layer.fields()[index].editorWidgetSetup()
    formatter = QgsApplication.fieldFormatterRegistry().fieldFormatter(setup.type())
    assert QgsFieldFormatterContext is not None
    return formatter.representValue(layer, index, setup.config(), None, feature[name])


def main(layer, name, verdicts, labels):
    opened = QgsVectorLayer(f"{layer}|layername={name}", "layer", "ogr")
    assert opened.isValid()
    edit(opened, verdicts, labels)
    form = opened.editFormConfig()
    fields = {
        field.name(): [field.editorWidgetSetup().type(), field.editorWidgetSetup().config(), form.readOnly(index)]
        for index, field in enumerate(opened.fields())
    }
    renderer = opened.renderer()
    context = QgsRenderContext()
    context.expressionContext().appendScopes(QgsExpressionContextUtils.globalProjectLayerScopes(opened))
    renderer.startRender(context, opened.fields())
    drawn, judged, tips, names = {}, {}, {}, {}
    for feature in opened.getFeatures():
        tile = feature["tile_id"]
        context.expressionContext().setFeature(feature)
        symbols = renderer.symbolsForFeature(feature, context)
        assert len(symbols) == 1, (tile, len(symbols))
        layer_of = symbols[0].symbolLayers()[0]
        drawn[tile] = [list(symbols[0].color().getRgb()), int(layer_of.brushStyle()), layer_of.strokeColor().name()]
        judged[tile] = shown_value(opened, feature, "accept")
        scope = QgsExpressionContext()
        scope.setFeature(feature)
        tips[tile] = QgsExpression.replaceExpressionText(opened.mapTipTemplate(), scope)
        names[tile] = QgsExpression(opened.displayExpression()).evaluate(scope)
    renderer.stopRender(context)
    return {
        "renderer": renderer.type(),
        "legend": [item.label() for item in renderer.legendSymbolItems()],
        "fields": fields,
        "drawn": drawn,
        "judged": judged,
        "tips": tips,
        "names": names,
        "written": opened.labelsEnabled(),
        "hidden": [column.name for column in opened.attributeTableConfig().columns() if column.hidden],
    }


application = QgsApplication([], True)
application.initQgis()
QgsGui.editorWidgetRegistry().initEditors()
print(json.dumps(main(**json.loads(sys.argv[1]))))
sys.stdout.flush()
os._exit(0)  # QGIS falls over its own feet when it tidies up
