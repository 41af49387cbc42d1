"""Folders of pictures and split files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bimors_cli.errors import InputError
from bimors_cli.options.scene import SceneOptions
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.few_shot import few_shot
from bimors_cli.training.examples.folders import from_folder
from bimors_cli.training.examples.split_file import from_split
from tests.conftest import MakeRaster


def picture(path: Path, shade: int = 100, mode: str = "RGB", size: tuple[int, int] = (6, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (shade,) * len(mode) if len(mode) > 1 else shade).save(path)
    return path


def listed(examples: Examples) -> list[tuple[str, str, str | None]]:
    return [(examples.labels.names[e.label], Path(e.source_id).name, e.split) for e in examples.examples]


def test_a_folder_a_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = tmp_path / "coast"
    for name in ("dense_residential/b.JPG", "dense_residential/a.png", "beach/x.tif", "beach/y.webp", "beach/z.jpeg"):
        picture(data / name)
    (data / "beach" / "notes.txt").write_text("not a picture")
    (data / "beach" / ".hidden.jpg").write_text("")
    (data / ".git").mkdir()
    (data / "readme.md").write_text("")
    caplog.set_level("INFO")
    examples = from_folder(data)
    assert listed(examples) == [
        ("beach", "x.tif", None),
        ("beach", "y.webp", None),
        ("beach", "z.jpeg", None),
        ("dense_residential", "a.png", None),
        ("dense_residential", "b.JPG", None),
    ]
    assert examples.name == "coast" and examples.description["source"] == "folder"
    assert "skipped 1 files that are not images" in caplog.text
    for i in range(5):
        image = examples.images.read(i)
        assert image is not None and image.shape == (3, 4, 6) and image.dtype == np.uint8
        assert abs(int(image[0, 0, 0]) - 100) <= 2


def test_parts(tmp_path: Path) -> None:
    for part in ("train", "Validation", "test"):
        for name in ("b", "a"):
            picture(tmp_path / part / name / "1.png")
    assert listed(from_folder(tmp_path)) == [(n, "1.png", p) for p in ("train", "val", "test") for n in ("a", "b")]


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    for name in ("test", "field", "train"):
        picture(tmp_path / name / "1.png")
    assert from_folder(tmp_path).labels.names == ("field", "test", "train")


def broken_folders(root: Path) -> dict[str, Path]:
    """Folders that cannot be used, by a word of what is said of each."""
    (root / "nothing").mkdir()
    (root / "note").write_text("")
    picture(root / "flat" / "a.jpg")
    picture(root / "single" / "only" / "a.jpg")
    picture(root / "gap" / "full" / "a.jpg")
    (root / "gap" / "hollow").mkdir()
    for name in ("train/a", "train/b", "val/a"):
        picture(root / "uneven" / name / "1.jpg")
    (root / "bare" / "train").mkdir(parents=True)
    (root / "bare" / "val").mkdir()
    for name in ("Lake", "lake"):
        picture(root / "case" / name / "1.jpg")
    return {
        "does not exist": root / "missing",
        "is a file": root / "note",
        "is empty": root / "nothing",
        "no class folder": root / "flat",
        "only the class 'only'": root / "single",
        "hollow holds no images": root / "gap",
        "val/ lacks b": root / "uneven",
        "train holds no class folder": root / "bare",
        "two spellings of one class: 'Lake', 'lake'": root / "case",
    }


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    for words, folder in broken_folders(tmp_path).items():
        with pytest.raises(InputError) as caught:
            from_folder(folder)
        assert words in caught.value.message and caught.value.exit_code == 2
        assert caught.value.hint and "\n" not in caught.value.message + caught.value.hint


def test_damaged_pictures_are_named_and_refused_by_the_share(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b"):
        for i in range(10):
            picture(tmp_path / name / f"{i}.jpg", size=(64, 64))
    (tmp_path / "a" / "text.jpg").write_text("<html>")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a" / "torn.jpg")
    torn = (tmp_path / "a" / "torn.jpg").read_bytes()
    (tmp_path / "a" / "torn.jpg").write_bytes(torn[: len(torn) // 2])
    (tmp_path / "b" / "none.png").write_bytes(b"")
    sample = few_shot(from_folder(tmp_path), 0, 0, max_unreadable=0.2)
    assert sorted(Path(where).name for where in sample.skipped) == ["none.png", "text.jpg", "torn.jpg"]
    assert all(name in caplog.text for name in ("none.png", "text.jpg", "torn.jpg"))
    with pytest.raises(InputError, match=r"3 of \d+ images cannot be read"):
        few_shot(from_folder(tmp_path), 0, 0)


def test_deep_pictures_are_stretched_as_scenes_are(tmp_path: Path, make_raster: MakeRaster) -> None:
    ramp = np.linspace(0, 4000, 64 * 64, dtype=np.uint16).reshape(1, 64, 64)
    dark = np.repeat(ramp, 3, axis=0)
    for name, data in (("a/1.tif", dark), ("a/2.tif", dark.astype(np.float32)), ("b/3.tif", ramp)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        make_raster(data, name=name, crs=None, transform=None)
    make_raster(np.concatenate([dark, dark[:2]]), name="b/4.tif")
    Image.fromarray(ramp[0]).save(tmp_path / "b" / "5.png")
    examples = from_folder(tmp_path)
    for i in range(5):
        image = examples.images.read(i)
        assert image is not None and image.shape == (3, 64, 64)
        assert image.min() == 0 and image.max() == 255 and 120 < image.mean() < 135
    swapped = from_folder(tmp_path, SceneOptions(bidx=(5,), stretch="0,8000"))
    image = swapped.images.read(3)
    assert image is not None and image.max() == 128
    with pytest.raises(InputError, match="no band 5"):  # an option that does not fit is no damage
        swapped.images.read(0)


def test_a_large_picture_is_read_smaller(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png", size=(3000, 1500))
    picture(tmp_path / "b" / "1.png")
    image = from_folder(tmp_path).images.read(0)
    assert image is not None and max(image.shape) == 1024 and (image == 100).all()


def test_a_picture_without_data_is_skipped(tmp_path: Path, make_raster: MakeRaster, caplog) -> None:  # type: ignore[no-untyped-def]
    for name in "ab":
        (tmp_path / name).mkdir()
        make_raster(np.zeros((3, 8, 8), np.uint8), name=f"{name}/1.tif", nodata=0)
    assert from_folder(tmp_path).images.read(0) is None
    assert "has no valid pixels" in caplog.text


def write_split(root: Path, value: Any, name: str = "set.json") -> Path:
    path = root / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


SPLIT = {
    "train": [["river/1.png", 1, "river"], ["bridge/1.png", 0, "bridge"]],
    "test": [["river/2.png", 1, "river"]],
}


def test_a_split_has_its_own_order(tmp_path: Path) -> None:
    value = {"train": [["a/1.png", 1, "alpha"], ["z/1.png", 0, "zulu"]], "val": [["a/2.png", 1, "alpha"]]}
    for part in value.values():
        for name, *_ in part:
            picture(tmp_path / "images" / str(name))
    examples = from_split(write_split(tmp_path, value))
    assert examples.labels.names == ("zulu", "alpha") and examples.name == "set"
    assert listed(examples) == [("alpha", "1.png", "train"), ("zulu", "1.png", "train"), ("alpha", "2.png", "val")]
    assert examples.images.read(0) is not None
    assert from_folder(tmp_path).examples == examples.examples
    write_split(tmp_path, value, "other.json")
    with pytest.raises(InputError, match=r"several split files: other\.json, set\.json"):
        from_folder(tmp_path)


def test_pictures_of_a_split_elsewhere(tmp_path: Path) -> None:
    path = write_split(tmp_path, SPLIT)
    with pytest.raises(InputError, match=r"folder of the images of set\.json not found") as caught:
        from_split(path)
    assert caught.value.hint and "--images" in caught.value.hint
    for name in ("river/1.png", "bridge/1.png"):
        picture(tmp_path / "there" / name)
    with pytest.raises(InputError, match=r"1 of 3 images not found in .*, first: river/2.png"):
        from_split(path, tmp_path / "there")
    picture(tmp_path / "there" / "river/2.png")
    assert len(from_split(path, tmp_path / "there")) == 3


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no list of images under 'train'"),
        ({"val": SPLIT["train"]}, "no list of images under 'train'"),
        ({"train": {"a": 1}}, "'train' is not a list"),
        ({"train": [["a/1.png", 0]]}, "train 1: not [path, label, class]"),
        ({"train": [["a/1.png", True, "a"]]}, "not [path, label, class]"),
        ({"train": [["a/1.png", "0", "a"]]}, "not [path, label, class]"),
        ({"train": [["a/1.png", 0, "a"], ["../1.png", 1, "b"]]}, "train 2: '../1.png' is outside the folder"),
        ({"train": [["/etc/passwd", 0, "a"]]}, "is outside the folder"),
        ({"train": [["C:\\x\\1.png", 0, "a"]]}, "is outside the folder"),
        ({"train": [["..\\1.png", 0, "a"]]}, "is outside the folder"),
        ({"train": [["", 0, "a"]]}, "is outside the folder"),
        ({"train": [["1.png", 0, "a"], ["2.png", 0, "b"]]}, "label 0 is 'a' and 'b'"),
        ({"train": [["1.png", 0, "a"], ["2.png", 2, "b"]]}, "no image has label 1"),
        ({"train": [["1.png", 0, "a"], ["2.png", 1, "a"]]}, "'a' has two labels"),
        ({"train": [["1.png", 0, "a"]], "val": [["1.png", 0, "a"]]}, "1.png is listed twice, again in 'val'"),
        ({"train": [["1.png", 0, "a"]]}, "only the class 'a'"),
    ],
)
def test_splits_that_cannot_be_used(tmp_path: Path, value: Any, words: str) -> None:
    picture(tmp_path / "images" / "1.png")
    picture(tmp_path / "images" / "2.png")
    with pytest.raises(InputError) as caught:
        from_split(write_split(tmp_path, value))
    assert words in caught.value.message and "\n" not in caught.value.message and caught.value.hint


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the split file"):
        from_split(tmp_path / "none.json")


@pytest.mark.shared
def test_the_published_split(shared: Path) -> None:
    examples = from_split(shared / "splits" / "rsicd.json", shared / "imagery" / "rsicd" / "images")
    counts = {part: sum(e.split == part for e in examples.examples) for part in ("train", "val", "test")}
    assert counts == {"train": 4887, "val": 2112, "test": 3001}
    assert len(examples.labels) == 30 and examples.labels.names[0] == "center"
    sample = few_shot(examples, 2, 0)
    assert (len(sample.train), len(sample.validation), sample.skipped) == (60, 60, ())
    image = examples.images.read(sample.train[0])
    assert image is not None and image.shape == (3, 150, 150)
    with Image.open(examples.examples[sample.train[0]].source_id) as original:
        assert np.abs(image.astype(int) - np.asarray(original).transpose(2, 0, 1)).mean() < 1
