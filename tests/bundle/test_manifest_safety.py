"""Hostile and damaged bundles: exit 1, and one line that names the file and says why."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from typer.testing import CliRunner

from bimors_cli.bundle.files import is_plain_name, list_files, read_manifest
from bimors_cli.bundle.manifest import Bundle, open_bundle
from bimors_cli.bundle.safetensors_file import MAX_HEADER_BYTES, check_finite, check_header
from bimors_cli.bundle.store import verify_bundle
from bimors_cli.cli.main import app
from bimors_cli.errors import BundleError


@pytest.fixture
def copy(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle.folder, tmp_path / "copy"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def replaced(folder: Path, name: str) -> None:
    """Make the manifest promise what is in a file now: only the content's own checks are left."""
    (entry,) = list_files(folder, [name])

    def change(content: dict[str, Any]) -> None:
        (old,) = (one for one in content["files"] if one["path"] == name)
        old.update(size=entry.size, sha256=entry.sha256)

    edit(folder, change)


def refused(folder: Path, *words: str) -> str:
    """Run the command on it; returns the line."""
    result = CliRunner().invoke(app, ["models", "verify", str(folder)])
    lines = [line for line in result.stderr.splitlines() if not line.startswith("hint:")]
    assert result.exit_code == 1 and result.stdout == "" and len(lines) == 1, (result.exit_code, result.stderr)
    assert lines[0].startswith("error: ") and all(word in lines[0] for word in words), lines[0]
    return lines[0]


NAMES = [
    "../outside", "clip/../../x", "/etc/passwd", "C:x", "clip\\x", "", ".", "clip//x", "clip/./x", "clip/x/", "clip/ x",
    "clip/x.", "clip/a\nb", "clip/a\x00b", "clip/*", "clip/" + "x" * 300,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_not_plain(copy: Path, name: str) -> None:
    edit(copy, lambda content: content["files"][0].update(path=name))
    refused(copy, "manifest.json")
    with pytest.raises(BundleError, match="not a plain name"):
        open_bundle(copy)


@given(st.text(max_size=30))
def test_a_plain_name_never_leaves_its_folder(name: str) -> None:
    if is_plain_name(name):
        inside = os.path.normpath(os.path.join("/folder", name))
        assert inside.startswith("/folder/") and not Path(name).is_absolute() and "\\" not in name


def test_a_file_in_no_part(copy: Path) -> None:
    (copy / "notes.txt").write_text("x")
    edit(copy, lambda content: content["files"].append({"path": "notes.txt", "size": 1, "sha256": "0" * 64}))
    refused(copy, "manifest.json", "notes.txt")
    with pytest.raises(BundleError, match="not in one of the folders"):
        open_bundle(copy)


@pytest.mark.parametrize("name", ["clip/tokenizer.json", "clip/Tokenizer.JSON"])
def test_a_name_twice_and_in_another_case(copy: Path, name: str) -> None:
    def change(content: dict[str, Any]) -> None:
        content["files"].append({"path": name, "size": 1, "sha256": "0" * 64})

    edit(copy, change)
    refused(copy, "manifest.json", "twice", name)


@pytest.mark.parametrize("name", ["clip/model.bin", "clip/model.PT", "captioner/modeling_x.py"])
def test_names_of_code(copy: Path, name: str) -> None:
    edit(copy, lambda content: content["files"].append({"path": name, "size": 1, "sha256": "0" * 64}))
    refused(copy, name, "code")


def test_a_link(copy: Path, tmp_path: Path) -> None:
    path = copy / "clip" / "tokenizer.json"
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    refused(copy, "clip/tokenizer.json", "a link")


def test_a_part_that_is_a_link(copy: Path, tmp_path: Path) -> None:
    (copy / "clip").rename(tmp_path / "elsewhere")
    (copy / "clip").symlink_to(tmp_path / "elsewhere")
    refused(copy, "a link")


@pytest.mark.parametrize("name", ["clip/extra.json", "captioner/deep/er/extra.py", "caption_encoder/.hidden"])
def test_a_file_that_the_manifest_does_not_name(copy: Path, name: str) -> None:
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    (copy / name).write_text("x")
    refused(copy, name, "not in the manifest")


def test_what_lies_beside_the_parts_is_no_matter(copy: Path) -> None:
    (copy / "README.md").write_text("x")
    assert verify_bundle(copy)


def test_another_hash(copy: Path) -> None:
    path = copy / "captioner" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused(copy, "captioner/model.safetensors", "changed")


def test_another_size(copy: Path) -> None:
    with (copy / "captioner" / "model.safetensors").open("ab") as stream:
        stream.write(b"x")
    refused(copy, "captioner/model.safetensors", "according to the manifest")


def test_a_newer_schema(copy: Path) -> None:
    edit(copy, lambda content: content.update(schema=2))
    refused(copy, "manifest.json", "schema 2 is newer")


def test_an_older_schema_is_brought_up_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text('{"schema": 0, "title": "x"}')
    steps = {
        0: lambda content: {"name": content["title"]},
        1: lambda content: {**content, "files": []},
    }
    assert read_manifest(path, 2, steps) == {"schema": 2, "name": "x", "files": []}
    with pytest.raises(BundleError, match="schema 1 is older"):
        read_manifest(path, 2, {0: steps[0]})
    with pytest.raises(BundleError, match="schema 0 is older"):
        open_bundle(tmp_path)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda c: c.update(image_size=0), "$.image_size"),
        (lambda c: c.update(image_size="x"), "$.image_size"),
        (lambda c: c.update(zero_shot_temperature=-1), "$.zero_shot_temperature"),
        (lambda c: c.update(licences=["MIT"]), "$.licences"),
        (lambda c: c.update(vocabulary=[1]), "$.vocabulary[0]"),
        (lambda c: c["files"][0].update(sha256="x"), "$.files[0].sha256"),
        (lambda c: c["files"][0].update(size=-1), "$.files[0].size"),
        (lambda c: c["files"][0].update(link="x"), "$.files[0]"),
        (lambda c: c.update(files=[]), "$.files"),
        (lambda c: c.pop("context"), "context"),
        (lambda c: c.update(schema=True), "no schema number"),
    ],
)
def test_a_manifest_of_another_form_names_the_place(copy: Path, change: Callable[[Any], object], place: str) -> None:
    edit(copy, change)
    refused(copy, "manifest.json", place)


