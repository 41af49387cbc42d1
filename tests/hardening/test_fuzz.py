"""Any bytes give a right answer or a BimorsError: labels, sizes and grids, manifests, journals, VRTs, vector files.

Quick by default; `make fuzz` runs longer (BIMORS_FUZZ is the number of examples a test).
"""

from __future__ import annotations

import json
import os
import uuid
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bimors_cli.bundle.adapter import read_adapter
from bimors_cli.bundle.manifest import bundle_of, read_bundle
from bimors_cli.errors import BimorsError, LabelsError
from bimors_cli.labels import normalized_name, parse_labels
from bimors_cli.pipeline.checkpoint.journal import Journal
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.redact import redact
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.mask import parse_nodata
from bimors_cli.scene.size import parse_overlap, parse_tile_size
from bimors_cli.scene.stretch import parse_stretch
from bimors_cli.scene.vector import check_vector_file
from bimors_cli.scene.vrt import check_vrt

fuzz = settings(
    max_examples=int(os.environ.get("BIMORS_FUZZ", "500")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def one_line(error: BimorsError) -> None:
    assert error.message and "\n" not in error.message and "\n" not in (error.hint or "")


# --- labels -----------------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [b"forest", b"river", b"\t", b"#", b"#ff0000", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\0", b" ", b"\xff", b"|", b"_"]
)


@fuzz
@given(st.binary(max_size=300) | st.lists(PIECES | st.text(max_size=4).map(str.encode), max_size=40).map(b"".join))
def test_labels(content: bytes) -> None:
    try:
        labels = parse_labels(content, "labels.txt")
    except LabelsError as error:
        return one_line(error)
    assert len(labels) >= 2 and len({normalized_name(name) for name in labels.all_names}) == len(labels.all_names)
    assert len(labels.label_of_name) == len(labels.all_names) and set(labels.label_of_name) == set(range(len(labels)))
    # What was read can be written and read again.
    lines = "".join(f"{' | '.join(item.names)}\t{item.colour or ''}\n" for item in labels.items)
    if not any(name.startswith("#") for name in labels.names):
        again = parse_labels(lines.encode(), "again")
        assert [(item.names, item.colour) for item in again.items] == [
            (item.names, item.colour) for item in labels.items
        ]


# --- options and the grid ---------------------------------------------------------------------------------------------


@fuzz
@given(st.text(max_size=20) | st.from_regex(r"-?[0-9]{0,14}\.?[0-9]{0,4} ?(px|m|km|%|)", fullmatch=True))
def test_sizes(text: str) -> None:
    for parse in (parse_tile_size, parse_overlap, parse_stretch, parse_nodata):
        try:
            parse(text)  # type: ignore[operator]
        except BimorsError as error:
            one_line(error)


SIDE = st.integers(-2, 70) | st.integers(-(2**40), 2**40)


@fuzz
@given(SIDE, SIDE, SIDE, SIDE, SIDE, SIDE)
def test_grid(width: int, height: int, tile_width: int, tile_height: int, stride_x: int, stride_y: int) -> None:
    try:
        grid = Grid(width, height, tile_width, tile_height, stride_x, stride_y)
    except BimorsError as error:
        return one_line(error)
    count = grid.rows * grid.cols
    places = range(count) if count <= 200 else [0, 1, grid.cols - 1, count // 2, count - 1]
    for index in places:
        tile = grid.tile(*divmod(index, grid.cols))
        assert grid.index(tile) == index and tile.width > 0 and tile.height > 0
        assert 0 <= tile.x <= tile.x + tile.width <= width and 0 <= tile.y <= tile.y + tile.height <= height
    last = grid.tile(grid.rows - 1, grid.cols - 1)
    assert (last.x + last.width, last.y + last.height) == (width, height)


# --- manifests --------------------------------------------------------------------------------------------------------

ENTRY = {"path": "clip/a.json", "size": 3, "sha256": "0" * 64}
BUNDLE = {
    "schema": 1, "name": "tiny", "description": "", "context": "a photo of a", "image_size": 32,
    "zero_shot_temperature": 1.0, "vocabulary": None, "licences": {}, "files": [ENTRY],
    "templates": ["a photo of a {}."],
}  # fmt: skip
ADAPTER = {
    "schema": 1, "name": "coast", "bundle": "tiny", "bundle_sha256": "0" * 64, "head": "bimors", "cache": False,
    "labels": ["forest", "river"], "temperature": 1.0, "training": {},
    "files": [{"path": "adapter.safetensors", "size": 3, "sha256": "0" * 64}],
}  # fmt: skip


@fuzz
@given(st.binary(max_size=200) | JSON.map(lambda v: json.dumps(v).encode()))
def test_manifests_of_any_content(tmp_path: Path, content: bytes) -> None:
    for name, read in (("manifest.json", read_bundle), ("adapter.json", read_adapter)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BimorsError) as caught:
            read(tmp_path)
        assert caught.value.message


@fuzz
@given(st.data())
def test_manifests_with_one_wrong_value(tmp_path: Path, data: st.DataObject) -> None:
    for name, read, good in (("manifest.json", read_bundle, BUNDLE), ("adapter.json", read_adapter, ADAPTER)):
        content: dict[str, Any] = json.loads(json.dumps(good))
        key = data.draw(st.sampled_from(sorted(content)))
        inside = key == "files" and data.draw(st.booleans())
        target, place = (content["files"][0], data.draw(st.sampled_from(sorted(ENTRY)))) if inside else (content, key)
        if data.draw(st.booleans()):
            del target[place]
        else:
            target[place] = data.draw(JSON)
        (tmp_path / name).write_text(json.dumps(content))
        try:
            opened = read(tmp_path)
        except BimorsError:
            continue
        assert all(not entry.path.startswith("/") and ".." not in entry.path for entry in opened.files)  # type: ignore[attr-defined]


def test_the_good_manifests_are_good(tmp_path: Path) -> None:
    assert bundle_of(tmp_path, BUNDLE).name == "tiny"
    (tmp_path / "adapter.json").write_text(json.dumps(ADAPTER))
    assert read_adapter(tmp_path).name == "coast"


# --- the journal ------------------------------------------------------------------------------------------------------

RUN = {"labels": ["forest", "river"]}
SIZES = [3, 2]
VALUE = JSON | st.tuples(st.integers(-2, 3), st.integers(-2, 4), st.none() | st.text(max_size=5), JSON, JSON, JSON).map(
    list
)


def line(value: Any) -> bytes:
    text = json.dumps(value).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


@fuzz
@given(
    st.lists(VALUE.map(line) | st.binary(max_size=30) | st.just(line([0, 1, "nodata", [], None, None])), max_size=6),
    st.none() | JSON | st.just({"bimors_journal": 1, "run": RUN}) | st.just({"bimors_journal": 1}),
)
def test_journals(tmp_path: Path, lines: list[bytes], header: Any) -> None:
    """Taken up with every record in its place, or refused; a refused one is left as it was."""
    path = tmp_path / f"{uuid.uuid4().hex}.bimors-journal"
    content = line(header) + b"".join(lines)
    path.write_bytes(content)
    try:
        with Journal(path, RUN, SIZES, resume=True) as journal:
            records = list(journal.results())
            assert journal.count() == len(records) and all(isinstance(record, TileResult) for record in records)
            journal.append([TileResult(1, 1, "nodata")])
            assert journal.is_done(1, 1)
    except BimorsError as error:
        one_line(error)
        assert path.read_bytes() == content
    finally:
        path.unlink(missing_ok=True)


# --- what leads elsewhere ---------------------------------------------------------------------------------------------


@fuzz
@given(st.text(max_size=80), st.sampled_from(["SourceFilename", "SourceDataset", "Argument", "x"]))
def test_vrts(text: str, tag: str) -> None:
    for content in (text, f"<VRTDataset><{tag} name='filename'>{text}</{tag}></VRTDataset>"):
        try:
            check_vrt(content, "scene.vrt")
        except BimorsError as error:
            assert error.message


@fuzz
@given(st.binary(max_size=200), st.sampled_from(["gpkg", "geojson", "shp", "kml", "fgb", "json"]))
def test_vector_files(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"aoi.{suffix}"
    for data in (content, b'{"crs":' + content, b'{"crs":{"type":' + content):
        path.write_bytes(data)
        try:
            check_vector_file(str(path))
        except BimorsError as error:
            assert error.message


SAFE = st.text("abcdefghij0123456789", min_size=1, max_size=8)


@fuzz
@given(
    SAFE,
    SAFE,
    st.text("hush&=%+-_.~", min_size=1, max_size=30),
    st.sampled_from(["", "/vsicurl/", "/vsizip//vsicurl/"]),
)
def test_no_query_is_shown(host: str, name: str, query: str, prefix: str) -> None:
    shown = redact(f"error: {prefix}https://user:HUSH@{host}/{name}.tif?SECRET{query} cannot be read")
    assert (
        "SECRET" not in shown
        and "HUSH" not in shown
        and shown.endswith(" cannot be read")
        and f"{host}/{name}" in shown
    )
