"""An adapter says which head it is, and is refused where its manifest makes no sense."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bimors_cli.bundle.adapter import WEIGHTS, open_adapter, write_adapter_manifest
from bimors_cli.bundle.manifest import ADAPTER, Bundle
from bimors_cli.errors import BundleError
from bimors_cli.options.heads import HEADS


@pytest.fixture
def folder(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle.part(ADAPTER), tmp_path / "coast"))


def edit(folder: Path, **values: Any) -> None:
    path = folder / "adapter.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def write(folder: Path, bundle: Bundle, **values: Any) -> str:
    labels = ["forest", "bare land"]
    content = {"name": "coast", "head": "bimors", "labels": labels, "temperature": 0.5, "training": {}, **values}
    return write_adapter_manifest(folder, bundle, **content).sha256


@pytest.mark.parametrize(
    ("head", "cache"),
    [(h.stored_name, c) for h in HEADS.values() for c in (True, False) if c or not h.needs_tip_adapter],
)
def test_what_is_written_is_read(folder: Path, tiny_bundle: Bundle, head: str, cache: bool) -> None:
    write(folder, tiny_bundle, head=head, cache=cache, training={"seed": "1"})
    adapter = open_adapter(folder, tiny_bundle)
    assert (adapter.head, adapter.cache, adapter.temperature) == (head, cache, 0.5)
    assert adapter.labels == ("forest", "bare land") and adapter.training == {"seed": "1"}


def test_cards_and_figures_beside_the_weights_are_no_part_of_it(folder: Path, tiny_bundle: Bundle) -> None:
    before = open_adapter(folder, tiny_bundle)
    for name in ("README.md", "metrics.json", "confusion.png"):
        (folder / name).write_text("{}")
    (folder / "figures").mkdir()
    assert open_adapter(folder, tiny_bundle) == before
    assert [entry.path for entry in before.files] == [WEIGHTS]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"head": "best"}, "unknown head 'best'"),
        ({"head": None}, "unknown head"),
        ({"head": "cache", "cache": False}, "cache is false"),
        ({"cache": "false"}, "cache is not a boolean"),
        ({"labels": "forest"}, "labels is not a list"),
        ({"labels": []}, "at least two"),
        ({"labels": ["forest", " "]}, "empty"),
        ({"labels": ["forest", "river", "Forest"]}, "already used"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"training": []}, "damaged"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused_by_name(
    folder: Path, tiny_bundle: Bundle, values: dict[str, Any], message: str
) -> None:
    edit(folder, **values)
    with pytest.raises(BundleError, match=message) as caught:
        open_adapter(folder, tiny_bundle)
    assert "adapter.json" in caught.value.message and "\n" not in caught.value.message


@pytest.mark.parametrize("key", ["head", "cache", "labels", "temperature", "training", "files"])
def test_a_missing_key_is_refused(folder: Path, tiny_bundle: Bundle, key: str) -> None:
    path = folder / "adapter.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != key}))
    with pytest.raises(BundleError, match="damaged"):
        open_adapter(folder, tiny_bundle)


def test_its_identity_is_that_of_its_answers(folder: Path, tiny_bundle: Bundle) -> None:
    """Two runs with one identity have equal rows: not only the weights decide them."""
    same = {
        write(folder, tiny_bundle),
        write(folder, tiny_bundle, name="other"),
        write(folder, tiny_bundle, training={"seed": "2"}),
    }
    assert len(same) == 1
    others = [
        write(folder, tiny_bundle, head="coop"),
        write(folder, tiny_bundle, cache=True),
        write(folder, tiny_bundle, labels=["bare land", "forest"]),
        write(folder, tiny_bundle, temperature=0.6),
    ]
    (folder / WEIGHTS).write_bytes((2).to_bytes(8, "little") + b"{}")  # safetensors without a tensor
    others.append(write(folder, tiny_bundle))
    assert len(same.union(others)) == 6
