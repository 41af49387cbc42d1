"""Class names in JSON and YAML."""

from __future__ import annotations

import pytest

from bimors_cli.errors import LabelsError
from bimors_cli.labels import parse_labels

GREEN, BLUE = "#00ff00", "#0000ff"


@pytest.mark.parametrize(
    "text, name",
    [
        ('{"labels": ["pond", "lake"]}', "l.json"), ("['pond', 'lake']", "l.txt"), ('["pond", "lake",]', "l.json"),
        ('{"0": "pond", "1": "lake"}', "l.json"), ('{"10": "lake", "9": "pond"}', "l.json"),
        ('{"pond": 0, "lake": 1}', "class_to_idx.json"), ('{"lake": 2, "pond": 1}', "l.json"),
        ('{"images": [], "categories": [{"id": 1, "name": "pond"}, {"id": 2, "name": "lake"}]}', "coco.json"),
        ('{"id2label": {"0": "pond", "1": "lake"}, "label2id": {"pond": 0, "lake": 1}}', "config.json"),
        ("[pond, lake]", "l.txt"), ("names: [pond, lake]", "data.yaml"), ("names: [pond, lake]", "l.txt"),
        ("# data\npath: x\nnc: 2\nnames:\n  0: pond\n  1: lake\n", "data.yaml"), ("---\n- pond\n- lake\n", "l.txt"),
        ("1: pond\n2: lake\n", "l.txt"), ("pond: 0\nlake: 1\n", "l.yml"), ("- name: pond\n- name: lake\n", "l.txt"),
        ("classes:\n  - pond # a comment\n  - 'lake'\n", "l.yaml"), ("pond\nlake\n", "l.yaml"),
    ],
)  # fmt: skip
def test_names(text: str, name: str) -> None:
    labels = parse_labels(text.encode(), name)
    assert labels.names == ("pond", "lake") and {label.colour for label in labels.items} == {None}


@pytest.mark.parametrize(
    "text, name",
    [
        ('{"pond": "#0000FF", "lake": "#00ff00"}', "l.json"), ('{"pond": [0, 0, 255], "lake": [0, 255, 0]}', "l.json"),
        ('[{"Name": "pond", "Colour": "0,0,255"}, {"Name": "lake", "Colour": [0, 255, 0]}]', "l.json"),
        ('{"1": {"name": "pond", "color": "#0000ff"}, "2": {"name": "lake", "color": "#00ff00"}}', "l.json"),
        ("pond: '#0000ff'\nlake: '#00ff00'\n", "l.txt"), ("- pond: '#0000ff'\n- lake: '#00ff00'\n", "l.yaml"),
        ("- name: pond\n  color: '#0000ff'\n- name: lake\n  color: '#00ff00'\n", "l.txt"),
        ("classes:\n  - {name: pond, color: '#0000ff'}\n  - {name: lake, color: '#00ff00'}\n", "l.yaml"),
    ],
)  # fmt: skip
def test_names_with_colours(text: str, name: str) -> None:
    labels = parse_labels(text.encode(), name)
    assert [(label.name, label.colour) for label in labels.items] == [("pond", BLUE), ("lake", GREEN)]


def test_words_that_yaml_reads_as_truth_and_numbers_stay_words() -> None:
    assert parse_labels(b"- no\n- on\n- null\n- 012 road\n", "l.yaml").names == ("no", "on", "null", "012 road")
    assert parse_labels(b"0: yes\n1: 1e3 m\n", "l.yaml").names == ("yes", "1e3 m")


@pytest.mark.parametrize(
    "text, name, says",
    [
        ('{"type": "CIMLayerDocument", "layers": []}', "l.lyrx", "an ArcGIS layer file"),
        ('{"type": "FeatureCollection", "features": []}', "l.json", r"features \(FeatureCollection\), not class names"),
        ('{"pond": 1, "pond": 2}', "l.json", "'pond' occurs twice"),
        ("pond: 1\npond: 2\n", "l.yaml", "'pond' occurs twice"),
        ('{"pond": 1, "lake": 1}', "l.json", "JSON that is not a list of names"),
        ('{"labels": ["a"], "classes": ["b"]}', "l.json", "JSON that is not a list of names"),
        ("[[1, 2], [3]]", "l.json", "JSON that is not a list of names"),
        ('{"pond": true, "lake": false}', "l.json", "JSON"),
        ("a: [b\n", "l.yaml", "looks like YAML, but cannot be read"),
        ("a: {b: c}\n", "l.yaml", "YAML that is not a list"),
        ("[" * 3000, "l.json", "looks like JSON, but cannot be read"), ("a: &x [*x]\nb: 1\n", "l.yaml", "YAML"),
        ('["pond", "lake"', "l.json", "looks like JSON, but cannot be read"),
        ("- !!python/object/apply:os.system [id]\n- b\n", "l.yaml", "YAML that is not a list"),
    ],
)  # fmt: skip
def test_refused(text: str, name: str, says: str) -> None:
    with pytest.raises(LabelsError, match=says) as caught:
        parse_labels(text.encode(), name)
    assert "\n" not in caught.value.message and len(caught.value.message) < 300 and caught.value.hint
