"""Wordlists: the class names of land cover maps, as labels, as names of codes, and as a file to edit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bimors_cli.errors import LabelsError
from bimors_cli.labels import Labels, parse_labels
from bimors_cli.options.class_names import parse_class_names
from bimors_cli.options.parse import named_labels, parse_labels_file
from bimors_cli.wordlists import read_wordlist, wordlist_names

LEGENDS = Path(__file__).parents[3] / "shared" / "wordlists" / "legends.json"


@pytest.mark.parametrize("name", wordlist_names())
def test_every_list_is_a_valid_labels_file(name: str) -> None:
    wordlist = read_wordlist(name)
    labels = wordlist.labels()
    assert parse_labels(wordlist.as_csv().encode(), "l.csv").names == labels.names
    assert parse_labels(wordlist.as_csv().encode(), "l.txt").names == labels.names
    assert Labels.of(labels.names).names == labels.names and labels.source == f"wordlist {name}"
    assert not any(">" in each or "|" in each or "_" in each or "(" in each for each in labels.names)
    colours = [label.colour for label in labels.items]
    if name in ("corine:1", "corine:2"):
        assert set(colours) == {None}
    else:
        again = parse_labels(wordlist.as_csv().encode(), "l.csv")
        assert [label.colour for label in again.items] == colours and None not in colours
        assert len(set(colours)) == len(colours)
    assert set(wordlist.names_by_code.values()) == set(labels.names)
    assert "licence" in wordlist.source and wordlist.title


def test_levels_of_corine() -> None:
    assert [len(read_wordlist(f"corine:{level}").labels()) for level in (1, 2, 3)] == [5, 15, 44]
    assert parse_labels_file("corine:1").names == (
        "Artificial surfaces", "Agricultural areas", "Forest and semi natural areas", "Wetlands", "Water bodies",
    )  # fmt: skip
    assert read_wordlist("corine").labels() == read_wordlist("CORINE:3").labels()
    groups = parse_class_names("corine:2").as_dict()
    assert groups["311"] == groups["313"] == "Forests" and groups["523"] == "Marine waters"
    # 31 is bare rocks in the raster editions and forests in the nomenclature: it has no name but at level 3.
    assert "31" not in groups and parse_class_names("corine:3").as_dict()["32"] == "Sparsely vegetated areas"
    assert parse_class_names("corine").as_dict()["44"] == parse_class_names("corine").as_dict()["523"]


def test_official_codes_and_colours() -> None:
    names = parse_class_names("nlcd").as_dict()
    assert names["42"] == "Evergreen forest" and names["21"] == "Developed, open space" and len(names) == 16
    assert parse_class_names("dynamic_world").as_dict()["0"] == "Water"
    assert parse_class_names("worldcover").source == parse_class_names("worldcover").origin == "wordlist worldcover"
    forest = next(label for label in parse_labels_file("NLCD").items if label.name == "Evergreen forest")
    assert forest.colour == "#1c5f2c"


@pytest.mark.shared
@pytest.mark.parametrize(
    "name, legend",
    [("nlcd", "nlcd_2021"), ("worldcover", "esa_worldcover"), ("dynamic-world", "dynamic_world"),
     ("copernicus", "copernicus_lc100"), ("corine", "corine_v20")],
)  # fmt: skip
def test_all_codes_of_the_published_legends(name: str, legend: str) -> None:
    if not LEGENDS.exists():
        pytest.skip("needs the shared folder")
    published = json.loads(LEGENDS.read_text())[legend]
    codes = {str(entry["value"]) for entry in published} - ({"0"} if name == "copernicus" else set())
    assert codes <= set(read_wordlist(name).names_by_code)


def test_a_file_of_the_same_name_is_used_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(named_labels("nlcd")) == 16 and not caplog.messages
    (tmp_path / "nlcd").write_text("forest\nriver\n")
    assert parse_labels_file("nlcd").names == ("forest", "river")
    assert caplog.messages == ["nlcd: the file of this name is used, not the wordlist: rename the file to use the list"]
    (tmp_path / "worldcover").write_text("10,trees\n")
    assert parse_class_names("worldcover").as_dict() == {"10": "trees"}


@pytest.mark.parametrize(
    "name, hint", [("nlcdd", "did you mean nlcd[?]"), ("dynamicwrld", "did you mean dynamic-world[?]"),
                   ("corine:4", "did you mean corine"), ("zzz", "wordlists: nlcd, worldcover, dynamic-world")],
)  # fmt: skip
def test_unknown_names(name: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for read in (parse_labels_file, parse_class_names):
        with pytest.raises(LabelsError, match="no file and no wordlist of this name") as caught:
            read(name)
        assert re.search(hint, caught.value.hint or "") and "corine:1" in (caught.value.hint or "")
    for path in (f"{name}.txt", f"lists/{name}"):
        with pytest.raises(LabelsError, match="cannot be read"):
            parse_labels_file(path)


def test_an_edited_list_names_labels_and_codes(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    text = read_wordlist("nlcd").as_csv().replace("Barren land,", "Bare rock,")
    path.write_text("\n".join(line for line in text.splitlines() if not line.startswith("12,")))
    assert "Bare rock" in parse_labels_file(str(path)).names
    names = parse_class_names(str(path)).as_dict()
    assert names["31"] == "Bare rock" and names["22"] == "Developed, low intensity" and "12" not in names
