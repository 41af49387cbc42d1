"""--captions doubtful: after the labels, the tiles with a low confidence or without a label are captioned."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest

import bimors_cli
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError, Interrupted
from bimors_cli.labels import Labels
from bimors_cli.model.captioner import Captioner
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.pipeline.caption_use import resolve_captions
from bimors_cli.pipeline.make_plan import make_plan
from bimors_cli.pipeline.run import run
from bimors_cli.pipeline.summary import Summary
from bimors_cli.scene import read
from tests import api
from tests.cli.test_caption import StopAfter
from tests.conftest import MakeRaster

LABELS = ("forest", "river", "port")
TILES = 60

Run = Callable[..., Summary]


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    """60 tiles of 32 pixels, two of which have no data."""
    pixels = np.random.default_rng(0).integers(1, 256, (3, 192, 320), dtype=np.uint8)
    pixels[:, :32, 64:128] = 0
    return make_raster(pixels, nodata=0)


@pytest.fixture
def classify(tiny_bundle: Bundle, scene: str, tmp_path: Path) -> Run:
    def classify(output: str | None, progress: Any = None, **options: Any) -> Summary:
        known: dict[str, Any] = {
            "model": str(tiny_bundle.folder), "tile_size": "32", "device": "cpu", "head": "zero-shot", "batch_size": 7,
            "captions": "doubtful",
        }  # fmt: skip
        chosen = ClassifyOptions(
            scenes=(scene,),
            labels=Labels.of(LABELS),
            output=output if output in (None, "-") else str(tmp_path / output),
            **{**known, **options},
        )
        return run(chosen, progress=progress, stop=progress)

    return classify


@pytest.fixture
def every(classify: Run, tmp_path: Path) -> geopandas.GeoDataFrame:
    """The layer with all captions, made without the cache."""
    classify("all.gpkg", captions="all", caption_cache=False)
    return geopandas.read_file(tmp_path / "all.gpkg", layer="tiles").set_index("tile_id")


@pytest.fixture
def below(every: geopandas.GeoDataFrame) -> float:
    """A confidence below which some 20 tiles are, and not one tile as it is stored."""
    return float(np.sort(every["confidence"].dropna())[19:21].mean())


def expected_captions(every: geopandas.GeoDataFrame, below: float) -> dict[str, str]:
    return dict(every["caption"][every["confidence"] < below])


def captions_of(layer: Path) -> dict[str, str]:
    return dict(geopandas.read_file(layer, layer="tiles").set_index("tile_id")["caption"].dropna())


@pytest.fixture
def captioned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images the captioner is given each time."""
    counts: list[int] = []
    caption = Captioner.caption
    monkeypatch.setattr(Captioner, "caption", lambda self, images: counts.append(len(images)) or caption(self, images))
    return counts


