"""`bimors info`, `doctor`, `preview`, and what all commands share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import bimors_cli
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli import doctor
from bimors_cli.cli.console import duration
from bimors_cli.cli.main import app


def bimors(*args: object) -> Result:
    return CliRunner().invoke(app, [*map(str, args)])


@pytest.fixture
def scene(make_raster: Any) -> str:
    data = np.random.default_rng(0).integers(100, 3000, (3, 80, 100), dtype=np.uint16)
    data[:, :, :50] = 0
    return str(make_raster(data, nodata=0))


def test_info_says_what_would_be_read(scene: str) -> None:
    facts = json.loads(bimors("info", scene, "--tile-size", "200m", "--overlap", "50%", "--json").stdout)
    assert facts["crs"] == "EPSG:32618" and facts["pixel_size_m"] == [10, 10]
    assert facts["bands_used"] == [1, 2, 3] and facts["stretch"].startswith("percentile")
    assert facts["valid_share"] == pytest.approx(0.5, abs=0.02)
    assert facts["tile_size_px"] == [20, 20] and facts["stride_px"] == [10, 10]
    assert (facts["rows"], facts["cols"], facts["tiles"]) == (7, 9, 63)
    text = bimors("info", scene, "--tile-size", "200m").stdout
    assert "tile size" in text and "20 x 20 pixels" in text


def test_info_refuses_in_one_line(tmp_path: Path) -> None:
    result = bimors("info", tmp_path / "none.tif")
    assert result.exit_code == 2 and result.stdout == "" and result.stderr.startswith("error: ")


def test_doctor_finds_this_installation_well() -> None:
    result = bimors("doctor", "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 0 and report["problems"] == []
    assert report["versions"]["bimors-cli"] == bimors_cli.__version__
    assert report["geo"]["gpkg writable"] is True and report["bundles"]["mini"].startswith("verified")
    assert "cpu" in report["devices"] and "problems" in bimors("doctor").stdout


def test_doctor_ends_with_1_when_a_bundle_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bimors_cli.bundle.locate.embedded_bundle", lambda: tmp_path)
    result = bimors("doctor")
    assert result.exit_code == 1 and "problem: " in result.stderr
    monkeypatch.setattr(doctor, "DISTRIBUTIONS", ("no-such-thing",))
    assert "no-such-thing is not installed" in bimors("doctor").stderr


def test_preview_draws_the_layer_of_a_scene(scene: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
    layer = tmp_path / "out.gpkg"
    labels = tmp_path / "labels.txt"
    labels.write_text("forest\t#ff0000\nriver\t#ff0000\n")
    args = ("classify", scene, "-l", labels, "--model", tiny_bundle.folder, "--tile-size", 20, "-o", layer)
    assert bimors(*args).exit_code == 0
    result = bimors("preview", layer)
    assert result.exit_code == 0 and result.stdout == f"{tmp_path / 'out.png'}\n", result.stderr
    picture = np.asarray(Image.open(tmp_path / "out.png").convert("RGB")).astype(int)
    red = (picture[..., 0] > picture[..., 1] + 60).any(axis=0)
    assert red.any() and not red[: red.size // 6].any()  # the valid half is tinted, the empty half is not
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.txt", "out.gpkg", "out.png", "scene.tif"]
    again = bimors("preview", layer)
    assert again.exit_code == 2 and "--overwrite" in again.stderr
    assert bimors("preview", layer, "-o", tmp_path / "a.jpg").exit_code == 2
    Path(scene).unlink()
    gone = bimors("preview", layer, "--overwrite")
    assert gone.exit_code == 2 and "--scene" in gone.stderr


def test_preview_refuses_a_foreign_file(scene: str, tmp_path: Path) -> None:
    result = bimors("preview", scene, "-o", tmp_path / "x.png")
    assert result.exit_code == 2 and "Traceback" not in result.stderr


def test_version_and_help() -> None:
    assert bimors("--version").stdout == f"bimors {bimors_cli.__version__}\n"
    for command in ("classify", "info", "doctor", "preview"):
        result = bimors(command, "--help")
        assert result.exit_code == 0 and "Example: bimors" in " ".join(result.stdout.split())
        assert "--verbose" in result.stdout and "--quiet" in result.stdout
    assert bimors("nonsense").exit_code == 2


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.04, "0.0 s"), (42, "42 s"), (300, "5 min"), (5400, "1 h 30 min"), (90_061, "25 h 1 min")]
)
def test_duration(seconds: float, said: str) -> None:
    assert duration(seconds) == said
