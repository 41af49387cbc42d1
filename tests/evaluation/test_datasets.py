"""Folders and split files as data sets with a test part."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

from bimors_cli.errors import InputError
from bimors_cli.evaluation.datasets import open_data_sets
from bimors_cli.options.scene import SceneOptions


def fill(folder: Path, classes: tuple[str, ...], count: int) -> Path:
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (4, 4), (i, i, i)).save(folder / name / f"{i}.png")
    return folder


def split(path: Path, rows: dict[str, list[list[object]]]) -> str:
    path.write_text(json.dumps(rows))
    return str(path)


def test_a_folder_without_parts_is_parted_by_the_hash_of_class_and_file(tmp_path: Path) -> None:
    folder = fill(tmp_path / "coast", ("beach", "forest"), 60)
    (found,) = open_data_sets([str(folder)], [], SceneOptions())
    assert found.name == "coast" and found.classes == ("beach", "forest")
    parts = {Path(e.source_id).parent.name + "/" + Path(e.source_id).name: e.split for e in found.examples.examples}
    for name, part in parts.items():
        last = hashlib.sha1(name.encode()).digest()[-1]
        assert part == ("test" if last < 77 else "val" if last < 103 else "train")
    # A picture keeps its part when others come.
    fill(tmp_path / "coast", ("river",), 60)
    (again,) = open_data_sets([str(folder)], [], SceneOptions())
    assert (
        parts.items()
        <= {
            Path(e.source_id).parent.name + "/" + Path(e.source_id).name: e.split for e in again.examples.examples
        }.items()
    )
    assert again.sha256 != found.sha256


@pytest.mark.shared
def test_rsscn7_is_parted_as_its_readme_says(shared: Path) -> None:
    (found,) = open_data_sets([str(shared / "imagery" / "rsscn7" / "images")], [], SceneOptions())
    assert found.name == "rsscn7" and len(found.examples) == 2800 and len(found.test_rows()) == 838


def test_the_fingerprint_changes_with_a_picture_and_not_with_its_place(tmp_path: Path) -> None:
    prints = []
    for place in ("here", "there"):
        folder = fill(tmp_path / place / "coast", ("beach", "forest"), 30)
        prints.append(open_data_sets([str(folder)], [], SceneOptions())[0].sha256)
    assert prints[0] == prints[1]
    Image.new("RGB", (4, 4), (9, 9, 200)).save(tmp_path / "here" / "coast" / "beach" / "0.png")
    assert open_data_sets([str(tmp_path / "here" / "coast")], [], SceneOptions())[0].sha256 != prints[0]


def test_a_split_file_keeps_its_order_and_its_parts(tmp_path: Path) -> None:
    fill(tmp_path / "images", ("river", "beach"), 3)
    rows = {
        part: [[f"{name}/{i}.png", label, name] for label, name in enumerate(("river", "beach"))]
        for i, part in enumerate(("train", "val", "test"))
    }
    source = split(tmp_path / "coast.json", rows)
    for images in ([], [str(tmp_path / "images")]):
        (found,) = open_data_sets([source], images, SceneOptions())
        assert found.name == "coast" and found.classes == ("river", "beach")
        assert len(found.test_rows()) == 2


def test_refusals(tmp_path: Path) -> None:
    fill(tmp_path / "images", ("river", "beach"), 3)
    one = {"train": [["river/0.png", 0, "river"], ["beach/0.png", 1, "beach"]]}
    source = split(tmp_path / "a.json", one)
    with pytest.raises(InputError, match="no test split"):
        open_data_sets([split(tmp_path / "b.json", {**one, "val": [["river/1.png", 0, "river"]]})], [], SceneOptions())
    with pytest.raises(InputError, match="no test image of class 'beach'"):
        open_data_sets([split(tmp_path / "c.json", {**one, "test": [["river/1.png", 0, "river"]]})], [], SceneOptions())
    with pytest.raises(InputError, match="2 times for 1 split"):
        open_data_sets([source], ["x", "y"], SceneOptions())
    with pytest.raises(InputError, match="2 times for 3 split"):
        open_data_sets([source, source, source], ["x", "y"], SceneOptions())
    good = {**one, "test": [["river/1.png", 0, "river"], ["beach/1.png", 1, "beach"]]}
    (tmp_path / "other").mkdir()
    first = split(tmp_path / "d.json", good)
    second = split(tmp_path / "other" / "d.json", good)
    with pytest.raises(InputError, match="two data sets have the name 'd'"):
        open_data_sets([first, second], [str(tmp_path / "images")], SceneOptions())
