"""Class names in other files than plain ones: read where only one reading is possible, else named for what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.errors import LabelsError
from bimors_cli.labels import parse_labels, read_labels

QGIS_VECTOR = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.16" styleCategories="Symbology">
 <renderer-v2 type="categorizedSymbol" attr="label"><categories>
  <category symbol="0" value="forest" label="Forest" render="true"/>
  <category symbol="1" value="river" label="" render="true"/>
  <category symbol="2" value="" label="" render="true"/>
 </categories><symbols>
  <symbol name="0" type="fill"><layer class="SimpleFill"><Option type="Map">
   <Option name="color" value="0,128,255,255" type="QString"/></Option></layer></symbol>
  <symbol name="1" type="fill"><layer class="SimpleFill"><prop k="color" v="1,2,3,255"/></layer></symbol>
 </symbols></renderer-v2></qgis>"""
QGIS_RASTER = """<?xml version="1.0"?>
<qgis><pipe><rasterrenderer type="paletted"><colorPalette>
 <paletteEntry value="1" label="forest" color="#00ff00" alpha="255"/>
 <paletteEntry value="2" label="river" color="#0000ff" alpha="255"/>
</colorPalette></rasterrenderer></pipe></qgis>"""


@pytest.mark.parametrize(
    "content, name, names, colours",
    [
        ('["pond", "farmland"]', "l.json", ["pond", "farmland"], None),
        ('[\n "pond",\n "farmland"\n]\n', "l.txt", ["pond", "farmland"], None),
        ('[{"id": 1, "class": "pond", "color": "#4477AA"}, {"class": "meadow"}]', "l", ["pond", "meadow"],
         ["#4477aa", None]),
        ("id,class,color\n1,pond,#4477aa\n2,farmland,#ddcc77\n", "l.csv", ["pond", "farmland"], ["#4477aa", "#ddcc77"]),
        ("id;class\n1;pond\n2;farmland\n", "l.csv", ["pond", "farmland"], None),
        ('id,name\n1,"shrub, scrub"\n2,"pond"\n', "l.txt", ["shrub, scrub", "pond"], None),
        ("id\tlabel\n1\tpond\n2\tfarmland\n", "l.txt", ["pond", "farmland"], None),
        ('class\n"shrub, scrub"\npond\n', "l.csv", ["shrub, scrub", "pond"], None),
        ("pond\nfarmland\n", "l.csv", ["pond", "farmland"], None),
        ("pond,\nfarmland,\nmeadow,\n", "l.txt", ["pond", "farmland", "meadow"], None),
        ("pond,\nfarmland\n", "l.txt", ["pond", "farmland"], None),
        ('"pond",\n"farmland"\n', "l.txt", ["pond", "farmland"], None),
        ("labels:\n  - pond\n  - 'farmland'\n", "l.yaml", ["pond", "farmland"], None),
        ("- pond\n- farmland\n", "l.txt", ["pond", "farmland"], None),
        ("11 70 107 159 Open Water\n12 209 222 248 Perennial Ice\n", "nlcd.clr", ["Open Water", "Perennial Ice"],
         ["#466b9f", "#d1def8"]),
        (QGIS_VECTOR, "style.qml", ["Forest", "river"], ["#0080ff", "#010203"]),
        (QGIS_RASTER, "style.qml", ["forest", "river"], ["#00ff00", "#0000ff"]),
        # plain labels files
        ("shrub, scrub\npond\n", "l.txt", ["shrub, scrub", "pond"], None),
        ("class\t#112233\nriver\n", "l.txt", ["class", "river"], ["#112233", None]),
        ("[bare] land\nriver\n", "l.txt", ["[bare] land", "river"], None),
        ("1 storey\n2 storeys\n", "l.txt", ["1 storey", "2 storeys"], None),
        ('"old" town\nriver\n', "l.txt", ['"old" town', "river"], None),
    ],
)  # fmt: skip
def test_read(content: str, name: str, names: list[str], colours: list[str | None] | None) -> None:
    labels = parse_labels(content.encode(), name)
    assert list(labels.names) == names
    assert [label.colour for label in labels.items] == (colours or [None] * len(names))


@pytest.mark.parametrize(
    "content, name, says",
    [
        (b'{"pond": 1}', "l.json", "JSON that is not a list of names"),
        (b'["pond", 7]', "l.json", "JSON that is not a list of names"),
        (b'["pond", ', "l.json", "looks like JSON, but cannot be read"),
        (b"1.pond\n2.farmland\n", "l.txt", "line 1: looks like a numbered list"),
        (b"1 pond\n2 farmland\n", "l.txt", "line 1: looks like a numbered list"),
        (b"1. pond\n1. farmland\n", "l.txt", "line 1: looks like a numbered list with a number twice"),
        (b"a,b\npond,x\nfarmland,y\n", "l.csv", "several columns, and none is called class or name"),
        (b"name,class\npond,x\nfarmland,y\n", "l.csv", "several columns with class names"),
        (b"id,class\n1,pond\n2,\n", "l.csv", "line 3: no class name"),
        (b"id,class\n1,pond\n2,pond\n", "l.csv", "line 3: 'pond' is already used .*line 2"),
        (b"id,class,color\n1,pond,blue\n2,x,\n", "l.csv", "line 2: 'blue' is not a colour"),
        (b"11 70 107 159\n12 209 222 248\n", "nlcd.clr", "a colour map without names"),
        (b"<!DOCTYPE qgis>\n<qgis/>", "s.qml", "a QGIS style without categories"),
        (b"<!DOCTYPE qgis [<!ENTITY a 'b'>]>\n<qgis/>", "s.qml", "entities"),
        (b"<!DOCTYPE qgis>\n<qgis>", "s.qml", "looks like XML, but cannot be read"),
        (b"PK\x03\x04rest", "l.xlsx", "not a labels file but an Excel workbook"),
        (b"SQLite format 3\x00", "l.gpkg", "not a labels file but a GeoPackage"),
        (b"\xff\xfep\xd8", "l.txt", "not UTF-8 text"),
    ],
)
def test_refused(content: bytes, name: str, says: str) -> None:
    with pytest.raises(LabelsError, match=says) as caught:
        parse_labels(content, name)
    assert "\n" not in caught.value.message and caught.value.hint


def test_utf_16_of_excel(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("Gewässer\r\nWiese\r\n".encode("utf-16"))
    assert read_labels(path).names == ("Gewässer", "Wiese")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


PIECES = ["[", "]", "{", chr(34), ",", "\n", "- ", "1. ", "class", "a", "b", ";", "\t", "<qgis>"]
WORD = st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=8)


@given(TEXTS | st.lists(st.sampled_from(PIECES)).map("".join), st.sampled_from(["l.txt", "l.csv"]))
def test_any_text_gives_labels_or_one_line(text: str, name: str) -> None:
    try:
        parse_labels(text.encode(), name)
    except LabelsError as error:
        assert "\n" not in error.message


@given(
    st.lists(
        st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=8),
        min_size=2,
        max_size=6,
        unique_by=str.casefold,
    )
)
def test_a_json_list_of_any_names(names: list[str]) -> None:
    """Whatever the names are, their JSON gives the same labels as the names themselves."""
    try:
        expected = parse_labels("\n".join(names).encode(), "l.txt").names
    except LabelsError:
        return
    assert parse_labels(json.dumps(names).encode(), "l.txt").names == expected
