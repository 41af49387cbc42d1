"""`classify --novelty` and `--unlike-examples`: the column, the tiles without a label, and what is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from geopandas.testing import assert_geodataframe_equal

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import BundleError, InputError
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.merge import MergeOptions
from bimors_cli.output.image_features import read_features
from bimors_cli.pipeline.merge import merge
from bimors_cli.pipeline.summary import Summary
from tests import api
from tests.conftest import MakeRaster
from tests.pipeline.domains import UNLIKE, with_domain, with_features
from tests.pipeline.image_adapters import write_image_adapter
from tests.pipeline.test_classify_views import (  # noqa: F401 (fixtures)
    LABELS,
    TILE,
    Write,
    adapter,
    land,
    write,
)

# ruff: noqa: F811

Run = Callable[..., Summary]


@pytest.fixture
def run(tiny_bundle: Bundle, tmp_path: Path) -> Run:
    def run(scene: str, output: str = "out.gpkg", **options: Any) -> Summary:
        how = {"model": str(tiny_bundle.folder), "tile_size": str(TILE), "device": "cpu", **options}
        found: Summary = api.classify(scene, LABELS, tmp_path / output, **how)
        return found

    return run


@pytest.fixture
def featured(tiny_bundle: Bundle, make_raster: MakeRaster, run: Run, tmp_path: Path) -> str:
    """A bundle whose training images are the tiles of ``land(1)``, with a little noise."""
    path = make_raster(land(1)[0][:3], name="first.tif")
    run(path, "features.gpkg", keep_features=True, head="zero-shot")
    features = np.concatenate([rows for _, rows in read_features(tmp_path / "features.gpkg", "tiles")])
    return str(with_features(tiny_bundle, tmp_path / "featured", features.astype(float)).folder)


def read(path: Path | str | None) -> geopandas.GeoDataFrame:
    assert path is not None
    return geopandas.read_file(path)


def lines(summary: Summary) -> str:
    return "\n".join(summary.lines(lambda seconds: f"{seconds:.1f} s"))


def clouded(seed: int = 2) -> np.ndarray:
    """A scene whose first row of tiles is like no example."""
    pixels = land(seed)[0]
    pixels[:, :TILE] = np.random.default_rng(0).integers(20_000, 60_000, (4, TILE, 8 * TILE))
    return pixels


@pytest.mark.parametrize("head", ["zero-shot", "auto"])
def test_tiles_unlike_the_training_images(
    make_raster: MakeRaster, featured: str, run: Run, tmp_path: Path, head: str
) -> None:
    alike = run(str(tmp_path / "first.tif"), model=featured, head=head, novelty=True)
    found = read(alike.output)
    assert found["novelty"].dtype == float and found["novelty"].between(0, 1).all()
    assert np.median(found["novelty"]) == pytest.approx(0.5, abs=0.1) and "unlike" not in lines(alike)
    noise = np.random.default_rng(0).integers(0, 256, (3, 8 * TILE, 8 * TILE), dtype=np.uint8)
    other = run(make_raster(noise, name="other.tif"), "other.gpkg", model=featured, head=head, novelty=True)
    assert np.median(read(other.output)["novelty"]) > 0.9
    assert "most tiles are unlike the training images" in lines(other) and "have a novelty above 0.9" in lines(other)


@pytest.mark.parametrize("output", ["out.gpkg", "out.geojsonl", "out.fgb", "out.geojson"])
def test_every_format_has_the_column(adapter: Any, write: Write, run: Run, output: str) -> None:
    options = {"adapter": str(adapter("bands")), "novelty": True, "unlike_examples": 0.1, "overwrite": True}
    found = read(run(write(clouded()), output, **options).output).sort_values("tile_id")
    assert found["novelty"].dtype == float and (found["novelty"] == found["novelty"].round(4)).all()
    unlike = found["row"] == 0
    assert (found["novelty"][unlike] > 0.9).all() and np.median(found["novelty"][~unlike]) < 0.5
    assert (found["reason"][unlike] == "unlike_examples").all() and found["label"][unlike].isna().all()
    # Ten per cent of the tiles that are like the examples may be left out; with luck a few more.
    assert (found["reason"][~unlike] == "unlike_examples").mean() < 0.25


def test_the_summary_counts(adapter: Any, write: Write, run: Run) -> None:
    folder = str(adapter("bands"))
    summary = run(write(clouded()), adapter=folder, unlike_examples=0.1)
    assert summary.reasons["unlike_examples"] >= 8 and "unlike_examples" in lines(summary)
    assert "novelty" not in read(summary.output).columns and summary.compared == 0
    every = run(write(clouded() * 0 + 60_000, name="white.tif"), "every.gpkg", adapter=folder, novelty=True)
    assert "most tiles are unlike the examples: 64 of 64 have a novelty above 0.99" in lines(every)


def test_rows_without_the_options_are_the_same(adapter: Any, write: Write, run: Run) -> None:
    folder, scene = str(adapter("bands")), write(land(2)[0])
    plain = read(run(scene, adapter=folder, probabilities=True).output)
    more = read(run(scene, "more.gpkg", adapter=folder, probabilities=True, novelty=True).output)
    assert_geodataframe_equal(plain, more.drop(columns="novelty"))


def test_resume_and_shards(adapter: Any, write: Write, run: Run, tmp_path: Path) -> None:
    folder, scene = str(adapter("bands")), write(clouded())
    options = {"adapter": folder, "novelty": True, "unlike_examples": 0.1}
    whole = read(run(scene, **options).output)
    run(scene, "parts.gpkg", shard="1/2", **options)
    run(scene, "parts.gpkg", shard="1/2", resume=True, **options)
    run(scene, "parts.gpkg", shard="2/2", **options)
    journals = sorted(map(str, tmp_path.glob("*parts.gpkg*journal*")))
    assert len(journals) == 2
    output = tmp_path / "parts.gpkg"
    merge(MergeOptions(journals=tuple(journals), output=str(output)))
    assert_geodataframe_equal(read(output), whole)
    run(scene, "shard.gpkg", shard="1/2", **options)
    with pytest.raises(InputError, match="unlike examples"):
        run(scene, "shard.gpkg", shard="1/2", resume=True, **{**options, "unlike_examples": 0.2})


@pytest.mark.parametrize("refine", ["transductive", "spatial"])
def test_unlike_tiles_do_not_take_part_in_refining(adapter: Any, write: Write, run: Run, refine: str) -> None:
    options = {"adapter": str(adapter("bands")), "novelty": True, "unlike_examples": 0.1, "keep_features": True}
    scene = write(clouded())
    plain = read(run(scene, **options).output)
    summary = run(scene, "refined.gpkg", refine=refine, **options)
    found = read(summary.output)
    assert (found["reason"].eq("unlike_examples") == plain["reason"].eq("unlike_examples")).all()
    assert found["novelty"].equals(plain["novelty"])
    assert summary.refined is not None and summary.refined[1] == found["label"].notna().sum()


def test_too_few_examples_for_the_rate(
    tiny_bundle: Bundle, make_raster: MakeRaster, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = str(write_image_adapter(tmp_path / "images", tiny_bundle, LABELS, groups=12).folder)
    scene = make_raster(land(2)[0][:3])
    with caplog.at_level(logging.WARNING, "bimors"):
        few = run(scene, adapter=folder, unlike_examples=0.05)
    assert "no tile can be left without a label at this rate" in caplog.text
    assert "12 groups of examples" in caplog.text and "19 are needed" in caplog.text
    assert few.reasons["unlike_examples"] == 0
    caplog.clear()
    run(scene, "b.gpkg", adapter=folder, unlike_examples=1 / 13)
    assert "at this rate" not in caplog.text


def test_what_cannot_be_told_is_refused(tiny_bundle: Bundle, make_raster: MakeRaster, run: Run, tmp_path: Path) -> None:
    scene = make_raster(land(2)[0][:3])
    with pytest.raises(InputError, match="does not state the image features") as refused:
        run(scene, novelty=True)
    assert "--model mini" in str(refused.value.hint)
    bare = with_domain(tiny_bundle, tmp_path / "bare", UNLIKE).folder
    with pytest.raises(InputError, match="does not state the image features"):
        run(scene, novelty=True, model=str(bare))
    with pytest.raises(InputError, match="the adapter untrained has none") as refused:
        run(scene, unlike_examples=0.1)
    assert "--head auto" in str(refused.value.hint)
    with pytest.raises(InputError, match="without an adapter there are no examples"):
        run(scene, unlike_examples=0.1, head="zero-shot")
    alone = write_image_adapter(tmp_path / "alone", tiny_bundle, LABELS, compares=False)
    with pytest.raises(InputError, match="does not store how unlike"):
        run(scene, adapter=str(alone.folder), novelty=True)


def test_features_of_another_model(tiny_bundle: Bundle, make_raster: MakeRaster, run: Run, tmp_path: Path) -> None:
    other = with_features(tiny_bundle, tmp_path / "other", np.random.default_rng(0).normal(size=(50, 8)))
    with pytest.raises(BundleError, match="does not state the image features"):
        run(make_raster(land(2)[0][:3]), novelty=True, model=str(other.folder))


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_a_rate_is_a_fraction(rate: float) -> None:
    with pytest.raises(InputError, match="must be above 0 and below 1"):
        ClassifyOptions(unlike_examples=rate)


@pytest.mark.parametrize("options", [{"novelty": True}, {"unlike_examples": 0.1}])
def test_cells_have_no_novelty(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="is of tiles, but --vote writes cells"):
        ClassifyOptions(vote=True, overlap="50%", **options)
