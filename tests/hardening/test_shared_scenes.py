"""Every real, odd and damaged raster at hand: rows, or a refusal in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas
import pytest

from tests.conftest import SHARED
from tests.hardening.conftest import Bimors

pytestmark = pytest.mark.shared

# What is not named gives rows.
REFUSED = {
    "gcps_only.tif": "gdalwarp",
    "no_crs.tif": "--assume-crs",
    "sparse_66000x66000.tif": "no CRS",
    "truncated.tif": "",
}
UNREADABLE = {"corrupt.tif"}
# Few tiles of a large scene say as much as many.
TILES = {"world_36000x18000.tif": "9000", "palette_large.tif": "2000", "corrupt.tif": "128"}
SCENES = sorted(path.name for path in (SHARED / "scenes").glob("*.tif")) if SHARED.is_dir() else []
DAMAGED = sorted(path.name for path in (SHARED / "scenes" / "damaged").iterdir()) if SHARED.is_dir() else []


@pytest.mark.parametrize("name", SCENES)
def test_scenes(scenes: Path, bimors: Bimors, rows: Callable[[], geopandas.GeoDataFrame], name: str) -> None:
    if name in REFUSED:
        assert REFUSED[name] in bimors(scenes / name, "--no-captions", code=2).stderr
        return
    tile = TILES.get(name, "256")
    bimors(scenes / name, "--keep-empty", "--no-captions", tile=tile, code=3 if name in UNREADABLE else 0)
    layer = rows()
    assert len(layer) and (layer["label"].isna() == layer["reason"].notna()).all()
    assert ("read_error" in set(layer["reason"])) == (name in UNREADABLE)


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files(scenes: Path, bimors: Bimors, rows: Callable[[], geopandas.GeoDataFrame], name: str) -> None:
    """Placed by --assume-crs: rows with reasons, or refused in one line."""
    result = bimors(
        scenes / "damaged" / name, "--no-captions", "--assume-crs", "EPSG:32618", "--keep-empty", code=(0, 1, 2, 3)
    )
    if result.exit_code in (0, 3):
        assert (result.exit_code == 3) == ("read_error" in set(rows()["reason"]))
