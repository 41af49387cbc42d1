"""The labels file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.errors import LabelsError
from bimors_cli.labels import MAX_BYTES, Labels, parse_labels, read_labels


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
        (b"forest\nriver\nFOREST\n", "line 3: 'FOREST' is there already .*line 1"),
        ("caf\u00e9\ncafe\u0301\n".encode(), "line 2: .* is there already"),
        (b"forest\nri\x00ver\n", "line 2: control character U\\+0000"),
        (b"forest\nri\x0bver\n", "line 2: control character U\\+000B"),
        (b"forest\nriver\tgreen\n", "line 2: 'green' is not a colour"),
        (b"forest\n\t#00ff00\n", "line 2: the label is empty"),
        (b"forest\n\xe9\n", "line 2: not UTF-8"),
        (b"x" * (MAX_BYTES + 1), "not a labels file"),
    ],
)
def test_what_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(LabelsError, match=says) as caught:
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


@given(st.lists(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1), min_size=2, unique_by=str.casefold))
def test_what_code_gives_is_checked_alike(names: list[str]) -> None:
    try:
        assert len(Labels.of(names)) == len(names)
    except LabelsError as error:
        assert "already" in error.message  # equal after normalisation


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="cannot be read"):
        read_labels(tmp_path / "none.txt")
    with pytest.raises(LabelsError, match="cannot be read"):
        read_labels(tmp_path)


def test_marks_of_joined_files_are_no_part_of_a_name() -> None:
    one, other = "\ufeffforest\n".encode(), "\ufeffriver\n".encode()
    assert parse_labels(one + other, "both").names == ("forest", "river")