def test_only_doubtful_tiles_are_captioned_and_no_tile_is_read_twice(
    classify: Run, every: geopandas.GeoDataFrame, below: float, tmp_path: Path, captioned: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    reads: list[Any] = []
    read_tile = read.read_tile
    monkeypatch.setattr(
        "bimors_cli.pipeline.inference.tile_reader.read_tile",
        lambda reader, tile, *args, **how: reads.append(tile) or read_tile(reader, tile, *args, **how),
    )
    summary = classify("out.gpkg", doubtful_below=below)
    found = geopandas.read_file(tmp_path / "out.gpkg", layer="tiles").set_index("tile_id")
    assert dict(found["caption"].dropna()) == expected_captions(every, below)
    # The labels are those of a run that captions every tile before.
    assert found["label"].equals(every["label"]) and found["confidence"].equals(every["confidence"])
    count = int(found["caption"].notna().sum())
    assert len(reads) == TILES and sum(captioned) == count == summary.captioned
    # Those of several batches of 7 tiles are captioned together.
    assert max(captioned) <= 7 and len(captioned) <= -(-count // 7) + 4
    assert any(f"captions: {count} tiles with a confidence below" in line for line in summary.lines(str))
    assert summary.to_json()["captioned"] == count
    page = bimors_cli.report(tmp_path / "out.gpkg", tmp_path / "out.html").read_text(encoding="utf-8")
    assert f"of tiles with a confidence below {below}" in page


def test_a_later_run_takes_them_from_the_cache(classify: Run, below: float, captioned: list[int], every: Any) -> None:
    captioned.clear()
    first = classify("a.gpkg", doubtful_below=below)
    assert (first.caption_hits, first.caption_misses) == (0, first.captioned)
    captioned.clear()
    assert classify("b.gpkg", doubtful_below=below).caption_hits == first.captioned and not captioned


def test_an_interrupted_run_goes_on(
    classify: Run, every: geopandas.GeoDataFrame, below: float, tmp_path: Path, captioned: list[int]
) -> None:
    captioned.clear()
    with pytest.raises(Interrupted):
        classify("out.gpkg", StopAfter(20), doubtful_below=below, caption_cache=False)
    summary = classify("out.gpkg", doubtful_below=below, caption_cache=False, resume=True)
    assert 20 <= summary.resumed < TILES
    assert captions_of(tmp_path / "out.gpkg") == expected_captions(every, below) and summary.captioned == 20


def test_another_threshold_is_another_run(classify: Run, below: float) -> None:
    with pytest.raises(Interrupted):
        classify("out.gpkg", StopAfter(20), doubtful_below=below)
    with pytest.raises(InputError, match="has other options: captions"):
        classify("out.gpkg", doubtful_below=below / 2, resume=True)


def test_shards_and_a_stream_have_the_same_captions(
    classify: Run, every: geopandas.GeoDataFrame, below: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = expected_captions(every, below)
    journals = [classify("out.gpkg", shard=f"{k}/3", doubtful_below=below).output for k in (1, 2, 3)]
    merged = api.merge(tmp_path / "out.gpkg", journals)
    assert captions_of(tmp_path / "out.gpkg") == expected and merged.captioned == 20
    monkeypatch.setattr(sys, "stdout", stream := StringIO())
    classify("-", doubtful_below=below)
    rows = [json.loads(line)["properties"] for line in stream.getvalue().splitlines()]
    assert {row["tile_id"]: row["caption"] for row in rows if row["caption"] is not None} == expected


def test_tiles_without_a_label_are_doubtful(
    classify: Run, every: geopandas.GeoDataFrame, below: float, tmp_path: Path
) -> None:
    classify("out.gpkg", doubtful_below=0.0, min_confidence=below)
    found = geopandas.read_file(tmp_path / "out.gpkg", layer="tiles").set_index("tile_id")
    assert (found["reason"] == "low_confidence").sum() == 20
    assert dict(found["caption"].dropna()) == expected_captions(every, below)


def test_mistakes_are_one_line(tiny_bundle: Bundle, scene: str) -> None:
    known: dict[str, Any] = {"scenes": (scene,), "labels": Labels.of(LABELS), "model": str(tiny_bundle.folder)}
    with pytest.raises(InputError, match="the adapter untrained needs the captions of all tiles") as caught:
        make_plan(ClassifyOptions(**known, captions="doubtful"))
    assert "--captions all" in str(caught.value.hint)
    for option in ({"refine": "spatial"}, {"vote": True, "overlap": "50%"}):
        with pytest.raises(InputError, match=f"--captions doubtful .* which --{next(iter(option))} changes"):
            ClassifyOptions(**known, captions="doubtful", **option)
    with pytest.raises(InputError, match="--doubtful-below needs --captions doubtful"):
        ClassifyOptions(**known, doubtful_below=0.3)
    with pytest.raises(InputError, match="must be between 0 and 1"):
        ClassifyOptions(**known, captions="doubtful", doubtful_below=1.5)
    with pytest.raises(InputError, match="--captions doubtful: bare has no captioner"):
        resolve_captions("doubtful", None, own=False, outside=[None], without_captioner="bare", below=0.5)
