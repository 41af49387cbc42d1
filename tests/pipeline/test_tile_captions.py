"""`bimors report --caption-tile`: captions of tiles of a finished layer are those that the run would have made."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest

import bimors_cli
from bimors_cli.bundle.manifest import CAPTIONER, Bundle
from bimors_cli.errors import InputError
from bimors_cli.options.view import ReportOptions
from bimors_cli.pipeline.tile_captions import report
from bimors_cli.provenance import RunProvenance
from tests import api
from tests.bundles import make_bundle
from tests.conftest import MakeRaster

LABELS = ("forest", "river")

Classify = Callable[..., Path]


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    pixels = np.random.default_rng(0).integers(1, 256, (3, 100, 140), dtype=np.uint8)
    pixels[:, :32, 32:64] = 0
    return make_raster(pixels, nodata=0)


@pytest.fixture
def classify(tiny_bundle: Bundle, scene: str, tmp_path: Path) -> Classify:
    def run(name: str, **options: Any) -> Path:
        how = {"model": str(tiny_bundle.folder), "tile_size": "32", "device": "cpu", "keep_empty": True, **options}
        api.classify(scene, LABELS, tmp_path / name, **how)
        return tmp_path / name

    return run


@pytest.fixture(autouse=True)
def bundles_by_name(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a bundle in a folder be found by the name that the layer records."""
    from bimors_cli.pipeline import tile_captions

    find = tile_captions.find_bundle
    monkeypatch.setattr(
        tile_captions, "find_bundle", lambda name: tiny_bundle.folder if name == tiny_bundle.name else find(name)
    )


def captions_in(page: Path) -> dict[str, str]:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    numbers = zip(data["id"], data["caption"], strict=True)
    return {tile_id: data["texts"][number] for tile_id, number in numbers if number >= 0}


@pytest.mark.parametrize("how", [{}, {"overlap": "25%"}, {"stretch": "2,98", "bidx": (3, 2, 1)}])
def test_the_caption_is_that_of_a_run_with_captions(classify: Classify, how: dict[str, Any], tmp_path: Path) -> None:
    every = geopandas.read_file(classify("all.gpkg", captions="all", caption_cache=False, **how), layer="tiles")
    expected = dict(every.set_index("tile_id")["caption"].dropna())
    layer = classify("none.gpkg", captions="none", **how)
    # The last one is clipped at two edges of the scene.
    asked = (list(expected)[3], list(expected)[-1], next(iter(expected)))
    told: dict[str, str | None] = {}
    page = report(ReportOptions(layer_file=layer, caption_tiles=asked), told.__setitem__)
    wanted = {tile_id: expected[tile_id] for tile_id in asked}
    assert told == wanted and captions_in(page) == wanted
    assert "The captions of 3 tiles were made for this page, by tiny." in page.read_text(encoding="utf-8")
    # The layer itself stays as it is.
    assert geopandas.read_file(layer, layer="tiles")["caption"].isna().all()
    assert captions_in(bimors_cli.report(layer, tmp_path / "without.html")) == {}


def test_a_caption_of_an_earlier_run_is_not_made_again(classify: Classify, monkeypatch: pytest.MonkeyPatch) -> None:
    from bimors_cli.model.captioner import Captioner

    layer = classify("all.gpkg", captions="all")

    def refuse(*_: object) -> None:
        raise AssertionError("the captioner ran")

    monkeypatch.setattr(Captioner, "caption", refuse)
    told: dict[str, str | None] = {}
    report(ReportOptions(layer_file=layer, caption_tiles=("scene/1/1",)), told.__setitem__)
    assert told["scene/1/1"]


def test_mistakes_are_one_line(
    classify: Classify, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = classify("none.gpkg", captions="none")

    def refused(what: str, **options: Any) -> str:
        with pytest.raises(InputError, match=what) as caught:
            report(ReportOptions(layer_file=layer, **options))
        assert not layer.with_suffix(".html").exists()
        return str(caught.value.hint)

    hint = refused("--caption-tile scene/9/9: .* has no such tile of scene.tif", caption_tiles=("scene/9/9",))
    assert "such as scene/0/0" in hint
    refused("the tile has no data", caption_tiles=("scene/0/1",))
    refused("--model nowhere: no bundle", caption_tiles=("scene/0/0",), model="nowhere")
    refused("--model needs --caption-tile", model="mini")
    other = make_bundle(tmp_path / "tiny", seed=1)
    told: dict[str, str | None] = {}
    report(
        ReportOptions(layer_file=layer, caption_tiles=("scene/0/0",), model=str(other.folder), overwrite=True),
        told.__setitem__,
    )
    assert list(told) == ["scene/0/0"]
    layer.with_suffix(".html").unlink()
    with monkeypatch.context() as without:
        without.setattr(Bundle, "has_part", lambda self, part: part != CAPTIONER)
        refused("has no captioner, which --caption-tile needs", caption_tiles=("scene/0/0",))
    from bimors_cli.results import classified_layer

    read = classified_layer.read_classify_run

    def another(path: Path, name: str) -> tuple[RunProvenance, Any]:
        run, scenes = read(path, name)
        return replace(run, run_key={**(run.run_key or {}), "model": {"name": "tiny", "sha256": "0" * 64}}), scenes

    monkeypatch.setattr(classified_layer, "read_classify_run", another)
    assert "--model tiny" in refused("was made with another bundle", caption_tiles=("scene/0/0",))
