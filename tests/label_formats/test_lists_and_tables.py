"""Lists with numbers, bullets, quotes and colours; tables with titles, with codes and of one column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.errors import LabelsError
from bimors_cli.label_formats.row import hex_colour
from bimors_cli.labels import parse_labels

GREEN, BLUE = "#00ff00", "#0000ff"


def read(text: str, name: str = "l.txt") -> tuple[list[str], list[str | None]]:
    labels = parse_labels(text.encode(), name)
    return list(labels.names), [label.colour for label in labels.items]


@pytest.mark.parametrize(
    "text",
    [
        "1. pond\n2. shrub, scrub\n", "1) pond\n2) shrub, scrub", "(1) pond\n(2) shrub, scrub",
        "[1] pond\n[2] shrub, scrub",
        "1: pond\n2: shrub, scrub\n", "11 - pond\n12 - shrub, scrub\n", "0\tpond\n1\tshrub, scrub\n",
        "11;pond\n41;shrub, scrub\n", '11,pond\n41,"shrub, scrub"\n', "* pond\n* shrub, scrub",
        "• pond\n• shrub, scrub",
        "- pond\n- shrub, scrub", "labels:\n- pond\n- shrub, scrub", "“pond”\n“shrub, scrub”",
        "'pond',\n'shrub, scrub',",
        '"pond";\n"shrub, scrub";', "pond;\nshrub, scrub;\n", "„pond“\n„shrub, scrub“", "«pond»\n«shrub, scrub»",
        "pond\rshrub, scrub\r", "pond\r\nshrub, scrub\r\n", "pond\n\n# comment\nshrub, scrub",
        "a) pond\nb) shrub, scrub\n", "1=pond\n2 = shrub, scrub\n", "Legend:\n1 = pond\n2 = shrub, scrub\n",
        "- [ ] pond\n- [x] shrub, scrub\n", "pond\u2028shrub, scrub", '"class"\n"pond"\n"shrub, scrub"',
        "pond\n\u200bshrub,\u00a0scrub\n",
    ],
)  # fmt: skip
def test_forms_of_a_list(text: str) -> None:
    assert read(text) == (["pond", "shrub, scrub"], [None, None])


@pytest.mark.parametrize("separator", ["\t", ",", ", ", ";", " ", ": ", "="])
def test_colours_after_a_name(separator: str) -> None:
    assert read(f"pond{separator}#0000FF\nlake\nbare land{separator}#00ff00\n") == (
        ["pond", "lake", "bare land"], [BLUE, None, GREEN],
    )  # fmt: skip
    assert read(f"pond{separator}#0000FF\nbare land{separator}#00ff00\n", "l.csv")[1] == [BLUE, GREEN]


@pytest.mark.parametrize(
    "text",
    [
        "Value,Class_Name,Color\n1,pond,#00f\n2,\"shrub, scrub\",0,255,0\n".replace("0,255,0", '"0, 255, 0"'),
        "code;red;green;blue;name\n1;0;0;255;pond\n2;0;255;0;shrub, scrub\n",
        "sep=;\nLand_Cover;Hex\npond;0000FF\nshrub, scrub;00ff00\n",
        "class\tR\tG\tB\npond\t0\t0\t255\nshrub, scrub\t0\t255\t0\n",
        "class,label,color\n1,pond,#0000ff\n2,\"shrub, scrub\",#00ff00\n",
        "11,pond,#0000ff\n41,\"shrub, scrub\",#00ff00\n",
        "1 0 0 255 pond\n2 0 255 0 shrub, scrub\n",
        "1 0 0 255 255 pond\n2 0 255 0 255 shrub, scrub\n",
        "# QGIS Generated Color Map Export File\nINTERPOLATION:EXACT\n1,0,0,255,255,pond\n2,0,255,0,255,shrub, scrub\n",
        "OID_,Value,Red,Green,Blue,Class_Name\n0,1,0,0.0,1,pond\n1,2,0,1,0,\"shrub, scrub\"\n",
        "nv 0 0 0 0\n1 0 0 255 pond\n2 0 255 0 shrub, scrub\n",
    ],
)  # fmt: skip
def test_tables_with_colours(text: str) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        for ends in ("\n", "\r\n", "\r"):
            labels = parse_labels(text.replace("\n", ends).encode(encoding), "l.csv")
            assert labels.names == ("pond", "shrub, scrub"), (encoding, ends)
            assert [label.colour for label in labels.items] == [BLUE, GREEN]


def test_an_envi_header() -> None:
    text = (
        "ENVI\nclasses = 3\nclass lookup = {0,0,0, 0,0,255,\n 0,255,0}\nclass names = {Unclassified,\n pond, shrub}\n"
    )
    assert read(text, "map.hdr") == (["pond", "shrub"], [BLUE, GREEN])
    assert read("ENVI\nclass names = {pond, shrub}\n") == (["pond", "shrub"], [None, None])


def test_tables_of_other_columns() -> None:
    assert read("name\npond\nlake\n")[0] == read("class\npond\nlake\n", "l.csv")[0] == ["pond", "lake"]
    assert read("id,description\n1,pond\n2,lake\n", "l.csv")[0] == ["pond", "lake"]
    assert read("pond\nlake\n", "l.tsv")[0] == ["pond", "lake"]
    assert read("name\ngreen land\n")[0] == ["name", "green land"]  # two lines are two classes
    assert read("name,synonym\npond | pool,x\nlake,y\n")[0] == ["pond", "lake"]


@pytest.mark.parametrize(
    "text, name, says, hint",
    [
        ("1 pond\n2 lake\n3 river", "l.txt", "line 1: looks like a numbered list", "1,forest"),
        ("1.pond\n2.lake", "l.txt", "line 1: looks like a numbered list", "1,forest"),
        ("11\n21\n31\n", "l.txt", "holds numbers, not names", "name of each class"),
        ("My classes:\npond\nlake\n", "l.txt", "line 1: looks like a heading: 'My classes:'", "begin it with #"),
        ("[classes]\npond\nlake\n", "l.txt", "line 1: looks like a heading", "begin it with #"),
        ("<p>pond</p>\n<p>lake</p>\n", "l.txt", "looks like HTML or XML", "one class name per line"),
        ("| class |\n|---|\n| pond |\n", "l.txt", "looks like a table of Markdown", "one class name per line"),
        ("ENVI\nbands = 3\nsamples = 3\n", "l.hdr", "an ENVI header without class names", "one class name per line"),
        ("// my classes\npond\nlake\n", "l.txt", "line 1: looks like a comment", "with #"),
        ("1 0 0 255 7\n2 0 255 0 8", "l.clr", "a colour map without names", "add the class name"),
        ("INTERPOLATION:DISCRETE\n1,0,0,255,255,pond\n2,0,255,0,255,lake", "l.txt", "ranges of numbers", "palette"),
        ("id,name\n1,shrub, scrub\n2,pond\n", "l.txt", "line 2: 3 columns instead of 2", "double quotes"),
        ("shrub, scrub\npond\n", "l.csv", "several columns, and none is called class or name", "name the columns"),
        ("pond\nshrub, scrub\n", "l.csv", "line 2: 2 columns instead of 1", "double quotes"),
        ("id,class\n1,11\n2,21\n", "l.csv", "called class or name hold numbers", "name the columns"),
        ("name,class\npond,a\nlake,b\n", "l.csv", "several columns with class names: name, class", "name the columns"),
        ('id,class\n1,"pond\n2,lake\n', "l.csv", "line 2: unexpected end of data", "quotation mark"),
        ("pond,#00ff00\nlake,green\n", "l.csv", "line 2: not a name and a colour", "#2ca02c"),
        ("name,r,g,b\npond,0,0,300\nlake,0,0,1\n", "l.csv", "line 2: '0,0,300' is not a colour", "#2ca02c"),
        ("pond\t#0000ff80\nlake\n", "l.txt", "line 1: '#0000ff80' is not a colour", "#2ca02c"),
        ("Pond\nlake\npond\n", "l.txt", "line 3: 'pond' is already used .l.txt, line 1", "use each name"),
    ],
)  # fmt: skip
def test_refused(text: str, name: str, says: str, hint: str) -> None:
    with pytest.raises(LabelsError, match=says) as caught:
        read(text, name)
    assert "\n" not in caught.value.message and hint in str(caught.value.hint)


@pytest.mark.parametrize(
    "text", ["1 storey\n2 storeys\n", "Forest: evergreen\nForest: deciduous\n", "shrub - dense\nshrub - open\n",
             "o'neil\nl'eau\n", "10 m trees\n5 m shrubs\n10 m reed\n", "«old» town\nriver\n", "3rd order\n4th order\n"]
)  # fmt: skip
def test_plain_names_that_look_a_little_like_lists(text: str) -> None:
    assert read(text)[0] == text.splitlines()


@pytest.mark.parametrize(
    "text, colour",
    [("#2CA02C", "#2ca02c"), ("2ca02c", "#2ca02c"), ("#2c2", "#22cc22"), ("0x2CA02C", "#2ca02c"),
     ("44,160,44", "#2ca02c"),
     ("rgb(44, 160, 44)", "#2ca02c"), ("44 160 44 255", "#2ca02c"), ("[44, 160, 44]", "#2ca02c"), ("2c2", None),
     ("#2ca02c80", None), ("44,160", None), ("44,160,256", None), ("green", None), ("", None)],
)  # fmt: skip
def test_colours(text: str, colour: str | None) -> None:
    assert hex_colour(text) == colour


NAME = st.text(st.characters(categories=["L"]), min_size=2, max_size=6).map(lambda text: f"x{text} y")
NAMES = st.lists(NAME, min_size=2, max_size=5, unique_by=lambda name: name.casefold())
FORMS = [
    lambda names: "\n".join(f"{number}. {name}" for number, name in enumerate(names, 1)),
    lambda names: "\n".join(f"{number}\t{name}" for number, name in enumerate(names)),
    lambda names: "code;name;color\n" + "\n".join(f"{n};{name};#00000{n}" for n, name in enumerate(names)),
    lambda names: "\n".join(f'"{name}",' for name in names),
    lambda names: "\n".join(f"- {name}" for name in names),
    lambda names: "\n".join(f"{n} {n} 0 0 255 {name}" for n, name in enumerate(names)),
    lambda names: "classes:\n" + "\n".join(f"  {n}: {name}" for n, name in enumerate(names)),
    lambda names: "[" + ", ".join(f"'{name}'" for name in names) + "]",
]


@given(
    NAMES,
    st.sampled_from(FORMS),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_any_names_in_any_form(names: list[str], form: object, encoding: str, ends: str) -> None:
    try:
        expected = parse_labels("\n".join(names).encode(), "l.txt").names
    except LabelsError:  # two names are equal in normal form
        return
    text = form(names).replace("\n", ends)  # type: ignore[operator]
    assert parse_labels(text.encode(encoding), "l.txt").names == expected
