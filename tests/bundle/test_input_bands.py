"""The bands in the manifest of a bundle, and its identity."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from bimors_cli.bundle.files import sha256_of_files
from bimors_cli.bundle.input_bands import InputBand, InputBands, parse_input_bands, read_input_bands
from bimors_cli.bundle.manifest import CAPTIONER, CLIP, MANIFEST, Bundle, bundle_of, read_bundle
from bimors_cli.errors import BundleError, InputError
from bimors_cli.options.band_names import BAND_NAMES
from bimors_cli.scene import band_names as of_scenes
from bimors_cli.scene import band_text as of_texts
from tests.bundles import BANDS


def test_one_list_of_names() -> None:
    schema = json.loads((files("bimors_cli.bundle.schemas") / "manifest.json").read_text())
    assert tuple(schema["properties"]["bands"]["items"]["properties"]["name"]["enum"]) == BAND_NAMES
    assert tuple(of_scenes._WAVELENGTHS) == tuple(of_texts._WORDS) == BAND_NAMES


def test_they_come_back_from_the_manifest(band_bundle: Bundle) -> None:
    bundle = read_bundle(band_bundle.folder)
    assert bundle.bands == BANDS and len(BANDS) == 10
    assert parse_input_bands(BANDS.as_json()) == BANDS
    assert "bands_unit" not in InputBands(BANDS.bands).as_json()


def test_they_are_part_of_the_identity(band_bundle: Bundle, tiny_bundle: Bundle) -> None:
    first, *rest = BANDS.bands
    for other in (
        InputBands((*rest, first)),
        InputBands((InputBand(first.name, first.mean + 1, first.std), *rest)),
        None,
    ):
        changed = replace(band_bundle, bands=other)
        assert changed.sha256 != band_bundle.sha256
        assert changed.part_sha256(CLIP) != band_bundle.part_sha256(CLIP)
        assert changed.part_sha256(CAPTIONER) == band_bundle.part_sha256(CAPTIONER)
    assert replace(band_bundle, bands=InputBands(BANDS.bands, "other words")).sha256 == band_bundle.sha256
    assert tiny_bundle.bands is None and tiny_bundle.sha256 == sha256_of_files(tiny_bundle.files)


@pytest.mark.parametrize(
    "bands",
    [
        [],
        {},
        [1],
        [{"name": "blue", "mean": 1}],
        [{"name": "blue", "mean": "1", "std": 1}],
        [{"name": "blue", "mean": float("nan"), "std": 1}],
        [{"name": "blue", "mean": 1, "std": 0}],
        [{"name": "B02", "mean": 1, "std": 1}],
        [{"name": ["blue"], "mean": 1, "std": 1}],
        [{"name": "blue", "mean": 1, "std": 1}] * 2,
    ],
)
def test_others_are_refused(bands: Any, band_bundle: Bundle, tmp_path: Path) -> None:
    content = json.loads((band_bundle.folder / MANIFEST).read_text())
    with pytest.raises(BundleError, match="damaged"):
        bundle_of(band_bundle.folder, {**content, "bands": bands})
    (tmp_path / "bands.json").write_text(json.dumps({"bands": bands}))
    with pytest.raises(InputError, match="not a list of bands"):
        read_input_bands(tmp_path / "bands.json")
    (tmp_path / "bands.json").write_text("[]")
    with pytest.raises(InputError, match="not a list of bands"):
        read_input_bands(tmp_path / "bands.json")
