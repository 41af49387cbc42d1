"""Vector files: what cannot be used says why, and what to do."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import geopandas
import pytest
import shapely

from bimors_cli.errors import VectorError
from bimors_cli.scene.vector import check_vector_file


@pytest.mark.parametrize(
    "header, command",
    [
        (
            "id,longitude,latitude,class",
            "-oo X_POSSIBLE_NAMES=longitude -oo Y_POSSIBLE_NAMES=latitude -a_srs EPSG:4326",
        ),
        ("id;Lon;Lat", "-oo X_POSSIBLE_NAMES=Lon -oo Y_POSSIBLE_NAMES=Lat -a_srs EPSG:4326"),
        ("X,Y,z", "-oo X_POSSIBLE_NAMES=X -oo Y_POSSIBLE_NAMES=Y -a_srs EPSG:..."),
        ("a,b", "convert others"),
    ],
)
def test_points_in_a_table(tmp_path: Path, header: str, command: str) -> None:
    path = tmp_path / "points.csv"
    path.write_text(f"{header}\n1,-98.2,47.0,pond\n")
    with pytest.raises(VectorError, match="not in a supported vector format") as caught:
        check_vector_file(str(path))
    assert command in str(caught.value.hint)


@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="needs GDAL's programs")
def test_the_command_for_points_works(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("id,longitude,latitude,class\n1,-98.2,47.0,pond\n")
    with pytest.raises(VectorError) as caught:
        check_vector_file(str(path))
    command = str(caught.value.hint).removeprefix("convert it: ")
    subprocess.run(shlex.split(command), cwd=tmp_path, check=True)
    found = geopandas.read_file(tmp_path / "points.gpkg")
    assert found.crs.to_epsg() == 4326 and found.geometry[0].equals(shapely.Point(-98.2, 47.0))
