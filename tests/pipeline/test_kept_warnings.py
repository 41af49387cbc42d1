"""What a run warned of is in the layer that it writes, in its summary, and in that of a run that continues it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import Interrupted
from bimors_cli.labels import Labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.merge import MergeOptions
from bimors_cli.output.geopackage import read_provenance
from bimors_cli.pipeline import run as run_module
from bimors_cli.pipeline.checkpoint.journal import Journal
from bimors_cli.pipeline.merge import merge
from bimors_cli.pipeline.run import run
from bimors_cli.run_warnings import keep_warnings, warn

Y = 4_600_000


@pytest.fixture
def options(tiny_bundle: Bundle, tmp_path: Path, make_raster) -> ClassifyOptions:  # type: ignore[no-untyped-def]
    scene = make_raster(np.random.default_rng(0).integers(1, 255, (3, 80, 120)).astype(np.uint8))
    areas = [shapely.box(500000, Y - 800, 501200, Y), shapely.box(800000, Y, 800100, Y + 100)]
    geopandas.GeoDataFrame(geometry=areas, crs=32618).to_file(tmp_path / "aoi.gpkg")
    return ClassifyOptions(
        scenes=(scene,), labels=Labels.of(["a", "b"]), output=str(tmp_path / "out.gpkg"), tile_size="20",
        model=str(tiny_bundle.folder), aoi=str(tmp_path / "aoi.gpkg"), device="cpu",
    )  # fmt: skip


def recorded(path: Path | str) -> list[str]:
    found: list[str] = json.loads(read_provenance(Path(path), "tiles").get("warnings", "[]"))
    return found


def test_layer_and_summary(options: ClassifyOptions) -> None:
    summary = run(options)
    assert "1 of 2 features lies outside" in summary.warnings[0]
    assert recorded(str(options.output)) == list(summary.warnings) == summary.to_json()["warnings"]
    without = replace(options, aoi=None, output=str(Path(str(options.output)).with_name("b.gpkg")))
    if not run(without).warnings:
        assert "warnings" not in read_provenance(Path(str(without.output)), "tiles")


def test_a_resumed_run_keeps_those_of_the_earlier_part(
    options: ClassifyOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Journal.append

    def once(self: Journal, results: object) -> None:
        warn("the disk was slow")
        append(self, results)  # type: ignore[arg-type]
        raise Interrupted(2, "interrupted")

    monkeypatch.setattr(Journal, "append", once)
    with pytest.raises(Interrupted):
        run(options)
    monkeypatch.setattr(Journal, "append", append)
    summary = run(replace(options, resume=True))
    assert summary.resumed and "the disk was slow" in summary.warnings
    assert len(set(summary.warnings)) == len(summary.warnings) and recorded(str(options.output)) == list(
        summary.warnings
    )
    assert any("lies outside" in text for text in summary.warnings)


def test_shards(options: ClassifyOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_warnings = run_module.warn_of_plan
    for number in (1, 2):
        monkeypatch.setattr(
            run_module, "warn_of_plan", lambda plan, n=number: (plan_warnings(plan), warn(f"node {n} is old"))
        )
        run(replace(options, shard=f"{number}/2"))
    monkeypatch.setattr(run_module, "warn_of_plan", plan_warnings)
    journals = sorted(str(path) for path in Path(str(options.output)).parent.glob("*.bimors-journal"))
    summary = merge(MergeOptions(output=str(options.output), journals=tuple(journals)))
    assert {"node 1 is old", "node 2 is old"} <= set(summary.warnings)
    assert sum("lies outside" in text for text in summary.warnings) == 1
    assert recorded(str(options.output)) == list(summary.warnings)


def test_a_caller_may_keep_more(options: ClassifyOptions) -> None:
    with keep_warnings() as kept:
        warn("the labels file has a line without a name")
        summary = run(options)
    assert summary.warnings == kept.texts() and kept.texts()[0].startswith("the labels file")
