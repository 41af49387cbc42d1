"""HTML pages that are one file, which a browser opens from disk without network access."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from bimors_cli.errors import BimorsError, OutputError
from bimors_cli.output.atomic import replacing
from bimors_cli.results.layer_view import check_suffix

QUALITY: Final = 78  # of JPEG: 0.2 to 0.35 bytes a pixel of an aerial image


def write_page(
    path: Path,
    template: str,
    values: Mapping[str, Any],
    *,
    scripts: Sequence[str],
    styles: Sequence[str],
    overwrite: bool,
    filters: Mapping[str, Callable[..., str]] | None = None,
) -> None:
    """Write a page piece by piece; the file is complete or not written at all.

    Labels, captions, notes and file names are untrusted: the template escapes all but its own script, style and JPEGs,
    and its Content-Security-Policy allows exactly that script and style.

    Parameters
    ----------
    path : Path
        The page.
    template : str
        Name of the template in ``page/``; it gets ``values``, and ``script``, ``style`` and their hashes.
    values : mapping
        Values of the template; an iterable is read while the page is written.
    scripts, styles : sequence of str
        Names of files in ``page/``, concatenated to one script and one style in this order; the first script sets
        strict mode.
    overwrite : bool
        Replace an existing page.
    filters : mapping, optional
        Filters of the template.

    Raises
    ------
    InputError
        ``path`` does not end in .html.
    OutputExistsError, OutputError
        As `atomic.replacing`. Errors of ``values`` pass unchanged.
    """
    check_page_name(path)
    environment = Environment(
        loader=PackageLoader("bimors_cli.results", "page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update({"count": lambda number: f"{number:,}", **(filters or {})})
    script, style = ("\n".join(map(_page_file, names)) for names in (scripts, styles))
    stream = environment.get_template(template).stream(
        **values, script=script, style=style, script_hash=_csp_hash(script), style_hash=_csp_hash(style)
    )
    stream.enable_buffering(64)
    with replacing(path, overwrite=overwrite) as built:
        try:
            with built.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(stream)
        except BimorsError:
            raise
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror or error}", "check the free disk space") from error


def check_page_name(path: Path) -> None:
    """Raise InputError if the name of a file is not that of an HTML page."""
    check_suffix(path, (".html", ".htm"), "the report is an HTML page")


def jpeg_bytes(image: Image.Image, quality: int = QUALITY) -> bytes:
    """Encode an image as JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def base64_text(data: bytes) -> str:
    """Encode bytes for a data URI."""
    return base64.b64encode(data).decode("ascii")


def _page_file(name: str) -> str:
    return (files("bimors_cli.results") / "page" / name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    """Return the source expression that allows exactly this text in a Content-Security-Policy."""
    return "sha256-" + base64_text(hashlib.sha256(text.encode()).digest())
