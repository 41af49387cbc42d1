"""The bytes of labels files: encodings, and kinds of files that are not text."""

from __future__ import annotations

import io
import unicodedata
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.errors import LabelsError
from bimors_cli.labels import parse_labels


def zipped(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return data.getvalue()


@pytest.mark.parametrize(
    "data, says, hint",
    [
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook", "CSV UTF-8"),
        (zipped("[Content_Types].xml", "word/document.xml"), "a Word document", "plain text"),
        (zipped("mimetype", "content.xml"), "an OpenDocument spreadsheet", "CSV UTF-8"),
        (zipped("a.txt"), "an Excel workbook or another zip file", "plain text"),
        (b"PK\x03\x04cut", "an Excel workbook or another zip file", "plain text"),
        (b"\xd0\xcf\x11\xe0rest", "an old Excel or Word file", "CSV UTF-8"),
        (rb"{\rtf1\ansi forest\par river}", r"a rich text \(RTF\) file", "plain text"),
        (b"%PDF-1.7", "a PDF file", "plain text"),
        (b"\x1f\x8b\x08", "a gzip file", "unpack"),
        ("Gewässer\n".encode("cp1252"), "line 1: not UTF-8 text: in Windows-1252 it reads 'Gewässer'", "CSV UTF-8"),
        ("Gewässer\n".encode("utf-16")[:-1], "damaged as UTF-16", "UTF-8"),
    ],
)  # fmt: skip
def test_refused(data: bytes, says: str, hint: str) -> None:
    with pytest.raises(LabelsError, match=says) as caught:
        parse_labels(data, "l.txt")
    assert hint in str(caught.value.hint)


def test_normal_forms_and_invisible_characters() -> None:
    words = unicodedata.normalize("NFD", "Gewässer\nbare\u00a0land\nre\u00aded\u200b\n")
    assert parse_labels(words.encode(), "l.txt").names == ("Gewässer", "bare land", "reed")
    for other in ("bare land\nbare\u00a0land\n", "reed\nre\u200bed\n"):
        with pytest.raises(LabelsError, match=r"line 2: .* is already used"):
            parse_labels(other.encode(), "l.txt")


WORD = st.text(st.characters(categories=["L"], max_codepoint=0x24F), min_size=1, max_size=8).map(lambda w: f"a {w} z")


@given(
    st.lists(WORD, min_size=2, max_size=4, unique_by=lambda word: unicodedata.normalize("NFC", word).casefold()),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_any_names_in_any_unicode_encoding(names: list[str], encoding: str, ends: str) -> None:
    expected = [unicodedata.normalize("NFC", name) for name in names]
    assert list(parse_labels((ends.join(names) + ends).encode(encoding), "l.txt").names) == expected


@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b"\xff\xfe", b"PK\x03\x04", b"[", b"{", b"<qgis>", b"<?xml", b"- ", b"1. "]),
)
def test_any_bytes_give_labels_or_one_line(data: bytes, start: bytes) -> None:
    for name in ("l.txt", "l.csv", "l.yaml", "l.json"):
        try:
            parse_labels(start + data, name)
        except LabelsError as error:
            assert "\n" not in error.message
