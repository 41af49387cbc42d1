"""`bimors cache` from outside, and what classify and finetune say of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app


def bimors(*args: object, cwd: Path | None = None) -> Result:
    with contextlib.chdir(cwd or Path.cwd()):
        return CliRunner().invoke(app, [*map(str, args)])


@pytest.fixture
def scene(make_raster: Any) -> Path:
    return Path(make_raster(np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8)))


def classify(scene: Path, bundle: Bundle, *args: object) -> Result:
    labels = scene.with_name("labels.txt")
    labels.write_text("forest\nriver\n")
    command = ("classify", scene, "-l", labels, "--model", bundle.folder, "--tile-size", 32, "--overwrite", "--offline")
    return bimors(*command, *args, cwd=scene.parent)


def facts() -> dict[str, Any]:
    result = bimors("cache", "info", "--json")
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout))


def test_info_and_clear(scene: Path, tiny_bundle: Bundle, caption_cache: Path) -> None:
    nothing = {"entries": 0, "gists": 0, "bytes": 0, "limit": 2**30, "captioners": []}
    assert facts() == {"path": str(caption_cache), **nothing}
    assert not caption_cache.exists()
    assert "from the cache" not in classify(scene, tiny_bundle).stderr
    told = facts()
    (captioner,) = told["captioners"]
    assert told["entries"] == captioner["entries"] == 9 and told["bytes"] > 0 and captioner["bundle"] == "tiny"
    assert told["gists"] == 18  # an image feature and a context of each
    assert captioner["oldest"] <= captioner["newest"] and captioner["settings"].endswith("float32")
    text = bimors("cache", "info").stdout
    assert str(caption_cache) in text and "tiny (" in text and "9 captions" in text
    assert "9 of 9 captions were known, from the cache or an equal tile" in classify(scene, tiny_bundle).stderr
    result = bimors("cache", "clear")
    assert result.exit_code == 0 and result.stdout == "" and "deleted 9 captions" in result.stderr
    assert facts()["entries"] == facts()["gists"] == 0
    assert "deleted 0 captions" in bimors("cache", "clear").stderr


def test_no_caption_cache_touches_nothing(scene: Path, tiny_bundle: Bundle, caption_cache: Path) -> None:
    for args in (("--no-caption-cache",), ("--no-captions",)):
        result = classify(scene, tiny_bundle, *args)
        assert result.exit_code == 0, result.stderr
        assert not caption_cache.exists()


def test_a_home_that_cannot_be_written_is_no_error(
    scene: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIMORS_CACHE", "/proc/nobody")  # not even root makes a folder there
    result = classify(scene, tiny_bundle)
    assert result.exit_code == 0 and result.stdout == "scene.gpkg\n"
    assert result.stderr.count("caption cache is not used") == 1 and "Traceback" not in result.stderr


def test_a_damaged_cache_is_said_and_cleared(scene: Path, tiny_bundle: Bundle, caption_cache: Path) -> None:
    caption_cache.parent.mkdir(parents=True)
    caption_cache.write_bytes(b"\x00\x01" * 5000)
    result = classify(scene, tiny_bundle)
    assert result.exit_code == 0 and "bimors cache clear" in result.stderr
    result = bimors("cache", "info")
    assert result.exit_code == 1 and result.stderr.startswith("error: ") and "bimors cache clear" in result.stderr
    assert "deleted a damaged cache" in bimors("cache", "clear").stderr
    assert facts()["entries"] == 0


def test_a_wrong_size_is_refused(scene: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIMORS_CACHE_SIZE", "much")
    result = classify(scene, tiny_bundle)
    assert result.exit_code == 2 and "BIMORS_CACHE_SIZE=much" in result.stderr
    assert bimors("cache", "info").exit_code == 2


def test_the_users_cache_folder_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIMORS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = Path(facts()["path"])
    assert path.name == "captions.sqlite" and "bimors" in path.parts
    if sys.platform == "linux":
        assert path == tmp_path / "bimors" / "captions.sqlite"


def test_info_needs_no_torch() -> None:
    module = "bimors_cli.pipeline.inference.caption_cache"
    code = f"import sys; from {module} import clear_cache as c; c(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_finetune_takes_captions_from_it(tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    from bimors_cli.model.captioner import Captioner

    for name in ("forest", "river"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(4):
            pixels = np.random.default_rng(ord(name[0]) + i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{i}.png")
    command = ("finetune", "data", "--head", "bimors", "--shots", 2, "--epochs", 1, "--model", tiny_bundle.folder)
    result = bimors(*command, "-o", "first", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert facts()["entries"] == 8

    def refuse(*_: object) -> None:
        raise AssertionError("a picture was described again")

    monkeypatch.setattr(Captioner, "caption", refuse)
    result = bimors(*command, "-o", "second", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
