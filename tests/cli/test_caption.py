"""`bimors caption` from outside: the captions of classify, without labels."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
from geopandas.testing import assert_geodataframe_equal
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli import caption
from bimors_cli.cli.main import app
from bimors_cli.errors import Interrupted
from bimors_cli.options.inference import InferenceOptions
from bimors_cli.pipeline import caption as captions
from tests.conftest import MakeRaster

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def scene(make_raster: MakeRaster) -> Path:
    """Nine tiles of 32 pixels, one without data."""
    noise = np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8)
    noise[:, :32, 32:64] = 0
    return Path(make_raster(noise, nodata=0, compress="deflate", blockysize=8))


def bimors(*args: object, cwd: Path) -> Result:
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, [*map(str, args)])


def describe(scene: Path, bundle: Bundle, *args: object, cwd: Path) -> Result:
    return bimors("caption", scene, "--model", bundle.folder, "--tile-size", 32, *args, cwd=cwd)


def rows(path: Path, layer: str = "captions") -> geopandas.GeoDataFrame:
    return geopandas.read_file(path, layer=layer)


def test_the_example_of_the_help_runs(tmp_path: Path, tiny_bundle: Bundle) -> None:
    shutil.copy(EXAMPLES / "scene.tif", tmp_path)
    example = shlex.split(caption.EXAMPLE.removeprefix("Example: bimors "))
    result = bimors(*example, "--model", tiny_bundle.folder, cwd=tmp_path)
    assert (result.exit_code, result.stdout) == (0, "captions.gpkg\n"), result.stderr
    assert "456 of 456 tiles captioned" in result.stderr
    layer = rows(tmp_path / "captions.gpkg")
    assert list(layer) == ["tile_id", "scene", "row", "col", "caption", "reason", "geometry"]
    assert layer["caption"].notna().all() and layer["reason"].isna().all()


def test_captions_are_those_of_classify_and_in_its_cache(scene: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert describe(scene, tiny_bundle, "-o", "captions.gpkg", "--keep-empty", cwd=tmp_path).exit_code == 0
    (tmp_path / "labels.txt").write_text("forest\nriver\n")
    more = ["-l", "labels.txt", "--model", tiny_bundle.folder, "--tile-size", 32, "-o", "out.gpkg", "--keep-empty"]
    run = bimors("classify", scene, *more, cwd=tmp_path)
    assert "8 of 8 captions were known, from the cache or an equal tile" in run.stderr
    found, wanted = rows(tmp_path / "captions.gpkg"), rows(tmp_path / "out.gpkg", "tiles")
    same = ["tile_id", "scene", "row", "col", "caption", "reason", "geometry"]
    assert_geodataframe_equal(found[same], wanted[same])
    assert found["reason"].fillna("").tolist() == ["", "nodata"] + [""] * 7


def test_the_style_writes_the_caption_into_the_tile(scene: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert describe(scene, tiny_bundle, "-o", "captions.gpkg", cwd=tmp_path).exit_code == 0
    (style,) = pyogrio.read_dataframe(tmp_path / "captions.gpkg", layer="layer_styles")["styleQML"]
    assert 'fieldName="caption"' in style and 'labelsEnabled="1"' in style and "<mapTip" in style
    assert len(rows(tmp_path / "captions.gpkg")) == 8


def test_it_streams(scene: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    result = describe(scene, tiny_bundle, "-o", "-", cwd=tmp_path)
    properties = [json.loads(line)["properties"] for line in result.stdout.splitlines()]
    assert len(properties) == 8 and all(found["caption"] is not None for found in properties)


class StopAfter:
    """Asks to stop once so many tiles are done."""

    def __init__(self, tiles: int) -> None:
        self.signal_number: int | None = None
        self._left = tiles

    def begin(self, total: int, done: int = 0, stage: str = "") -> None:
        """Nothing is done yet."""

    def advance(self, tiles: int) -> None:
        self._left -= tiles
        self.signal_number = 15 if self._left <= 0 else None


def test_an_interrupted_run_goes_on(scene: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    output = tmp_path / "captions.gpkg"
    options = InferenceOptions(
        scenes=(str(scene),),
        output=str(output),
        layer="captions",
        model=str(tiny_bundle.folder),
        tile_size="32",
        batch_size=2,
        caption_cache=False,
        device="cpu",
    )
    stop = StopAfter(2)
    with pytest.raises(Interrupted, match="finished tiles are in"):
        captions.caption(options, progress=stop, stop=stop)
    assert not output.exists() and output.with_name("captions.gpkg.bimors-journal").exists()
    more = ["--batch-size", 2, "--no-caption-cache", "-o", output, "--device", "cpu"]
    refused = describe(scene, tiny_bundle, *more, cwd=tmp_path)
    assert refused.exit_code == 2 and "--resume" in refused.stderr
    other = bimors("caption", scene, "--model", tiny_bundle.folder, "--tile-size", 16, *more, "--resume", cwd=tmp_path)
    assert other.exit_code == 2 and "tile size" in other.stderr
    resumed = describe(scene, tiny_bundle, *more, "--resume", cwd=tmp_path)
    assert resumed.exit_code == 0 and "by earlier runs" in resumed.stderr, resumed.stderr
    whole = describe(scene, tiny_bundle, *more[:-3], tmp_path / "whole.gpkg", *more[-2:], cwd=tmp_path)
    assert whole.exit_code == 0, whole.stderr
    assert_geodataframe_equal(rows(output), rows(tmp_path / "whole.gpkg"))
    again = describe(scene, tiny_bundle, *more, "--resume", cwd=tmp_path)
    assert again.exit_code == 0 and "already complete" in again.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["captions.gpkg", "scene.tif", "whole.gpkg"]


def test_unreadable_tiles_end_with_3(make_raster: MakeRaster, tiny_bundle: Bundle, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(1, 256, (3, 64, 64), dtype=np.uint8)
    scene = Path(make_raster(noise, tiled=True, blockxsize=32, blockysize=32, compress="deflate"))
    content = bytearray(scene.read_bytes())
    content[-200:] = b"\xff" * 200
    scene.write_bytes(content)
    result = describe(scene, tiny_bundle, "-o", "captions.gpkg", cwd=tmp_path)
    assert (result.exit_code, result.stdout) == (3, "captions.gpkg\n"), result.stderr
    layer = rows(tmp_path / "captions.gpkg")
    assert (
        set(layer["reason"].dropna()) == {"read_error"} and (layer["caption"].isna() == layer["reason"].notna()).all()
    )
