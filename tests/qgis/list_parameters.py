"""Run by QGIS's Python: what the dialogs of the plugin show, and why they would refuse a layer."""

import json
import os
import sys

from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterNumber,
    QgsProject,
    QgsSettings,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtGui import QImage, QPainter
from qgis.PyQt.QtSvg import QSvgRenderer
from qgis.PyQt.QtWidgets import QCheckBox, QLabel

sys.path += ["/usr/share/qgis/python/plugins"]

from processing.core.Processing import Processing
from processing.gui.AlgorithmDialog import AlgorithmDialog
from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog

KEPT = []  # widgets, which Qt would delete


def tell_parameter(parameter):
    """A parameter, as the dialog shows it."""
    number = isinstance(parameter, QgsProcessingParameterNumber)
    return {
        "default": parameter.defaultValue(),
        "help": parameter.help(),
        "type": parameter.type(),
        "advanced": bool(parameter.flags() & QgsProcessingParameterDefinition.FlagAdvanced),
        "legal": parameter.checkValueIsAcceptable(parameter.defaultValue()),
        "range": [parameter.minimum(), parameter.maximum()] if number else None,
    }


def tell(algorithm):
    """An algorithm, as the toolbox and its dialogs show it."""
    texts = [box.text() for box in widgets(AlgorithmDialog(algorithm), QLabel, QCheckBox)]
    batch = BatchAlgorithmDialog(algorithm.create())
    KEPT.append(batch)
    return {
        "name": algorithm.displayName(),
        "group": algorithm.group(),
        "help": algorithm.shortHelpString(),
        "tags": algorithm.tags(),
        "url": algorithm.helpUrl(),
        "parameters": {one.name(): tell_parameter(one) for one in algorithm.parameterDefinitions()},
        "labels": [text.replace(" [optional]", "").removesuffix(":") for text in texts],
        "columns": batch.mainWidget().tblParameters.columnCount(),
    }


def widgets(panel, *kinds):
    """All widgets of a panel of some kinds; the panel is kept."""
    KEPT.append(panel)
    return [widget for kind in kinds for widget in panel.findChildren(kind)]


def compare_icons(folder):
    """The icon of metadata.txt, and how many of its pixels differ from a drawing of the other."""
    stored = QImage(f"{folder}/icon.png")
    drawn = QImage(stored.size(), QImage.Format_ARGB32)
    drawn.fill(0)
    painter = QPainter(drawn)
    QSvgRenderer(f"{folder}/icon.svg").render(painter)
    painter.end()
    width, height = stored.width(), stored.height()
    places = [(x, y) for x in range(0, width, 4) for y in range(0, height, 4)]
    different = sum(stored.pixelColor(*place) != drawn.pixelColor(*place) for place in places)
    return {"size": [width, height], "different": different / len(places)}


def refusals(algorithms, layer):
    """What the dialogs say to a layer as it is, edited, and filtered."""
    project, context = QgsProject.instance(), QgsProcessingContext()
    context.setProject(project)
    shown = QgsVectorLayer(layer, "shown", "ogr")
    project.addMapLayer(shown)
    selected = QgsProcessingFeatureSourceDefinition(shown.id(), True)

    def check():
        found = {}
        for identifier, name in (("evaluate", "INPUT"), ("classify", "AOI"), ("assess", "INPUT")):
            fits, why = algorithms[identifier].checkParameterValues({name: shown.id()}, context)
            assert not fits  # other parameters are missing
            found[identifier] = why
        found["selected"] = algorithms["classify"].checkParameterValues({"AOI": selected}, context)[1]
        return found

    answer = {"plain": check()}
    shown.startEditing()
    feature = next(shown.getFeatures())
    shown.changeAttributeValue(feature.id(), shown.fields().indexOf("label"), "other")
    answer["edited"] = check()
    shown.rollBack()
    shown.setSubsetString("label = 'forest'")
    answer["filtered"] = check()
    return answer


def main(plugins, layer, language=None):
    sys.path.insert(0, plugins)
    from bimors import classFactory

    plugin = classFactory(None)  # keeps the provider
    plugin.initProcessing()
    provider = QgsApplication.processingRegistry().providerById("bimors")
    algorithms = {algorithm.name(): algorithm for algorithm in provider.algorithms()}
    return {
        "icon": not provider.icon().isNull() and not provider.icon().pixmap(16).toImage().isNull(),
        "algorithms": {name: tell(algorithm) for name, algorithm in algorithms.items()},
        "refusals": refusals(algorithms, layer),
        "icons": compare_icons(f"{plugins}/bimors"),
        "page": open(QUrl(algorithms["classify"].helpUrl()).toLocalFile(), encoding="utf-8").read(),
    }


given = json.loads(sys.argv[1])
application = QgsApplication([], True)
application.initQgis()
if given.get("language"):
    QgsSettings().setValue("locale/overrideFlag", True)
    QgsSettings().setValue("locale/userLocale", given["language"])
Processing.initialize()
answer = main(**given)
print()
print(json.dumps(answer))
sys.stdout.flush()
os._exit(0)  # QGIS falls over its own feet when it tidies up
