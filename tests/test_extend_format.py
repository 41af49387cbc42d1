"""A format that another program adds: one row in the table, one function that writes a file."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from typer.testing import CliRunner

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from bimors_cli.errors import InputError, OutputExistsError
from bimors_cli.labels import Labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.output import formats
from bimors_cli.output.classified_schema import LayerSchema, check_frame
from bimors_cli.pipeline.run import run
from tests.conftest import MakeRaster

CSV = formats.Format("CSV", ".csv", f"{__name__}:build_csv", alias="WKT")


def build_csv(path: Path, chunks: Iterable[geopandas.GeoDataFrame], schema: LayerSchema) -> int:
    """Write the columns of a layer, and its polygons as WKT."""
    written = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow([*schema.columns(), "wkt"])
        for chunk in chunks:
            check_frame(chunk, schema)
            chunk.drop(columns="geometry").assign(wkt=chunk.geometry.to_wkt()).to_csv(file, header=False, index=False)
            written += len(chunk)
    return written


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "FORMATS", [*formats.FORMATS])
    formats.FORMATS.append(CSV)


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    return make_raster(np.random.default_rng(0).integers(1, 256, (3, 64, 96), dtype=np.uint8))


def options(scene: str, bundle: Bundle, output: Path, **more: object) -> ClassifyOptions:
    given = {"model": str(bundle.folder), "tile_size": "32", "device": "cpu", "output": str(output), **more}
    return ClassifyOptions(scenes=(scene,), labels=Labels.of(["forest", "river"]), **given)  # type: ignore[arg-type]


def test_classify_writes_it(scene: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    output = folder / "out.csv"
    assert run(options(scene, tiny_bundle, output)).rows == 6
    with output.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["tile_id"] for row in rows[:2]] == ["scene/0/0", "scene/0/1"]
    assert {row["label"] for row in rows} <= {"forest", "river"}
    assert sum(shapely.from_wkt(row["wkt"]).area for row in rows) == 640 * 960
    assert sorted(os.listdir(folder)) == ["out.csv", "out.qml"]
    with pytest.raises(OutputExistsError):
        run(options(scene, tiny_bundle, output))


def test_its_names(scene: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert formats.guess_format(Path("out.txt"), "wkt") is formats.guess_format(Path("OUT.CSV")) is CSV
    with pytest.raises(InputError) as caught:
        formats.guess_format(Path("out.shp"))
    assert "CSV (.csv)" in str(caught.value.hint)


@pytest.mark.parametrize("more", [{"append": True}, {"keep_features": True}])
def test_what_it_cannot_hold_is_refused(scene: str, tiny_bundle: Bundle, tmp_path: Path, more: dict[str, bool]) -> None:
    with pytest.raises(InputError, match="GeoPackage"):
        run(options(scene, tiny_bundle, tmp_path / "out.csv", **more))


def test_the_command_line_offers_it() -> None:
    line = "bimors classify scene.tif -f "
    asked = {"_BIMORS_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": "4"}
    assert "CSV" in CliRunner().invoke(app, prog_name="bimors", env=asked).stdout.split()
