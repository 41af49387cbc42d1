"""How bimors meets GDAL: names, settings, the cost of importing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import rasterio
import rasterio.rpc
import rasterio.shutil

from bimors_cli import scene
from bimors_cli.errors import SceneError
from bimors_cli.scene.gdal import DEFAULTS, display_name, file_name, gdal_env, is_local
from bimors_cli.scene.raster import scene_info


def test_names() -> None:
    """Names shown and names of tiles."""
    signed = "https://host/d/scene.tif?X-Amz-Signature=secret"
    assert display_name(signed) == "https://host/d/scene.tif" and file_name(signed) == "scene.tif"
    assert display_name("/vsicurl/https://h/a.tif?sig=1") == "/vsicurl/https://h/a.tif"
    assert display_name("odd?name.tif") == "odd?name.tif"
    assert file_name('NETCDF:"/d/x.nc":t2m') == "x.nc:t2m"
    assert file_name("C:\\data\\a.tif") == "a.tif"
    for path in ("a.tif", "./d/a.tif", "/d/a.tif", "C:\\data\\a.tif", "C:/a.tif", "a b:c.tif"):
        assert is_local(path), path
    for path in ("/vsis3/b/a.tif", "s3://b/a.tif", "https://h/a.tif", "NETCDF:x.nc:t", "GTIFF_DIR:2:a.tif"):
        assert not is_local(path), path


def test_secrets_stay_out_of_messages() -> None:
    """The query of a signed URL is not shown, whatever GDAL says."""
    with rasterio.Env(GDAL_HTTP_MAX_RETRY=0), pytest.raises(SceneError) as caught:
        scene_info("http://127.0.0.1:9/scene.tif?sig=secret")
    assert "http://127.0.0.1:9/scene.tif" in caught.value.message
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"
    streamed = "/vsicurl_streaming/http://127.0.0.1:9/scene.tif?sig=secret"
    with rasterio.Env(GDAL_HTTP_MAX_RETRY=0), pytest.raises(SceneError) as caught:
        scene_info(streamed)
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


def test_env_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user sets, in the environment or around the call, stays."""
    assert gdal_env().options.items() >= DEFAULTS.items()
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "9")
    assert "GDAL_HTTP_MAX_RETRY" not in gdal_env().options
    with rasterio.Env(GDAL_HTTP_TIMEOUT=3, GDAL_HTTP_RETRY_DELAY=7), gdal_env():
        assert rasterio.env.getenv()["GDAL_HTTP_RETRY_DELAY"] == 7
        assert rasterio.env.getenv()["GDAL_VRT_ENABLE_PYTHON"] == "NO"
    assert DEFAULTS["GDAL_CACHEMAX"] == 512 << 20  # bytes here: 512 alone makes reads 200 times slower


def test_quick_import() -> None:
    """Importing the room brings in nothing heavy."""
    modules = [path.stem for path in Path(scene.__path__[0]).glob("*.py") if path.stem != "__init__"]
    assert len(modules) >= 11
    code = "import sys\n" + "".join(f"import bimors_cli.scene.{m}\n" for m in modules)
    code += "print([m for m in ('torch', 'geopandas', 'pandas', 'pyogrio', 'pyproj') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
