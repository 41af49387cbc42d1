"""A model of bands of the catalog is fetched: its checkpoint is converted, and the bundle takes its bands."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bimors_cli.bundle import catalog
from bimors_cli.bundle.catalog import CatalogEntry, Source, SourceFile, entry_of
from bimors_cli.bundle.fetch import fetch_bundle
from bimors_cli.bundle.manifest import CLIP, Bundle, open_bundle
from bimors_cli.pipeline.bundles.to_fetch import find_to_fetch
from bimors_cli.pipeline.inference.load import load_models
from tests.bundle.hub_server import Hub
from tests.bundle.test_fetch import home, hub
from tests.bundles import BANDS
from tests.model.test_clip_checkpoint import module_state

__all__ = ["home", "hub"]


def test_the_catalog_has_the_bands_of_the_published_model() -> None:
    assert entry_of("llama3-ms-clip").bands == replace(BANDS, unit=entry_of("llama3-ms-clip").bands.unit)  # type: ignore[union-attr]


def test_it_is_fetched_and_loaded(hub: Hub, home: Path, band_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    state = load_file(band_bundle.part(CLIP) / "open_clip_model.safetensors")
    checkpoint = io.BytesIO()
    torch.save({"state_dict": module_state(state)}, checkpoint)
    words = {path.name: path.read_bytes() for path in band_bundle.part(CLIP).glob("*token*.json")}
    hub.repositories["tiny/ms"] = {"ms.pt": checkpoint.getvalue(), **words}
    config = json.loads((band_bundle.part(CLIP) / "open_clip_config.json").read_text())
    files = SourceFile("ms.pt", convert_to="open_clip_model.safetensors"), *map(SourceFile, words)
    entry = CatalogEntry(
        name="tiny-ms",
        description="ten bands, random weights",
        context="a satellite photo of a",
        image_size=band_bundle.image_size,
        architecture="tiny",
        model_cfg=config["model_cfg"],
        preprocess_cfg={"size": band_bundle.image_size, "interpolation": "bicubic"},
        parts={CLIP: Source("none", files, repository="tiny/ms")},
        notes=(),
        bands=BANDS,
    )
    monkeypatch.setattr(catalog, "entries", lambda: (entry,))
    wanted = find_to_fetch("tiny-ms", None, None)
    fetch_bundle(wanted.entry, wanted.target, wanted.convert, lambda _: None, progress=False)
    bundle = open_bundle(wanted.target)
    assert bundle.bands == BANDS and wanted.target == home / "tiny-ms"
    images = torch.rand(2, 10, 40, 40) * 3000
    here, there = (
        load_models(each, "cpu", captions=False, reads_bands=True).encode(images) for each in (bundle, band_bundle)
    )
    assert torch.equal(here.image_feature, there.image_feature)
