"""GeoParquet: what geopandas reads, and the metadata that geopandas itself would have written."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pytest
import shapely

from bimors_cli.errors import InputError
from bimors_cli.output.classified_schema import ClassifiedSchema
from bimors_cli.output.formats import GEOPARQUET, check_layer
from bimors_cli.output.geoparquet import build_geoparquet
from tests.output.conftest import MakeFrame, with_odd_geometries

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out.parquet"


def metadata(path: Path) -> dict[str, str]:
    return {key.decode(): text.decode() for key, text in (parquet.read_metadata(path).metadata or {}).items()}


def test_every_column_and_null_comes_back(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    chunks = [make_frame(spec, 10, 0), make_frame(spec, 0), make_frame(spec, 11, 10)]
    assert build_geoparquet(target, iter(chunks), spec) == 21
    wanted, read = make_frame(spec, 21), geopandas.read_parquet(target)
    assert list(read.columns) == list(wanted.columns) and read.crs == wanted.crs
    for name, dtype in spec.columns().items():
        if dtype == np.dtype(object):
            assert [None if pandas.isna(text) else text for text in read[name]] == wanted[name].tolist()
        else:
            assert read[name].dtype == dtype
            np.testing.assert_array_equal(read[name].to_numpy(), wanted[name].to_numpy())
    assert shapely.equals_exact(read.geometry.to_numpy(), wanted.geometry.to_numpy(), tolerance=0).all()
    # NULL in the file itself, not NaN.
    assert parquet.read_table(target)["confidence"].null_count == 3


@pytest.mark.parametrize("crs", ["EPSG:32633", "OGC:CRS84", "EPSG:2193", 'LOCAL_CS["site",UNIT["metre",1]]'])
def test_the_metadata_are_those_of_geopandas(
    target: Path, tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame, crs: str
) -> None:
    spec = replace(spec, crs_wkt=crs)
    build_geoparquet(target, [make_frame(spec, 10), make_frame(spec, 4, 10)], spec)
    make_frame(spec, 14).to_parquet(tmp_path / "theirs.parquet", index=False, schema_version="1.0.0")
    ours, theirs = (json.loads(metadata(path)["geo"]) for path in (target, tmp_path / "theirs.parquet"))
    assert ours == theirs


def test_it_tells_its_provenance(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    build_geoparquet(target, [make_frame(spec)], spec)
    found = metadata(target)
    assert (found["bimors_version"], found["bimors_labels"]) == ("0.1.0", '["a", "b"]')


def test_tiles_in_parts_and_tiles_without_a_place(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    spec = replace(spec, multipart=True)
    nowhere = make_frame(spec, 3)
    nowhere = nowhere.set_geometry(np.full(3, None), crs=nowhere.crs)
    assert build_geoparquet(target, [nowhere, with_odd_geometries(make_frame(spec))], spec) == 17
    read = geopandas.read_parquet(target)
    assert read.geometry[:4].isna().all() and read.geom_type[4] == "MultiPolygon"
    column = json.loads(metadata(target)["geo"])["columns"]["geometry"]
    assert column["geometry_types"] == ["MultiPolygon", "Polygon"]
    np.testing.assert_array_equal(column["bbox"], with_odd_geometries(make_frame(spec)).total_bounds)


def test_no_row_at_all(target: Path, spec: ClassifiedSchema) -> None:
    assert build_geoparquet(target, [], spec) == 0
    read = geopandas.read_parquet(target)
    assert len(read) == 0 and read.crs == "EPSG:32633" and list(read.columns)[:-1] == list(spec.columns())


def test_a_chunk_is_a_row_group(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    """So memory is that of a chunk: each is on the disk before the next one is asked for."""
    sizes = []

    def chunks() -> Iterator[geopandas.GeoDataFrame]:
        for first in range(0, 50, 10):
            sizes.append(target.stat().st_size if target.exists() else 0)
            yield make_frame(spec, 10, first)

    build_geoparquet(target, chunks(), spec)
    assert parquet.read_metadata(target).num_row_groups == 5
    assert sizes == sorted(set(sizes))


def test_without_pyarrow_it_says_what_to_install(
    tmp_path: Path, spec: ClassifiedSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **kw: Any) -> Any:
        if name.split(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *args, **kw)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match="needs pyarrow") as caught:
        check_layer(tmp_path / "out.parquet", GEOPARQUET, spec, overwrite=False)
    assert caught.value.hint == "pip install 'bimors-cli[parquet]'"
    assert not list(tmp_path.iterdir())