def test_a_manifest_too_deep_to_read(copy: Path) -> None:
    (copy / "manifest.json").write_text("[" * 100_000)
    refused(copy, "manifest.json", "not JSON")


def header(path: Path, text: bytes, tensors: bytes = b"", *, length: int | None = None) -> None:
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + tensors)


WEIGHTS = "captioner/model.safetensors"


def test_a_header_of_90_megabytes(copy: Path) -> None:
    with (copy / WEIGHTS).open("wb") as file:
        file.write((90 * 2**20).to_bytes(8, "little") + b"{")
        file.truncate(8 + 90 * 2**20)
    replaced(copy, WEIGHTS)
    refused(copy, WEIGHTS, "a header of 94,371,840 bytes")
    with pytest.raises(BundleError, match="header"):  # and not only when it is verified
        open_bundle(copy)


def one(dtype: str, shape: list[Any], offsets: list[Any]) -> bytes:
    return json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()


@pytest.mark.parametrize(
    ("text", "tensors", "why"),
    [
        (one("F32", [2], [0, 8]), b"\0" * 4, "outside the file"),
        (one("F32", [2], [4, 12]), b"\0" * 12, "follows a gap"),
        (one("F32", [3], [0, 8]), b"\0" * 8, "does not match its shape"),
        (one("F32", [2], [0, 8]), b"\0" * 12, "do not belong to any tensor"),
        (one("F32", [-2], [0, 8]), b"\0" * 8, "invalid offsets or shape"),
        (one("F32", [2.0], [0, 8]), b"\0" * 8, "invalid offsets or shape"),
        (one("F32", [2**70], [0, 8]), b"\0" * 8, "invalid offsets or shape"),
        (one("C64", [1], [0, 8]), b"\0" * 8, "dtype C64"),
        (one("F8_E4M3", [8], [0, 8]), b"\0" * 8, "dtype F8_E4M3"),
        (one("O", [1], [0, 8]), b"\0" * 8, "dtype O"),
        (one("F32", [2], [0])[:-1] + b"}", b"\0" * 8, "damaged header"),
        (b'{"a": 1}', b"", "damaged header"),
        (b"[]", b"", "damaged header"),
        (b"\xff\xfe", b"", "damaged header"),
        (b"[" * 100_000, b"", "damaged header"),
        (one("F32", [1], [0, 4])[:-1] + b"," + one("F32", [1], [0, 4])[1:], b"\0" * 4, "duplicate name"),
        (
            one("F32", [1], [0, 4])[:-1] + b"," + one("F32", [1], [0, 4])[1:].replace(b'"a"', b'"b"'),
            b"\0" * 4,
            "overlaps another tensor",
        ),
    ],
)
def test_headers_that_lie(copy: Path, text: bytes, tensors: bytes, why: str) -> None:
    header(copy / WEIGHTS, text, tensors)
    replaced(copy, WEIGHTS)
    refused(copy, WEIGHTS, why)


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x00" * 7, (1000).to_bytes(8, "little") + b"{}"])
def test_files_shorter_than_their_header(copy: Path, content: bytes) -> None:
    (copy / WEIGHTS).write_bytes(content)
    replaced(copy, WEIGHTS)
    refused(copy, WEIGHTS, "not a safetensors file")


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_check(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    path.write_bytes(content)
    try:
        check_finite(path)
    except BundleError as error:
        assert "\n" not in error.message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_weights_that_are_no_numbers(copy: Path, dtype: str, value: float) -> None:
    weights = np.zeros((3, 5), dtype)
    weights[2, 4] = value
    save_file({"fine": np.ones(3, dtype), "ids": np.full(3, -1, "int64"), "broken": weights}, copy / WEIGHTS)
    replaced(copy, WEIGHTS)
    refused(copy, WEIGHTS, "tensor broken")


@pytest.mark.parametrize(("bits", "finite"), [(0x7F80, False), (0xFFC1, False), (0x7F7F, True), (0x8000, True)])
def test_bfloat16(tmp_path: Path, bits: int, finite: bool) -> None:
    path = tmp_path / "b.safetensors"
    header(path, one("BF16", [3], [0, 6]), np.array([0x3F80, bits, 0], "<u2").tobytes())
    if finite:
        check_finite(path)
    else:
        with pytest.raises(BundleError, match="tensor a"):
            check_finite(path)


def test_largest_and_smallest_numbers_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    numbers = {
        dtype: np.array([np.finfo(dtype).max, np.finfo(dtype).min, np.finfo(dtype).smallest_subnormal, -0.0], dtype)
        for dtype in ("float16", "float32", "float64")
    }
    save_file({**numbers, "empty": np.zeros((0, 4), "float32"), "scalar": np.array(2.5)}, path)
    check_finite(path)
    assert {tensor.name for tensor in check_header(path)} == {*numbers, "empty", "scalar"}


def test_the_limit_leaves_room_for_every_model() -> None:
    """BLIP-2 has 1,248 tensors: about 130 bytes of header each."""
    assert MAX_HEADER_BYTES > 50 * 1248 * 130
