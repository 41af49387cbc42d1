"""docs/models.md is what the catalog says."""

from __future__ import annotations

from bimors_cli.bundle.catalog import captioners, entries
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
