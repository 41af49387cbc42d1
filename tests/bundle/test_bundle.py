"""A bundle is used whole and unchanged, or not at all."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import ADAPTER, Bundle, open_bundle
from bimors_cli.errors import BundleError, InputError


@pytest.fixture
def copy(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle.folder, tmp_path / "copy"))


def edited(folder: Path, name: str, change: Callable[[dict[str, object]], object]) -> None:
    path = folder / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_copy_is_the_same_bundle(copy: Path, tiny_bundle: Bundle) -> None:
    assert open_bundle(copy).sha256 == tiny_bundle.sha256
    assert open_adapter(copy / ADAPTER, tiny_bundle).labels == ("forest", "river")


def test_every_frozen_file_is_in_the_manifest(copy: Path) -> None:
    found = {p.relative_to(copy).as_posix() for p in copy.rglob("*") if p.is_file() and p.parent.name != ADAPTER}
    assert found == {entry.path for entry in open_bundle(copy).files} | {"manifest.json"}


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "clip" / "tokenizer.json").unlink()
    with pytest.raises(BundleError, match=r"tokenizer\.json: missing"):
        open_bundle(copy)


def test_a_file_cut_short_is_named(copy: Path) -> None:
    path = copy / "captioner" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BundleError, match=r"model\.safetensors: \d+ bytes, \d+ according"):
        open_bundle(copy)


def test_one_changed_byte_is_found(copy: Path) -> None:
    path = copy / "captioner" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="changed since"):
        open_bundle(copy)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "clip/../../x", "C:x", "a\\b", ""])
def test_names_that_leave_the_folder_are_refused(copy: Path, name: str) -> None:
    edited(copy, "manifest.json", lambda c: c["files"][0].update(path=name))
    with pytest.raises(BundleError, match="not a plain name"):
        open_bundle(copy)


def test_links_are_refused(copy: Path, tmp_path: Path) -> None:
    path = copy / "clip" / "tokenizer.json"
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(BundleError, match="a link"):
        open_bundle(copy)


def test_a_newer_schema_says_so(copy: Path) -> None:
    edited(copy, "manifest.json", lambda c: c.update(schema=99))
    with pytest.raises(BundleError, match="newer"):
        open_bundle(copy)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 1}', '{"schema": 1, "files": [{}]}', "\x00"])
def test_a_damaged_manifest_is_one_line(copy: Path, content: str) -> None:
    (copy / "manifest.json").write_text(content)
    with pytest.raises(BundleError) as caught:
        open_bundle(copy)
    assert "\n" not in str(caught.value) and "manifest.json" in str(caught.value)


def test_an_adapter_of_another_bundle_is_refused(copy: Path) -> None:
    (copy / "clip" / "tokenizer_config.json").write_text("{}")
    edited(copy, "manifest.json", lambda c: c["files"].pop())
    bundle = open_bundle_without_check(copy)
    with pytest.raises(BundleError, match="another bundle"):
        open_adapter(copy / ADAPTER, bundle)


def open_bundle_without_check(folder: Path) -> Bundle:
    from dataclasses import replace

    content = json.loads((folder / "manifest.json").read_text())
    from bimors_cli.bundle.files import parse_files

    whole = Bundle(folder, "x", "", "a photo of a", 32, 1.0, None, {}, ())
    return replace(whole, files=parse_files(folder / "manifest.json", content))


def test_words_that_the_bundle_never_saw(tiny_bundle: Bundle) -> None:
    assert tiny_bundle.unknown_words("Forest") == ()
    assert tiny_bundle.unknown_words("solar_panels near water") == ("solar", "panels", "near")


def test_a_name_that_is_no_bundle_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--model"):
        find_bundle(str(tmp_path / "none"))
    with pytest.raises(InputError, match="not a bundle"):
        open_bundle(find_bundle(str(tmp_path)))


def test_nothing_unpickles() -> None:
    """Safetensors only: one place reads a pickle, weights only, and it runs in a process of its own."""
    root = Path(__file__).resolve().parents[2]
    found = {
        (path.relative_to(root).as_posix(), name)
        for folder in ("bimors_cli", "weights")
        for path in (root / folder).rglob("*.py")
        for name in _reads_pickles(ast.parse(path.read_text()))
    }
    convert = "bimors_cli/model/pickle_to_safetensors.py"
    assert found == {(convert, "pickle"), (convert, "torch.load")}
    assert 'torch.load(source, map_location="cpu", weights_only=True' in (root / convert).read_text()


def _reads_pickles(code: ast.AST) -> Iterator[str]:
    """What in a program could unpickle: modules that it imports, functions and options that it names."""
    modules = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in modules)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").partition(".")[0] in modules:
                yield node.module or ""
            if node.module in ("torch", "torch.serialization", "torch.jit", "torch.hub"):
                yield from (f"{node.module}.{a.name}" for a in node.names if a.name.startswith("load"))
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in (
            "torch.load",
            "torch.jit.load",
            "torch.hub.load",
        ):
            yield ast.unparse(node)
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            yield node.arg
