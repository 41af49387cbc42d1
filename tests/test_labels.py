"""The labels file."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.errors import LabelsError
from bimors_cli.labels import MAX_BYTES, Labels, normalized_name, parse_labels, read_labels


def test_names_colours_and_lines() -> None:
    labels = parse_labels(
        "\ufeff# land cover\n\n forest \t#00FF7f\nriver\t\r\n  # no label\nbare land\n".encode(), "l.txt"
    )
    assert labels.names == ("forest", "river", "bare land")
    assert [label.colour for label in labels.items] == ["#00ff7f", None, None]
    assert [labels.where(i) for i in range(3)] == ["l.txt, line 3", "l.txt, line 4", "l.txt, line 6"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no label"),
        (b"# only\n\n", "no label"),
        (b"forest", "only one label, 'forest'"),
        (b"forest\nriver\nFOREST\n", "line 3: 'FOREST' is already used .*line 1"),
        ("caf\u00e9\ncafe\u0301\n".encode(), "line 2: .* is already used"),
        (b"forest\nri\x00ver\n", "line 2: control character U\\+0000"),
        (b"forest\nri\x0bver\n", "line 2: control character U\\+000B"),
        (b"forest\nriver\tgreen\n", "line 2: 'green' is not a colour"),
        (b"forest\n\t#00ff00\n", "line 2: the label is empty"),
        (b"forest\n\xe9\n", "line 2: not UTF-8"),
        (b"x" * (MAX_BYTES + 1), "not a labels file"),
        (b"bare land\nforest\nBare_Land\n", "line 3: 'Bare_Land' is already used .*line 1"),
        (b"forest | woodland\nriver\nWoodland\n", "line 3: 'Woodland' is already used .*line 1"),
        (b"forest\nriver | Forest\n", "line 2: 'Forest' is already used .*line 1"),
        (b"a | tree_tops\nb | c | Tree  tops\n", "line 2: 'Tree  tops' is already used .*line 1"),
        (b"river\nforest | woods | WOODS\n", "line 2: 'WOODS' is already used .*line 2"),
        (b"forest |\nriver\n", "line 1: empty name before or after |"),
        (b"river\n| forest\n", "line 2: empty name before or after |"),
        (b"river\nforest | | woods\n", "line 2: empty name before or after |"),
        (b"river\n|\n", "line 2: empty name before or after |"),
        (b"river\nforest | wo\x0bods\n", "line 2: control character U\\+000B"),
        (b"river\nforest | " + b"x" * 1001, "line 2: label of 1,001 characters"),
        (b"forest | woodland\n", "only one label, 'forest'"),
    ],
)
def test_what_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(LabelsError, match=says.replace(" | ", r" \| ")) as caught:
        parse_labels(content, "l.txt")
    assert "\n" not in caught.value.message and len(caught.value.message) < 300


def test_other_scripts_quotes_and_markup_are_names() -> None:
    names = ["лес", "森林", "غابة", "🌲 wood", "<script>", "=cmd()", 'a "b"', "o'neil; drop table", "a,b"]
    assert parse_labels("\n".join(names).encode(), "l.txt").names == tuple(names)


@given(st.binary(max_size=200))
def test_any_bytes_give_labels_or_a_labels_error(content: bytes) -> None:
    try:
        labels = parse_labels(content, "l.txt")
    except LabelsError:
        return
    assert len(labels) >= 2 and len({name.casefold() for name in labels.names}) == len(labels)


WORDS = st.lists(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1), min_size=2, unique_by=str.casefold)


@given(WORDS)
def test_what_code_gives_is_checked_alike(names: list[str]) -> None:
    try:
        assert len(Labels.of(names)) == len(names)
    except LabelsError as error:
        # Equal after normalisation, or read alike; or a bar.
        assert "already" in error.message or any("|" in name for name in names)


@given(WORDS)
def test_names_of_the_data_itself_are_taken_as_they_are(names: list[str]) -> None:
    try:
        labels = Labels.literal(names)
    except LabelsError as error:
        assert "already" in error.message  # equal after normalisation
        return
    assert labels.names == tuple(unicodedata.normalize("NFC", name) for name in names)
    assert labels.all_names == labels.names and not labels.synonyms


def test_synonyms() -> None:
    labels = parse_labels(b"forest|woodland |  Trees\t#00ff00\nriver\nwater | open_water\n", "l.txt")
    assert labels.names == ("forest", "river", "water") and len(labels) == 3
    assert [label.names for label in labels.items] == [
        ("forest", "woodland", "Trees"), ("river",), ("water", "open_water"),
    ]  # fmt: skip
    assert labels.items[0].colour == "#00ff00" and labels.items[2].line == 3
    assert labels.all_names == ("forest", "woodland", "Trees", "river", "water", "open_water")
    assert labels.label_of_name == (0, 0, 0, 1, 2, 2)
    assert labels.synonyms == {"forest": ["woodland", "Trees"], "water": ["open_water"]}
    assert [item.names for item in Labels.of(["forest | woodland", "river"]).items] == [
        ("forest", "woodland"), ("river",),
    ]  # fmt: skip


# Numbers, quotes and commas at the ends have a meaning, see test_label_formats.py.
NAME = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="|#,;"), max_size=8).map("n".__add__)


@given(st.lists(st.lists(NAME, min_size=1, max_size=4), min_size=2, max_size=6), st.sampled_from([" | ", "|", "|  "]))
def test_lines_of_any_names_are_those_names_or_one_is_there_twice(lines: list[list[str]], bar: str) -> None:
    told = [[unicodedata.normalize("NFC", name) for name in line] for line in lines]
    normalized = [normalized_name(name) for line in told for name in line]
    text = "\n".join(bar.join(line) for line in lines)
    try:
        labels = parse_labels(text.encode(), "l.txt")
    except LabelsError as error:
        assert "already" in error.message and len(set(normalized)) < len(normalized)
        assert "l.txt, line" in error.message.split("(")[0] and "line" in error.message.split("(")[-1]
        return
    assert len(set(normalized)) == len(normalized)
    assert [list(label.names) for label in labels.items] == told
    assert labels.all_names == Labels.of([bar.join(line) for line in lines]).all_names


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="cannot be read"):
        read_labels(tmp_path / "none.txt")
    with pytest.raises(LabelsError, match="cannot be read"):
        read_labels(tmp_path)


def test_marks_of_joined_files_are_no_part_of_a_name() -> None:
    one, other = "\ufeffforest\n".encode(), "\ufeffriver\n".encode()
    assert parse_labels(one + other, "both").names == ("forest", "river")
