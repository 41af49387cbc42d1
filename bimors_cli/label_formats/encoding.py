"""The bytes of a labels file as text: which encoding it has, and which kinds of files are not text."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from typing import Final

from bimors_cli.errors import LabelsError
from bimors_cli.label_formats.row import PLAIN

_AS_CSV: Final = "open it in the spreadsheet program and save it as CSV UTF-8"
_AS_TEXT: Final = f"save the names as plain text: {PLAIN}"
_BINARY: Final = {
    b"\xd0\xcf\x11\xe0": ("an old Excel or Word file", "save it as CSV UTF-8, or as plain text"),
    b"SQLite format 3\x00": ("a GeoPackage or another SQLite file", _AS_TEXT),
    b"%PDF": ("a PDF file", _AS_TEXT),
    b"{\\rtf": ("a rich text (RTF) file", "save it as plain text: in TextEdit Format, Make Plain Text"),
    b"II*\x00": ("a TIFF file", "for the names of its codes give it to finetune with --examples"),
    b"MM\x00*": ("a TIFF file", "for the names of its codes give it to finetune with --examples"),
    b"\x89PNG": ("a PNG image", _AS_TEXT),
    b"\xff\xd8\xff": ("a JPEG image", _AS_TEXT),
    b"\x1f\x8b": ("a gzip file", "unpack it first"),
    b"PAR1": ("a Parquet file", _AS_TEXT),
    b"\x00\x00\x27\x0a": ("a shapefile", _AS_TEXT),
}
# Members by which the contents of a zip file are recognised.
_ZIPPED: Final = {
    "xl/": ("an Excel workbook", _AS_CSV),
    "word/": ("a Word document", _AS_TEXT),
    "content.xml": ("an OpenDocument spreadsheet or text", _AS_CSV),
}
# Invisible: marks of joined files, zero width spaces, soft hyphens.
_INVISIBLE: Final = dict.fromkeys(map(ord, "\ufeff\u200b\u2060\u00ad"))
_SPACES: Final = dict.fromkeys(map(ord, "\u00a0\u2007\u202f"), " ")


def decoded(data: bytes, source: str) -> str:
    """Return the text of a labels file: UTF-8 or UTF-16, with line feeds.

    No-break spaces are spaces, and invisible characters are left out: in names they would differ and look the same.

    Raises
    ------
    LabelsError
        It is a binary file, or in another encoding.
    """
    _refuse_binary(data, source)
    encoding = _encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _not_utf8(data, encoding, error, source) from error
    if "\n" not in text:  # as old programs for the Mac end lines
        text = text.replace("\r", "\n")
    text = text.replace("\u2028", "\n").replace("\u2029", "\n")
    return text.translate(_INVISIBLE).translate(_SPACES)


def _refuse_binary(data: bytes, source: str) -> None:
    for start, (what, hint) in _BINARY.items():
        if data.startswith(start):
            raise LabelsError(f"{source}: not a labels file but {what}", hint)
    if data.startswith(b"PK\x03\x04"):
        what, hint = _zipped(data)
        raise LabelsError(f"{source}: not a labels file but {what}", hint)


def _zipped(data: bytes) -> tuple[str, str]:
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        names = []
    found = (kind for start, kind in _ZIPPED.items() if any(name.startswith(start) for name in names))
    return next(found, ("an Excel workbook or another zip file", "save the names as CSV UTF-8 or as plain text"))


def _encoding(data: bytes) -> str:
    if data.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    # UTF-16 without its mark: in the other byte order line feeds, letters and spaces are rare signs.
    if b"\x00" in data and len(data) % 2 == 0:
        found = [encoding for encoding in ("utf-16-le", "utf-16-be") if _is_text(data, encoding)]
        if len(found) == 1:
            return found[0]
    return "utf-8"


def _is_text(data: bytes, encoding: str) -> bool:
    text = data.decode(encoding, "replace")
    odd = any(unicodedata.category(c) in ("Cc", "Cn", "Co") and c not in "\r\n\t" for c in text)
    return not odd and "\ufffd" not in text and ("\n" in text or "\r" in text)


def _not_utf8(data: bytes, encoding: str, error: UnicodeDecodeError, source: str) -> LabelsError:
    if encoding != "utf-8":
        return LabelsError(f"{source}: not UTF-8 text, and damaged as UTF-16", "save the file as UTF-8")
    line = data[: error.start].count(b"\n")
    guess = data.split(b"\n")[line].decode("cp1252", "replace").strip()
    shown = f": in Windows-1252 it reads {guess[:40]!r}" if guess.isprintable() and "\ufffd" not in guess else ""
    hint = "save the file as UTF-8; in Excel as type CSV UTF-8, in Notepad with encoding UTF-8"
    return LabelsError(f"{source}, line {line + 1}: not UTF-8 text{shown}", hint)
