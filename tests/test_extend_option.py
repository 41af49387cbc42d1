"""CONTRIBUTING's recipe for an option, performed from outside: one annotated field, and all else follows."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.command import command
from bimors_cli.cli.run_command import run_with_progress
from bimors_cli.errors import InputError
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.option import RUN, Option, RowKey
from bimors_cli.output.geopackage import read_provenance
from tests.conftest import MakeRaster


@dataclass(frozen=True, kw_only=True)
class ToyOptions(ClassifyOptions):
    season: Annotated[
        str,
        Option(
            "--season",
            "Season of the scene.",
            panel=RUN,
            rows=RowKey("season", only_if_changed=True),
            choices={"summer": "leaves", "winter": "no leaves"},
        ),
    ] = "summer"


@pytest.fixture
def app() -> typer.Typer:
    from bimors_cli.cli.main import _Group

    app = typer.Typer(cls=_Group)

    @app.command("classify")
    @command(ToyOptions)
    def classify(options: ToyOptions) -> None:
        """Classify."""
        from bimors_cli.pipeline.run import run

        run_with_progress(run, options, as_json=False)

    app.command("other")(lambda: None)
    return app


@pytest.fixture
def bimors(app: typer.Typer, make_raster: MakeRaster, tiny_bundle: Bundle, tmp_path: Path) -> object:
    (tmp_path / "labels.txt").write_text("forest\nriver\n")
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8))

    def run(*args: str) -> Result:
        how = ["-l", "labels.txt", "--model", str(tiny_bundle.folder), "--tile-size", "32", "--no-captions"]
        with contextlib.chdir(tmp_path):
            return CliRunner().invoke(app, ["classify", scene, *how, *args])

    return run


def test_an_option_is_one_field(app: typer.Typer, bimors: object, tmp_path: Path) -> None:
    assert callable(bimors)
    shown = CliRunner().invoke(app, ["classify", "--help"], env={"COLUMNS": "120", "TERMINAL_WIDTH": "120"}).stdout
    assert "--season" in shown and "Season of the scene." in shown and "summer|winter" in shown
    refused = bimors("--season", "spring")
    assert (refused.exit_code, refused.stdout) == (2, "") and "use one of summer, winter" in refused.stderr
    done = bimors("--season", "winter")
    assert done.exit_code == 0, done.stderr
    assert '"season": "winter"' in read_provenance(tmp_path / "scene.gpkg")["run"]
    assert bimors("--season", "winter", "--resume").exit_code == 0
    # --resume would mix rows of two seasons: it is refused.
    assert bimors("--season", "summer", "--resume").exit_code == 2


def test_python_takes_the_same_class() -> None:
    assert ToyOptions(season="winter").row_key()["season"] == "winter"
    assert "season" not in ToyOptions().row_key()
    with pytest.raises(InputError, match="--season spring"):
        ToyOptions(season="spring")
