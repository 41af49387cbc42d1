"""What a bundle was trained on: in its manifest, in `models show` and `models new`, and not in its hash."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bimors_cli.bundle.locate import embedded_bundle
from bimors_cli.bundle.manifest import ADAPTER, MANIFEST, Bundle, open_bundle, read_bundle
from bimors_cli.bundle.schemas import check_schema
from bimors_cli.bundle.training_domain import TrainingDomain, parse_training_domain, read_training_domain
from bimors_cli.cli.main import app
from bimors_cli.errors import BundleError, InputError

DOMAIN = TrainingDomain((0.5, 8), (300, 4800), ("red", "green", "blue"), ("aerial photographs",))


@pytest.fixture
def copy(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle.folder, tmp_path / "copy"))


def state(folder: Path, domain: Any) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**content, "training_domain": domain}))


def test_mini_states_what_it_was_trained_on() -> None:
    domain = read_bundle(embedded_bundle()).training_domain
    assert domain is not None
    assert (domain.pixel_size_m, domain.tile_size_m) == ((0.5, 8), (300, 4800))
    assert domain.bands == ("red", "green", "blue") and "Google Earth imagery" in domain.sensors
    check_schema(Path("x"), json.loads((embedded_bundle() / MANIFEST).read_text()), "manifest")


def test_the_embedded_manifest_says_what_its_recipe_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "weights"))
    from recipe.bundle_stage import DOMAIN as of_recipe  # type: ignore[import-not-found, unused-ignore]

    domain = read_bundle(embedded_bundle()).training_domain
    assert domain is not None and of_recipe == replace(domain, image_feature=None)


def test_the_hash_is_that_of_the_files(copy: Path, tiny_bundle: Bundle) -> None:
    assert tiny_bundle.training_domain is None and "training_domain" not in (copy / MANIFEST).read_text()
    state(copy, DOMAIN.as_json())
    bundle = open_bundle(copy)
    assert bundle.training_domain == DOMAIN and bundle.sha256 == tiny_bundle.sha256
    adapter = json.loads((embedded_bundle() / ADAPTER / "adapter.json").read_text())
    assert read_bundle(embedded_bundle()).sha256 == adapter["bundle_sha256"]


def test_bands_and_sensors_may_be_left_out() -> None:
    least = {"pixel_size_m": [1, 1], "tile_size_m": [10, 20]}
    assert parse_training_domain(least) == TrainingDomain((1, 1), (10, 20))
    assert parse_training_domain(least).as_json() == least


@pytest.mark.parametrize(
    ("domain", "path"),
    [
        ({"pixel_size_m": [0.5, 8]}, "tile_size_m"),
        ({"pixel_size_m": [0.5], "tile_size_m": [1, 2]}, "pixel_size_m"),
        ({"pixel_size_m": [0, 8], "tile_size_m": [1, 2]}, "pixel_size_m"),
        ({"pixel_size_m": [True, 8], "tile_size_m": [1, 2]}, "pixel_size_m"),
        ({"pixel_size_m": [8, 0.5], "tile_size_m": [1, 2]}, "pixel_size_m"),
        ({"pixel_size_m": [1, 8], "tile_size_m": [1, 2], "bands": "red"}, "bands"),
        ([1, 2], "training_domain"),
        (None, "training_domain"),
    ],
)
def test_a_damaged_domain_is_named(copy: Path, domain: Any, path: str) -> None:
    state(copy, domain)
    with pytest.raises(BundleError, match=path) as caught:
        open_bundle(copy)
    assert "\n" not in caught.value.message


def test_a_file_with_a_domain(tmp_path: Path) -> None:
    file = tmp_path / "domain.json"
    file.write_text(json.dumps(DOMAIN.as_json()))
    assert read_training_domain(file) == DOMAIN
    for text in ("", "[]", "{}", '{"pixel_size_m": [2, 1], "tile_size_m": [1, 2]}', '{"pixel_size_m": 3}'):
        file.write_text(text)
        with pytest.raises(InputError, match="not a training domain"):
            read_training_domain(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_training_domain(tmp_path)


def test_models_show_has_it(copy: Path) -> None:
    def shown(*args: object) -> str:
        result = CliRunner().invoke(app, ["models", "show", *map(str, args)])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    text = shown("mini")
    assert "training domain, pixel size m" in text and "0.5 to 8" in text and "red, green, blue" in text
    assert json.loads(shown("mini", "--json"))["training_domain"]["tile_size_m"] == [300, 4800]
    assert "training domain" not in shown(copy)
    assert json.loads(shown(copy, "--json"))["training_domain"] is None
