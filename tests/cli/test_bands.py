"""A bundle that takes ten bands, on the command line: which bands of a scene it gets, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from bimors_cli.pipeline.inference.caption_cache import cache_facts
from tests.bundles import BANDS
from tests.conftest import MakeRaster

Classify = Callable[..., Result]
MakeScene = Callable[..., str]

OTHERS = ("coastal", "water vapour")
# Of swir2, the others, and the rest from the last to the first.
MICROMETRES = (2.2, 0.44, 0.94, 1.6, 0.865, 0.842, 0.78, 0.74, 0.705, 0.665, 0.56, 0.49)


def numbers() -> npt.NDArray[np.uint16]:
    """Return ten bands of 64 x 96 pixels with values like those of the training, and a corner of nodata."""
    random = np.random.default_rng(0)
    mean, std = (np.array(values)[:, None, None] for values in (BANDS.mean, BANDS.std))
    coarse = random.normal(size=(10, 4, 6)).repeat(16, axis=1).repeat(16, axis=2)
    found = (mean + std * (coarse + 0.2 * random.normal(size=(10, 64, 96)))).clip(1, 10_000).astype(np.uint16)
    found[:, :10, :20] = 0
    return found


@pytest.fixture
def make_scene(make_raster: MakeRaster, tmp_path: Path) -> MakeScene:
    """A function that writes these bands under their names, in an order, with more of them or fewer."""
    (tmp_path / "labels.txt").write_text("forest\nriver\nport\n")

    def make(names: Sequence[str | None] = BANDS.names, name: str = "scene.tif") -> str:
        pixels = dict(zip(BANDS.names, numbers(), strict=True))
        noise = np.random.default_rng(1).integers(1, 3000, (64, 96), dtype=np.uint16)
        path = make_raster(np.stack([pixels.get(str(band), noise) for band in names]), nodata=0, name=name)
        with rasterio.open(path, "r+") as dataset:
            dataset.descriptions = names
        return path

    return make


@pytest.fixture
def classify(band_bundle: Bundle, tmp_path: Path) -> Classify:
    def run(scene: str, *more: object, output: str = "out.gpkg") -> Result:
        asked = ("classify", scene, "-l", tmp_path / "labels.txt", "--model", band_bundle.folder, "--device", "cpu")
        return CliRunner().invoke(
            app, [*map(str, (*asked, "--tile-size", 32, "--probabilities", "-o", tmp_path / output, *more))]
        )

    return run


def rows(path: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(path, layer="tiles").drop(columns=["scene", "tile_id"])


def check(result: Result, code: int = 0) -> str:
    assert result.exit_code == code, result.stderr
    return " ".join(result.stderr.split())


def test_bands_are_found_by_name_in_any_order(make_scene: MakeScene, classify: Classify, tmp_path: Path) -> None:
    said = check(classify(make_scene()))
    assert "no captions were made: ms has no captioner" in said
    first = rows(tmp_path / "out.gpkg")
    assert len(first) == 6 and first.label.notna().all() and first.caption.isna().all()
    assert first.confidence.nunique() == 6
    other = make_scene(("swir2", *OTHERS, *BANDS.names[-2::-1]), name="other.tif")
    check(classify(other, output="other.gpkg"))
    assert rows(tmp_path / "other.gpkg").equals(first)
    with rasterio.open(other, "r+") as dataset:  # wavelengths say the same as names
        dataset.descriptions = (None,) * 12
        for index, micrometres in enumerate(MICROMETRES, 1):
            dataset.update_tags(index, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=str(micrometres))
    check(classify(other, "--overwrite", output="other.gpkg"))
    assert rows(tmp_path / "other.gpkg").equals(first)


def test_bands_by_number(make_scene: MakeScene, classify: Classify, tmp_path: Path) -> None:
    check(classify(make_scene()))
    unnamed = make_scene((*BANDS.names[::-1], *OTHERS), name="unnamed.tif")
    with rasterio.open(unnamed, "r+") as dataset:
        dataset.descriptions = (None,) * 12
    said = check(classify(unnamed, output="b.gpkg"), 2)
    assert "unnamed.tif has no band blue, green, red" in said and "give all bands with -b in the order" in said
    check(classify(unnamed, "-b", "10,9,8,7,6,5,4,3,2,1", output="b.gpkg"))
    assert rows(tmp_path / "b.gpkg").equals(rows(tmp_path / "out.gpkg"))
    said = check(classify(unnamed, "-b", "3,2,1", output="c.gpkg"), 2)
    assert "3 bands were given, but ms takes 10" in said and "in this order: blue, green, red" in said
    said = check(classify(unnamed, "-b", "10,9,8,7,6,5,4,3,2,13", output="c.gpkg"), 2)
    assert "has no band 13" in said


def test_a_missing_band_is_named(make_scene: MakeScene, classify: Classify, tmp_path: Path) -> None:
    said = check(classify(make_scene(BANDS.names[:-1])), 2)
    assert "scene.tif has no band swir2, which ms takes" in said and "its bands are blue, green" in said
    assert not (tmp_path / "out.gpkg").exists()


def test_it_is_refused_before_torch_is_imported(make_scene: MakeScene, band_bundle: Bundle, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom bimors_cli import ClassifyOptions, Labels\nfrom bimors_cli.errors import InputError\n"
        "from bimors_cli.pipeline.make_plan import make_plan\n"
        "try: make_plan(ClassifyOptions(scenes=(sys.argv[1],), labels=Labels.of(['a', 'b']), model=sys.argv[2]))\n"
        "except InputError as error: print(error, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, make_scene(BANDS.names[:-1]), str(band_bundle.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "no band swir2" in done.stdout and done.stdout.strip().endswith("False")


def test_what_such_a_bundle_does_not_do(
    make_scene: MakeScene, classify: Classify, band_bundle: Bundle, tmp_path: Path
) -> None:
    scene = make_scene()
    assert "--stretch p2,p98 is not supported with ms" in check(classify(scene, "--stretch", "p2,p98"), 2)
    assert "--captions all: ms has no captioner" in check(classify(scene, "--captions", "all"), 2)
    folder = band_bundle.folder
    result = CliRunner().invoke(app, ["caption", scene, "--model", str(folder), "-o", str(tmp_path / "c.gpkg")])
    assert "ms has no captioner" in check(result, 2)
    result = CliRunner().invoke(app, ["bench", "--model", str(folder), "--device", "cpu"])
    assert "ms takes 10 bands of a scene, which only bimors classify supports" in check(result, 2)


def test_scale_and_offset_are_not_applied(make_scene: MakeScene, classify: Classify, tmp_path: Path) -> None:
    scene = make_scene()
    check(classify(scene))
    with rasterio.open(scene, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.0001,) * 10, (-0.1,) * 10
    check(classify(scene, output="scaled.gpkg"))
    assert rows(tmp_path / "scaled.gpkg").equals(rows(tmp_path / "out.gpkg"))


def test_large_tiles_are_averaged(make_scene: MakeScene, classify: Classify, tmp_path: Path) -> None:
    """A scene of twice the resolution, in which each pixel is repeated, has the same rows."""
    check(classify(make_scene()))
    with rasterio.open(make_scene()) as source:
        data, profile = source.read().repeat(2, axis=1).repeat(2, axis=2), source.profile
        profile |= {"width": 192, "height": 128, "transform": source.transform @ source.transform.scale(0.5)}
        with rasterio.open(tmp_path / "fine.tif", "w", **profile) as fine:
            fine.write(data)
            fine.descriptions = source.descriptions
    check(classify(str(tmp_path / "fine.tif"), "--tile-size", 64, output="fine.gpkg"))
    first, second = rows(tmp_path / "out.gpkg"), rows(tmp_path / "fine.gpkg")
    assert (first.label == second.label).all()
    np.testing.assert_allclose(first.confidence, second.confidence, atol=1e-4)


def test_features_are_cached_and_runs_resume(make_scene: MakeScene, classify: Classify, tmp_path: Path) -> None:
    scene = make_scene()
    check(classify(scene))
    assert (cache_facts().entries, cache_facts().features) == (0, 6)
    (tmp_path / "labels.txt").write_text("forest\nriver\nport\nmeadow\n")
    said = check(classify(scene, "--overwrite", "-v"))
    assert "captions were known, from the cache or an equal tile" not in said and "cache" in said
    assert "already complete" in check(classify(scene, "--resume"))
    check(classify(scene, "--no-caption-cache", output="uncached.gpkg"))
    assert rows(tmp_path / "uncached.gpkg").equals(rows(tmp_path / "out.gpkg"))


def test_info_and_show(make_scene: MakeScene, band_bundle: Bundle) -> None:
    scene, folder = make_scene(("swir2", *BANDS.names[:-1])), str(band_bundle.folder)
    facts = json.loads(CliRunner().invoke(app, ["info", scene, "--model", folder, "--json"]).stdout)
    assert facts["bands_used"] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 1] and facts["stretch"] == "raw"
    shown = json.loads(CliRunner().invoke(app, ["models", "show", folder, "--json"]).stdout)
    assert shown["bands"][0] == {"name": "blue", "mean": 925.161, "std": 1205.586}
    assert shown["bands_unit"] == "Sentinel-2 L2A digital numbers"
    assert CliRunner().invoke(app, ["models", "show", folder]).exit_code == 0
    assert CliRunner().invoke(app, ["models", "verify", folder]).exit_code == 0


def test_the_layer_is_drawn_in_its_colours(make_scene: MakeScene, classify: Classify, tmp_path: Path) -> None:
    check(classify(make_scene(("swir2", *BANDS.names[:-1])), "--keep-features"))
    layer = str(tmp_path / "out.gpkg")
    check(CliRunner().invoke(app, ["preview", layer, "-o", str(tmp_path / "out.png")]))
    check(CliRunner().invoke(app, ["report", layer, "-o", str(tmp_path / "out.html")]))
    assert "raw" in (tmp_path / "out.html").read_text()
