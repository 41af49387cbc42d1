"""The sources of the site, put together: pages of the repository, generated pages, and the files that they show."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from docs.reference.links import moved
from docs.reference.markdown import directive, page
from docs.reference.navigation import HOME, ROOT, SECTIONS, SOURCES, TITLES, Section, generated_pages

# Pages below a generated page: those of its folder.
_INDEX: Final = "/index.md"


@dataclass(frozen=True)
class Site:
    """The sources of the site: ``pages`` are texts by path, ``files`` paths in the site by path in the repository."""

    pages: dict[str, str]
    files: dict[str, str]

    def write(self, folder: Path) -> None:
        """Write everything to a folder, whose earlier content is removed."""
        if folder.exists():
            shutil.rmtree(folder)
        for path, text in self.pages.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        for source, path in self.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, folder / path)


def assemble() -> Site:
    """Put the site together.

    Raises
    ------
    ValueError
        A generated page is in no section, or a page of a section does not exist.
    """
    generated = generated_pages()
    places = {source: path for path, source in SOURCES.items()}
    # Pages of docs/ link to generated ones as if these lay next to them, which they do in the site only.
    places |= {f"docs/{path}": path for path in generated}
    files: dict[str, str] = {}
    pages = {
        path: moved((ROOT / source).read_text(encoding="utf-8"), source, path, places, files)
        for path, source in SOURCES.items()
    }
    pages |= {path: _with_tree(path, text) for path, text in _with_children(generated).items()}
    pages |= {f"{section.name}/index.md": _section_page(section) for section in SECTIONS}
    pages[HOME] += "\n" + _tree(["start/index", *(f"{section.name}/index" for section in SECTIONS[1:])], hidden=True)
    listed = {path for section in SECTIONS for path in section.pages}
    if missing := listed - set(pages):
        raise ValueError(f"pages of the navigation that do not exist: {sorted(missing)}")
    return Site(pages, files)


def _with_children(generated: dict[str, str]) -> dict[str, str]:
    """Return generated pages; each is listed in a section, or lies in the folder of an index that is."""
    listed = {path for section in SECTIONS for path in section.pages}
    folders = [path.removesuffix("index.md") for path in listed if path.endswith(_INDEX)]
    for path in generated:
        if path not in listed and not any(path.startswith(folder) for folder in folders):
            raise ValueError(f"{path} is in no section of the navigation")
    return generated


def _with_tree(path: str, text: str) -> str:
    """Return an index page with the tree of the pages in its folder, which a theme shows next to it."""
    if not path.endswith(_INDEX):
        return text
    return text + "\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"


def _section_page(section: Section) -> str:
    up = [TITLES.get(path, "{}").format(f"/{path.removesuffix('.md')}") for path in section.pages]
    return page(section.title, section.intro, _tree(up, hidden=False))


def _tree(entries: list[str], *, hidden: bool) -> str:
    return directive("toctree", "", "\n".join(_tree_lines(entries, hidden)))


def _tree_lines(entries: list[str], hidden: bool) -> Iterator[str]:
    yield ":hidden:" if hidden else ":maxdepth: 1"
    yield ""
    yield from entries
