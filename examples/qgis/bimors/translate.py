"""Texts in the language of QGIS, from the catalogues in i18n. Does not import QGIS.

A catalogue is a file of Qt Linguist, `i18n/bimors_LANGUAGE.ts`. It is read as it is: nothing is compiled, so the plugin
also works as a copy of its folder.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

FOLDER = Path(__file__).with_name("i18n")

_current: dict[str, str] = {}
_ENGLISH = "en"
_language = _ENGLISH


def use(locale: str) -> None:
    """Use the language of a locale such as ``de`` or ``de_AT``; without a catalogue it is English."""
    global _language
    _current.clear()
    _language = locale.partition("_")[0].lower()
    path = FOLDER / f"bimors_{_language}.ts"
    if path.is_file():
        _current.update(read(path))
    else:
        _language = _ENGLISH


def language() -> str:
    """Return the language that is used, such as ``de``."""
    return _language


def read(path: Path) -> dict[str, str]:
    """Return the finished translations of a catalogue by their sources."""
    found = {}
    for message in ElementTree.parse(path).iter("message"):
        source, translation = message.find("source"), message.find("translation")
        if source is None or translation is None or translation.get("type") is not None:
            continue
        if source.text and translation.text:
            found[source.text] = translation.text
    return found


def tr(text: str) -> str:
    """Return a text in the language of QGIS; the text itself if it has no translation."""
    return _current.get(text, text)
