"""The tables that users write by hand or export from a spreadsheet: names of codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bimors_cli.errors import InputError
from bimors_cli.options.class_names import ClassNames, code_text, parse_class_names


def parse(tmp_path: Path, text: str, encoding: str = "utf-8") -> dict[str, str]:
    (tmp_path / "classes.csv").write_bytes(text.encode(encoding))
    return parse_class_names(str(tmp_path / "classes.csv")).as_dict()


@pytest.mark.parametrize(
    "text",
    [
        "11,water\n21,town\n",
        "code,name\n11,water\n21,town\n",
        "Wert;Klasse\r\n11;water\r\n21;town\r\n",
        "11\twater\n21\ttown",
        '"11","water"\n"21","town"\n',
        "# NLCD\n\n11.0, water ,\n021,town,,\n",
    ],
)
def test_ways_to_write_it(tmp_path: Path, text: str) -> None:
    assert parse(tmp_path, text) == {"11": "water", "21": "town"}


def test_byte_order_mark_quotes_and_codes_of_text(tmp_path: Path) -> None:
    assert parse(tmp_path, 'class;name\nW;"water; open"\nF;forêt\n', "utf-8-sig") == {"W": "water; open", "F": "forêt"}
    assert parse(tmp_path, "W,water\nF,forest\n") == {"W": "water", "F": "forest"}


def test_several_codes_have_one_name(tmp_path: Path) -> None:
    assert parse(tmp_path, "21,developed\n22,developed\n") == {"21": "developed", "22": "developed"}
    assert ClassNames.of({21: "town", "3.0": "forest"}).as_dict() == {"21": "town", "3": "forest"}


def test_one_way_of_writing_a_code() -> None:
    assert [code_text(each) for each in ("0", "0.0", "00", " 3.", "3.5", "W1", "", "-2.0", "1e3", ".0")] == [
        "0", "0", "0", "3", "3.5", "W1", "", "-2", "1e3", ".0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no rows"),
        ("code,name\n", "holds no rows"),
        ("11,water\n12\n", "line 2: 1 columns instead of 2"),
        ("11,water\n21,developed, open space\n", "line 2: 3 columns instead of 2"),
        ("11,water\n12,\n13,x\n", "line 2: no name"),
        ("11,water\n,town\n", "line 2: no code"),
        ("11,water\n11.0,town\n", "line 2: a second name for code 11: 'town'"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        parse(tmp_path, text)
    assert "\n" not in caught.value.message and caught.value.message.startswith(str(tmp_path))


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        parse_class_names(str(tmp_path / "nowhere.csv"))
    with pytest.raises(InputError, match="line 2: not UTF-8"):
        parse(tmp_path, "11,water\n12,Fluß\n", "latin-1")
