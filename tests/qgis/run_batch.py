"""Run by QGIS's Python: a batch of an algorithm, loaded from a file into the dialog of batches as a user does."""

import json
import os
import sys
from unittest.mock import patch

from qgis.core import QgsApplication, QgsProject

sys.path += ["/usr/share/qgis/python/plugins"]

from processing.core.Processing import Processing
from processing.core.ProcessingConfig import ProcessingConfig
from processing.gui import BatchPanel
from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog


def main(plugins, program, algorithm, file):
    sys.path.insert(0, plugins)
    from bimors import classFactory

    plugin = classFactory(None)
    plugin.initProcessing()
    ProcessingConfig.setSettingValue("BIMORS_PROGRAM", program)
    dialog = BatchAlgorithmDialog(QgsApplication.processingRegistry().createAlgorithmById(algorithm))
    with patch.object(BatchPanel.QFileDialog, "getOpenFileName", return_value=(file, "")):
        dialog.mainWidget().load()
    dialog.mainWidget().checkLoadLayersOnCompletion.setChecked(True)
    rows = dialog.mainWidget().batchRowCount()
    finished = []
    dialog.finish = lambda results, errors: finished.extend([results, errors])
    dialog.runAlgorithm()
    results, errors = finished
    return {
        "rows": rows,
        "results": [one["results"] for one in results],
        "errors": [one["errors"] for one in errors],
        "layers": sorted(layer.renderer().type() for layer in QgsProject.instance().mapLayers().values()),
    }


application = QgsApplication([], True)
application.initQgis()
Processing.initialize()
answer = main(**json.loads(sys.argv[1]))
print()
print(json.dumps(answer))
sys.stdout.flush()
os._exit(0)  # QGIS falls over its own feet when it tidies up
