"""A page about all algorithms: what they do, and what each parameter is. Does not import QGIS."""

from __future__ import annotations

from html import escape
from pathlib import Path

from .spec import Algorithm
from .specs import ALGORITHMS
from .translate import language, tr

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{max-width:50em;margin:2em auto;font-family:sans-serif;line-height:1.5}"
    "dt{font-weight:bold}"
)


def write(folder: Path) -> Path:
    """Write the page into a folder, and return its path."""
    path = folder / "bimors_help.html"
    path.write_text(page(), encoding="utf-8")
    return path


def page() -> str:
    """Return the page, in the language that `translate` uses."""
    contents = "".join(f'<li><a href="#{one.name}">{escape(tr(one.label))}</a></li>' for one in ALGORITHMS)
    parts = "".join(map(_part, ALGORITHMS))
    return (
        f'<!DOCTYPE html><html lang="{language()}"><head><meta charset="utf-8"><title>bimors</title>'
        f"<style>{_STYLE}</style></head><body><h1>bimors</h1><ul>{contents}</ul>{parts}</body></html>\n"
    )


def _part(algorithm: Algorithm) -> str:
    paragraphs = "".join(f"<p>{escape(text)}</p>" for text in tr(algorithm.help).split("\n\n"))
    rows = "".join(
        f"<dt>{escape(tr(one.label))} <code>{one.name}</code></dt><dd>{escape(tr(algorithm.tip(one)))}</dd>"
        for one in algorithm.parameters
    )
    command = f"<p>{escape(tr('Command of the program:'))} <code>bimors {algorithm.command}</code></p>"
    return f'<h2 id="{algorithm.name}">{escape(tr(algorithm.label))}</h2>{paragraphs}{command}<dl>{rows}</dl>'
