"""The pages of the site: which file of the repository is which page, in which section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from docs.reference.api import api_page
from docs.reference.columns import columns_page
from docs.reference.commands import command_pages
from docs.reference.messages import errors_page, warnings_page
from docs.reference.models import model_pages
from docs.reference.provenance import provenance_page

ROOT: Final = Path(__file__).resolve().parents[2]
HOME: Final = "index.md"
# Entries of the navigation that are called otherwise than their pages.
TITLES: Final = {"guide.md": "Guide: everything on one page <{}>", "changelog.md": "Changes <{}>"}


@dataclass(frozen=True)
class Section:
    """A section of the navigation.

    ``pages`` maps a page, from the top of the site, to the file of the repository that it is, or to None if it is
    generated. A page with pages of its own has them in ``below``.
    """

    name: str
    title: str
    intro: str
    pages: Mapping[str, str | None]


SECTIONS: Final = (
    Section(
        "start",
        "Start",
        "From nothing to a map, then to a map that you can trust.",
        {
            "start.md": "docs/start.md",
            "tutorial.md": "docs/tutorial.md",
            "gallery.md": "docs/gallery.md",
            "examples.md": "examples/README.md",
            "examples/gallery.md": "examples/gallery/README.md",
        },
    ),
    Section(
        "howto",
        "How to",
        "One task a page, with commands to copy.",
        {
            "howto/sentinel2.md": "docs/howto/sentinel2.md",
            "howto/aerial.md": "docs/howto/aerial.md",
            "areas.md": "docs/areas.md",
            "howto/two-dates.md": "docs/howto/two-dates.md",
            "cluster.md": "docs/cluster.md",
            "howto/offline.md": "docs/howto/offline.md",
            "howto/qgis.md": "docs/howto/qgis.md",
            "bands.md": "docs/bands.md",
            "examples/qgis.md": "examples/qgis/README.md",
            "examples/slurm.md": "examples/slurm/README.md",
            "examples/aws-batch.md": "examples/aws-batch/README.md",
        },
    ),
    Section(
        "reference",
        "Reference",
        "Every command, option, column, model and message of this version.",
        {
            "guide.md": "README.md",
            "reference/commands/index.md": None,
            "reference/columns.md": None,
            "reference/provenance.md": None,
            "reference/models/index.md": None,
            "models.md": "docs/models.md",
            "weights/mini.md": "weights/mini/README.md",
            "weights/mini/heads.md": "weights/mini/heads.md",
            "weights/mini/heads-findings.md": "weights/mini/heads-findings.md",
            "reference/api.md": None,
            "reference/warnings.md": None,
            "reference/errors.md": None,
        },
    ),
    Section(
        "help",
        "Help",
        "Questions, limits, and where to read on.",
        {"faq.md": "docs/faq.md", "limits.md": "docs/limits.md"},
    ),
    Section(
        "project",
        "Project",
        "Changes, promises, licences, and how to take part.",
        {
            "changelog.md": "CHANGELOG.md",
            "compatibility.md": "docs/compatibility.md",
            "security.md": "SECURITY.md",
            "licences.md": "docs/licences.md",
            "contributing.md": "CONTRIBUTING.md",
            "tests/benchmarks.md": "tests/benchmarks/README.md",
        },
    ),
)

# Pages of the repository by their files, the home page among them.
SOURCES: Final = {HOME: "docs/index.md"} | {
    page: source for section in SECTIONS for page, source in section.pages.items() if source is not None
}


def generated_pages() -> dict[str, str]:
    """Return the pages that the declarations give, by their paths."""
    return {
        **command_pages(),
        **model_pages(),
        "reference/columns.md": columns_page(),
        "reference/provenance.md": provenance_page(),
        "reference/api.md": api_page(),
        "reference/warnings.md": warnings_page(),
        "reference/errors.md": errors_page(),
    }
