"""`classify --priors`: probabilities, resume key, provenance, refinement."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from geopandas.testing import assert_geodataframe_equal

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError, OutputExistsError
from bimors_cli.options.merge import MergeOptions
from bimors_cli.options.priors import read_areas
from bimors_cli.options.two_columns import TwoColumns
from bimors_cli.output.geopackage import read_provenance
from bimors_cli.pipeline.merge import merge
from tests import api
from tests.conftest import MakeRaster

LABELS = ["forest | woodland", "river", "port"]
COLUMNS = ["p_forest", "p_river", "p_port"]
Classify = Callable[..., Path]


@pytest.fixture
def priors(tmp_path: Path) -> TwoColumns:
    (tmp_path / "priors.csv").write_text("name;area\nriver;97\nport;1,5\nWoodland;1,5\n")
    return read_areas(str(tmp_path / "priors.csv"))


@pytest.fixture
def classify(make_raster: MakeRaster, tiny_bundle: Bundle, tmp_path: Path) -> Classify:
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 128, 128), dtype=np.uint8))

    def run(output: str, **options: Any) -> Path:
        how = {"model": str(tiny_bundle.folder), "tile_size": "16", "device": "cpu", "probabilities": True, **options}
        api.classify(scene, LABELS, tmp_path / output, **how)
        return tmp_path / output

    return run


def read(path: Path) -> geopandas.GeoDataFrame:
    return geopandas.read_file(path, layer="tiles")


def test_probabilities_are_weighted(classify: Classify, priors: TwoColumns) -> None:
    plain, adjusted = (read(classify(n, **o)) for n, o in (("a.gpkg", {}), ("b.gpkg", {"priors": priors})))
    weighted = plain[COLUMNS].to_numpy() * (0.015, 0.97, 0.015)
    np.testing.assert_allclose(adjusted[COLUMNS], weighted / weighted.sum(axis=1, keepdims=True), atol=1e-4)
    names = np.array(["forest", "river", "port"])
    assert adjusted["label"].tolist() == names[adjusted[COLUMNS].to_numpy().argmax(axis=1)].tolist()
    assert (plain["label"] == "river").sum() < (adjusted["label"] == "river").sum()


def test_they_are_recorded_and_decide_rows(classify: Classify, priors: TwoColumns) -> None:
    path = classify("out.gpkg", priors=priors)
    run = json.loads(read_provenance(path, "tiles")["run"])
    assert run["priors"] == pytest.approx([0.015, 0.97, 0.015])
    classify("out.gpkg", priors=priors, resume=True)
    with pytest.raises(OutputExistsError):
        classify("out.gpkg", resume=True)
    assert "priors" not in json.loads(read_provenance(classify("plain.gpkg"), "tiles")["run"])


def test_refine_starts_from_them(classify: Classify, priors: TwoColumns) -> None:
    plain, adjusted = (
        read(classify(n, refine="transductive", **o)) for n, o in (("a.gpkg", {}), ("b.gpkg", {"priors": priors}))
    )
    assert adjusted["p_river"].mean() > plain["p_river"].mean()


def test_bad_tables_are_refused_before_the_model_is_loaded(classify: Classify, tmp_path: Path) -> None:
    (tmp_path / "priors.csv").write_text("forest,1\nriver,2\n")
    with pytest.raises(InputError, match="no area for 'port'"):
        classify("out.gpkg", priors=read_areas(str(tmp_path / "priors.csv")))
    (tmp_path / "priors.csv").write_text("forest,1\nriver,2\nport,3\n")
    with pytest.raises(InputError, match="the output is also the table of priors"):
        classify("priors.csv", priors=read_areas(str(tmp_path / "priors.csv")), format="GPKG", overwrite=True)


def test_shards_carry_the_table(classify: Classify, priors: TwoColumns, tmp_path: Path) -> None:
    """Another machine merges them without the file."""
    for shard in ("1/2", "2/2"):
        classify("parts.gpkg", priors=priors, shard=shard)
    Path(priors.source).unlink()
    journals = sorted(map(str, tmp_path.glob("*parts.gpkg*journal*")))
    assert len(journals) == 2
    merge(MergeOptions(journals=tuple(journals), output=str(tmp_path / "parts.gpkg")))
    assert_geodataframe_equal(read(tmp_path / "parts.gpkg"), read(classify("whole.gpkg", priors=priors)))
