"""Run by QGIS's Python: what the dialogs of the plugin show, and why they would refuse a layer."""

import json
import os
import sys

from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProject,
    QgsVectorLayer,
)

sys.path += ["/usr/share/qgis/python/plugins"]

from processing.core.Processing import Processing


def tell(algorithm):
    """An algorithm, as the toolbox and its dialog show it."""
    return {
        "name": algorithm.displayName(),
        "group": algorithm.group(),
        "help": algorithm.shortHelpString(),
        "tags": algorithm.tags(),
        "parameters": {
            parameter.name(): {"default": parameter.defaultValue(), "help": parameter.help(), "type": parameter.type()}
            for parameter in algorithm.parameterDefinitions()
        },
    }


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


def main(plugins, layer):
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
    }


application = QgsApplication([], False)
application.initQgis()
Processing.initialize()
answer = main(**json.loads(sys.argv[1]))
print()
print(json.dumps(answer))
sys.stdout.flush()
os._exit(0)  # QGIS falls over its own feet when it tidies up
