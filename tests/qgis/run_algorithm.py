"""Run by QGIS's Python: an algorithm of the plugin as the dialog runs it, its result loaded into a project.

With ``cancel_at``, Cancel is pressed when a line of the log begins so.
"""

import json
import os
import sys
import threading

from qgis.core import (
    NULL,
    QgsApplication,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsVectorLayer,
)

sys.path += ["/usr/share/qgis/python/plugins"]

from processing.core.Processing import Processing
from processing.core.ProcessingConfig import ProcessingConfig
from processing.gui.Postprocessing import handleAlgorithmResults


class Log(QgsProcessingFeedback):
    """Remembers what the user would see."""

    def __init__(self, cancel_at):
        super().__init__(False)
        self.lines, self.shares, self._cancel_at = [], [], cancel_at
        self.progressChanged.connect(self.shares.append)

    def pushInfo(self, text):
        self.lines.append(text)
        if self._cancel_at is not None and text.startswith(self._cancel_at):
            # Not from the thread that follows the program, as in the dialog.
            threading.Thread(target=self.cancel).start()

    def pushWarning(self, text):
        self.lines.append(f"WARNING {text}")

    def reportError(self, text, fatalError=False):
        self.lines.append(f"ERROR {text}")


def tell(layer):
    """What QGIS knows of a layer that was loaded."""
    about = {
        "name": layer.name(),
        "widgets": {field.name(): field.editorWidgetSetup().type() for field in layer.fields()},
    }
    if not layer.isSpatial():
        rows = [feature.attributes() for feature in layer.getFeatures()]
        return {**about, "rows": [[None if value == NULL else value for value in row] for row in rows]}
    renderer = layer.renderer()
    if renderer.type() == "categorizedSymbol":
        about["categories"] = [
            [category.value(), category.symbol().color().name()] for category in renderer.categories()
        ]
    return {**about, "renderer": renderer.type(), "tip": layer.mapTipTemplate()}


def select(layer, field, values):
    """Add a layer to the project and select features of it, as a user does; return it as the dialog gives it."""
    shown = QgsVectorLayer(layer, "selected", "ogr")
    QgsProject.instance().addMapLayer(shown)
    texts = ", ".join(f"'{value}'" for value in values)
    shown.selectByExpression(f'"{field}" IN ({texts})')
    assert shown.selectedFeatureCount() == len(values)
    return QgsProcessingFeatureSourceDefinition(shown.id(), True)


def main(plugins, program, algorithm, parameters, cancel_at=None, selected=None):
    sys.path.insert(0, plugins)
    from bimors import classFactory

    plugin = classFactory(None)
    plugin.initProcessing()
    ProcessingConfig.setSettingValue("BIMORS_PROGRAM", program)
    found = QgsApplication.processingRegistry().createAlgorithmById(algorithm)
    can, why = found.canExecute()
    if not can:
        return {"can": can, "why": why}
    project, context, log = QgsProject.instance(), QgsProcessingContext(), Log(cancel_at)
    context.setProject(project)
    context.setFeedback(log)
    if selected is not None:
        source = select(**selected)
        parameters = {name: source if value == "SELECTED" else value for name, value in parameters.items()}
    # As the dialog does for an output with "Open output file after running algorithm".
    for name in {"OUTPUT", "AREAS"} & parameters.keys():
        output = QgsProcessingOutputLayerDefinition(parameters[name], project)
        output.destinationName = "Tiles"
        parameters[name] = output
    fits, why = found.checkParameterValues(parameters, context)
    if not fits:
        return {"can": can, "fits": fits, "why": why}
    results, done = {}, []
    task = QgsProcessingAlgRunnerTask(found, parameters, context, log)
    task.executed.connect(lambda fine, made: (done.append(fine), results.update(made)))
    QgsApplication.taskManager().addTask(task)
    while not done:
        application.processEvents()
    if done[0]:
        handleAlgorithmResults(found, context, log, parameters=parameters)
    layers = [tell(layer) for layer in project.mapLayers().values()]
    plugin.unload()
    gone = QgsApplication.processingRegistry().algorithmById(algorithm) is None
    return {
        "can": can, "fine": done[0], "results": results, "log": log.lines, "shares": log.shares, "layers": layers,
        "gone": gone,
    }  # fmt: skip


application = QgsApplication([], False)
application.initQgis()
Processing.initialize()
answer = main(**json.loads(sys.argv[1]))
print()
print(json.dumps(answer))
sys.stdout.flush()
os._exit(0)  # QGIS falls over its own feet when it tidies up
