"""Links of Markdown: moved from the repository to the site, and checked without a builder."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Final

# A link or an image with its target, up to a title in quotes. Code is left out before.
_LINK: Final = re.compile(r"(\]\()([^)\s]+)(\)| \")")
_CODE: Final = re.compile(r"^(`{3,}).*?^\1`*$|``.+?``|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*:")
_HEADING: Final = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
_FENCE: Final = re.compile(r"^(`{3,}).*?^\1`*$", re.MULTILINE | re.DOTALL)


def links(text: str) -> Iterator[str]:
    """Yield the targets of the links and images of a page that are not addresses of other sites."""
    for found in _LINK.finditer(_CODE.sub("", text)):
        if not _ADDRESS.match(found[2]):
            yield found[2]


def moved(text: str, source: str, page: str, pages: Mapping[str, str], files: dict[str, str]) -> str:
    """Return a page with its links changed from files of the repository to those of the site.

    Parameters
    ----------
    text : str
        The Markdown of the page.
    source : str
        Its path in the repository, with slashes.
    page : str
        Its path in the site.
    pages : mapping of str to str
        Path in the repository to path in the site.
    files : dict of str to str
        As ``pages``, for files that are no pages: those that the page links to are added.

    Raises
    ------
    ValueError
        It links to a Markdown file that is no page.
    """

    def move(found: re.Match[str]) -> str:
        target, hash_, anchor = found[2].partition("#")
        if _ADDRESS.match(found[2]) or not target:
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        readme = posixpath.join(path, "README.md")
        if path in pages:
            new = pages[path]
        elif readme in pages:
            new = pages[readme]
        elif path.endswith(".md"):
            raise ValueError(f"{source} links to {path}, which is not a page: add it to docs/reference/navigation.py")
        else:
            new = files.setdefault(path, f"files/{path}")
        return f"{found[1]}{posixpath.relpath(new, posixpath.dirname(page) or '.')}{hash_}{anchor}{found[3]}"

    parts, last = [], 0
    for code in _CODE.finditer(text):
        parts += [_LINK.sub(move, text[last : code.start()]), code[0]]
        last = code.end()
    return "".join(parts) + _LINK.sub(move, text[last:])


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub and MyST make them."""
    found: dict[str, int] = {}
    result = set()
    for heading in _HEADING.finditer(_FENCE.sub("", text)):
        slug = _slug(heading[1])
        count = found.get(slug, 0)
        result.add(f"{slug}-{count}" if count else slug)
        found[slug] = count + 1
    return result


def _slug(heading: str) -> str:
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "").replace("\\", "")
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def broken(pages: Mapping[str, str], files: set[str]) -> list[str]:
    """Return every link of a site that leads nowhere, as ``page: target``.

    ``pages`` are the texts by their paths, ``files`` the paths of everything else.
    """
    known = {path: anchors(text) for path, text in pages.items()}
    result = []
    for path, text in pages.items():
        for link in links(text):
            target, _, anchor = link.partition("#")
            full = posixpath.normpath(posixpath.join(posixpath.dirname(path), target)) if target else path
            if full in files and not anchor:
                continue
            if full not in known or (anchor and anchor not in known[full]):
                result.append(f"{path}: {link}")
    return result
