"""QGIS itself opens the GeoPackage and shows it in colour. Runs where the system's Python has PyQGIS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bimors_cli.output.formats import GPKG, write_layer
from bimors_cli.output.rows import LayerSpec
from bimors_cli.output.style import FILL_ALPHA, NO_LABEL_ALPHA, colours
from tests.output.conftest import HARD_NAMES, MakeFrame

PYTHON = shutil.which("python3", path="/usr/bin") or "python3"

SCRIPT = """
import json, os, sys
from qgis.core import QgsApplication, QgsRenderContext, QgsVectorLayer
application = QgsApplication([], False)
application.initQgis()
layer = QgsVectorLayer(sys.argv[1] + "|layername=" + sys.argv[2], "layer", "ogr")
renderer = layer.renderer()
context = QgsRenderContext()
renderer.startRender(context, layer.fields())
print(json.dumps({
    "valid": layer.isValid(),
    "crs": layer.crs().authid(),
    "attribute": renderer.classAttribute() if renderer.type() == "categorizedSymbol" else None,
    "categories": [[category.value(), category.label()] for category in renderer.categories()],
    "features": [
        [feature["label"] or None, renderer.symbolForFeature(feature, context).color().getRgb()]
        for feature in layer.getFeatures()
    ],
}))
sys.stdout.flush()
os._exit(0)  # QGIS falls over its own feet when it tidies up
"""


def has_qgis() -> bool:
    done = subprocess.run([PYTHON, "-c", "import qgis.core"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.qgis
@pytest.mark.parametrize("name", ["tiles", "Kacheln \"neu\" 'Süd'"])
def test_qgis_opens_the_layer_in_its_colours(tmp_path: Path, spec: LayerSpec, make_frame: MakeFrame, name: str) -> None:
    if not has_qgis():
        pytest.skip("no PyQGIS")
    spec = LayerSpec(name, spec.crs_wkt, spec.labels, metadata=spec.metadata)
    target = tmp_path / "out.gpkg"
    write_layer(target, [make_frame(spec, 7)], GPKG, spec, overwrite=False)
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [PYTHON, "-c", SCRIPT, str(target), name],
        capture_output=True,
        check=True,
        encoding="utf-8",
        env=environment,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["valid"], found["crs"], found["attribute"]) == (True, "EPSG:32633", "label")
    assert found["categories"] == [*([label, label] for label in HARD_NAMES), ["", "no label"]]
    fills = [[*bytes.fromhex(colour[1:]), FILL_ALPHA] for colour in colours(spec.labels)]
    assert found["features"] == [
        *([label, fill] for label, fill in zip(HARD_NAMES, fills, strict=True)),
        [None, [217, 217, 217, NO_LABEL_ALPHA]],
    ]
