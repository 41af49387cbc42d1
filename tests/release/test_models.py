"""docs/models.md is what the catalog says."""

from __future__ import annotations

import shlex

from typer.testing import CliRunner

from bimors_cli.bundle.catalog import captioners, entries
from bimors_cli.cli.main import app
from release.models import PAGE, page


def test_the_page_is_that_of_the_catalog() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it again: make models"


def test_it_has_all_bundles_captioners_and_sources() -> None:
    text = page()
    assert all(f"| `{entry.name}` |" in text for entry in entries())
    assert all(f"| `{name}` |" in text for name in captioners())
    for entry in entries():
        assert entry.training is not None and entry.zero_shot is not None
        assert entry.training.source in text and entry.zero_shot.protocol.source in text


def test_its_recommendation_runs() -> None:
    (command,) = (line for line in page().splitlines() if line.startswith("    bimors models recommend --gsd"))
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0 and "bimors models fetch llama3-ms-clip" in result.stdout, result.stderr
