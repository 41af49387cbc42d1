"""Run by QGIS's Python: edit a copy of a layer as a user does, and export it as Export > Save Features As does."""

import json
import os
import shutil
import sys

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsExpression,
    QgsFeatureRequest,
    QgsField,
    QgsPointXY,
    QgsProject,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsVectorLayerJoinInfo,
)
from qgis.PyQt.QtCore import QVariant

KINDS = {"bool": QVariant.Bool, "text": QVariant.String}


def feature(layer, tile):
    """The first feature of a tile."""
    request = QgsFeatureRequest(QgsExpression(f"\"tile_id\" = '{tile}'"))
    return next(layer.getFeatures(request))


def edit(layer, step):
    """One step of an edit session."""
    kind = step[0]
    if kind == "field":
        assert layer.addAttribute(QgsField(step[1], KINDS[step[2]]))
        layer.updateFields()
    elif kind == "set":
        index = layer.fields().indexOf(step[1])
        for tile, value in step[2].items():
            assert layer.changeAttributeValue(feature(layer, tile).id(), index, value)
    elif kind == "delete":
        assert layer.deleteFeatures([feature(layer, tile).id() for tile in step[1]])
    elif kind == "merge":  # Edit > Merge Selected Features: one keeps its attributes
        first, *others = [feature(layer, tile) for tile in step[1]]
        merged = first.geometry()
        for other in others:
            merged = merged.combine(other.geometry())
        assert layer.changeGeometry(first.id(), merged)
        assert layer.deleteFeatures([other.id() for other in others])
    elif kind == "split":  # Edit > Split Features: both parts have the attributes
        box = feature(layer, step[1]).geometry().boundingBox()
        middle = box.center().x()
        layer.selectByIds([feature(layer, step[1]).id()])
        line = [QgsPointXY(middle, box.yMinimum() - 1), QgsPointXY(middle, box.yMaximum() + 1)]
        assert layer.splitFeatures(line, False) == 0
        layer.removeSelection()
    elif kind == "move":
        for tile in step[1]:
            assert layer.translateFeature(feature(layer, tile).id(), step[2], step[3]) == 0
    elif kind == "rename":
        assert layer.renameAttribute(layer.fields().indexOf(step[1]), step[2])
        layer.updateFields()
    else:
        raise ValueError(kind)


def export(layer, target, driver, crs=None, fields=None, aliases=None, selected=None):
    """What the dialog Save Vector Layer As does."""
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = driver
    options.fileEncoding = "UTF-8"
    options.saveMetadata = True  # ticked in the dialog unless the user unticks it
    options.layerMetadata = layer.metadata()
    if crs:
        options.ct = QgsCoordinateTransform(layer.crs(), QgsCoordinateReferenceSystem(crs), QgsProject.instance())
    if driver == "GeoJSON":
        options.layerOptions = ["COORDINATE_PRECISION=7"]
    if fields:
        options.attributes = [layer.fields().indexOf(name) for name in fields]
    if aliases:
        options.attributesExportNames = aliases
    if selected:
        layer.selectByIds([feature(layer, tile).id() for tile in selected])
        options.onlySelectedFeatures = True
    context = QgsProject.instance().transformContext()
    error = QgsVectorFileWriter.writeAsVectorFormatV3(layer, target, context, options)
    assert error[0] == QgsVectorFileWriter.NoError, error


def main(asked):
    """Make each copy from a fresh copy of the original."""
    for number, one in enumerate(asked["copies"]):
        edited = os.path.join(asked["folder"], f"edited{number}.gpkg")
        shutil.copy(asked["original"], edited)
        layer = QgsVectorLayer(f"{edited}|layername={asked['layer']}", "tiles", "ogr")
        assert layer.isValid()
        if one.get("steps"):
            assert layer.startEditing()
            for step in one["steps"]:
                edit(layer, step)
            assert layer.commitChanges(), layer.commitErrors()
        if "join" in one:
            other = QgsVectorLayer(one["join"]["table"], "answers", "ogr")
            assert other.isValid()
            QgsProject.instance().addMapLayer(other, False)
            info = QgsVectorLayerJoinInfo()
            info.setJoinLayer(other)
            info.setJoinFieldName("tile_id")
            info.setTargetFieldName("tile_id")
            assert layer.addJoin(info)
        export(layer, os.path.join(asked["folder"], one["name"]), **one["export"])
        del layer
        os.remove(edited)
    return {"copies": len(asked["copies"])}


if __name__ == "__main__":
    application = QgsApplication([], False)
    application.initQgis()
    print(json.dumps(main(json.loads(sys.argv[1]))))
    sys.stdout.flush()
    os._exit(0)  # QGIS falls over its own feet when it tidies up
