"""Bundles share equal files: none is fetched twice or stored twice, and the last owner frees the space."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bimors_cli.bundle import shared_files
from bimors_cli.bundle.archive import pack_bundle, unpack_bundle
from bimors_cli.bundle.fetch import fetch_bundle
from bimors_cli.bundle.listing import list_bundles
from bimors_cli.bundle.manifest import CLIP, MANIFEST, Bundle
from bimors_cli.bundle.shared_files import bytes_to_fetch, local_files
from bimors_cli.bundle.store import installed, remove_bundle, verify_bundle
from bimors_cli.errors import BundleError
from bimors_cli.model.pickle_to_safetensors import convert as convert_here
from tests.bundle.hub_server import Hub
from tests.bundle.test_fetch import entry_for, fetch, from_pickle, home, hub, pickled, with_clip

__all__ = ["home", "hub"]
WEIGHTS = "captioner/model.safetensors"


def size_of(bundle: Bundle) -> int:
    """Bytes of the files that the catalog names."""
    return sum(one.size for one in bundle.files if not one.path.endswith(("open_clip_config.json", "extra.json")))


def test_the_second_bundle_links_what_the_first_has(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    entry = entry_for(tiny_bundle)
    first = fetch(entry, home / "tiny")
    hub.requests.clear()
    reports: list[str] = []
    second = fetch(replace(entry, name="other"), home / "other", reports)
    # Only what the catalog has no hash of and the hub none of a known kind (extra.json).
    assert [path.rpartition("/")[2] for path, _ in hub.downloads()] == ["extra.json"]
    assert any("are already here: in tiny" in line for line in reports)
    assert verify_bundle(second.folder).name == "other"
    own = {one.path for one in second.files if (second.folder / one.path).stat().st_nlink == 1}
    assert own == {"caption_encoder/extra.json", "clip/open_clip_config.json"}
    assert (first.folder / WEIGHTS).samefile(second.folder / WEIGHTS)


def test_a_part_of_another_kind_is_fetched_alone(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    entry = entry_for(tiny_bundle)
    bundle = fetch(entry, home / "tiny")
    local = local_files(installed().values())
    assert bytes_to_fetch(entry, local) == 0
    changed = replace(entry.parts[CLIP], files=(*(replace(f, sha256="0" * 64) for f in entry.parts[CLIP].files),))
    other = replace(entry, name="other", parts={**entry.parts, CLIP: changed})
    assert bytes_to_fetch(other, local) == sum(f.size or 0 for f in entry.parts[CLIP].files)
    assert bytes_to_fetch(entry, local_files([])) == size_of(bundle)


def test_a_converted_pickle_is_neither_fetched_nor_converted_again(
    hub: Hub, home: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["tiny/clip"]["ckpt/tiny.pt"] = pickled(tiny_bundle)
    entry = with_clip(entry_for(tiny_bundle), lambda source: from_pickle(source, "ckpt/tiny.pt"))
    first = fetch_bundle(entry, home / "tiny", convert_here, lambda _line: None, progress=False)
    hub.requests.clear()

    def never(*_: object) -> None:
        raise AssertionError("converted again")

    second = fetch_bundle(replace(entry, name="other"), home / "other", never, lambda _line: None, progress=False)
    assert not any(path.endswith(".pt") for path, _ in hub.downloads())
    path = "clip/open_clip_model.safetensors"
    assert (first.folder / path).samefile(second.folder / path)
    # The record of the second is as good as that of the first: both are held to the same pickle.
    remove_bundle("tiny")
    remove_bundle("other")
    hub.repositories["tiny/clip"]["ckpt/tiny.pt"] = pickled(tiny_bundle, epoch=1)
    for name in ("tiny", "other"):
        with pytest.raises(BundleError, match=r"tiny\.pt is not the expected file"):
            fetch(replace(entry, name=name), home / name)


def test_a_changed_file_is_not_shared(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    entry = entry_for(tiny_bundle)
    first = fetch(entry, home / "tiny")
    content = bytearray((first.folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (first.folder / WEIGHTS).write_bytes(content)
    second = fetch(replace(entry, name="other"), home / "other")
    assert verify_bundle(second.folder)
    assert not (first.folder / WEIGHTS).samefile(second.folder / WEIGHTS)


@pytest.mark.parametrize("damage", ["{", '{"schema": 99}'])
def test_a_damaged_bundle_shares_nothing_and_stops_nobody(
    damage: str, hub: Hub, home: Path, tiny_bundle: Bundle
) -> None:
    first = fetch(entry_for(tiny_bundle), home / "tiny")
    (first.folder / MANIFEST).write_text(damage)
    assert local_files(installed().values()).by_content == {}
    assert verify_bundle(fetch(replace(entry_for(tiny_bundle), name="other"), home / "other").folder)


def test_the_last_owner_frees_the_space(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    entry = entry_for(tiny_bundle)
    first = fetch(entry, home / "tiny")
    fetch(replace(entry, name="other"), home / "other")
    shared = sum(one.size for one in first.files if (first.folder / one.path).stat().st_nlink > 1)
    stored = sum(path.stat().st_size for path in first.folder.rglob("*") if path.is_file())
    assert remove_bundle("tiny") == stored - shared
    assert verify_bundle(home / "other")
    assert 0.9 * shared < remove_bundle("other") < stored  # two tokenizers are the same file


def test_without_hard_links_each_bundle_has_its_own(
    hub: Hub, home: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entry_for(tiny_bundle)
    first = fetch(entry, home / "tiny")
    hub.requests.clear()

    def refused(*_: Any, **__: Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(shared_files.os, "link", refused)
    second = fetch(replace(entry, name="other"), home / "other")
    assert len(hub.downloads()) == 1  # still not fetched again
    assert verify_bundle(second.folder)
    assert not (first.folder / WEIGHTS).samefile(second.folder / WEIGHTS)


def test_an_unpacked_bundle_shares_what_is_there(hub: Hub, home: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    entry = entry_for(tiny_bundle)
    first = fetch(entry, home / "tiny")
    packed = tmp_path / "other.bimors.zip"
    fetch(replace(entry, name="other"), home / "other")
    pack_bundle(home / "other", packed)
    remove_bundle("other")
    second = unpack_bundle(packed)
    assert verify_bundle(second.folder).name == "other"
    assert all((second.folder / one.path).stat().st_nlink > 1 for one in second.files)
    # A file that was changed in the other bundle is not taken over.
    remove_bundle("other")
    (first.folder / WEIGHTS).write_bytes(b"x" * (first.folder / WEIGHTS).stat().st_size)
    assert verify_bundle(unpack_bundle(packed).folder)


def test_the_list_says_what_a_fetch_brings(home: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row["name"]: row for row in list_bundles()}
    assert rows["bimors-b16"]["to_fetch"] == rows["bimors-b16"]["size"]
    assert rows["mini"]["to_fetch"] == 0
    shutil.copytree(tiny_bundle.folder, home / "tiny")
    # As if the tiny captioner were the one of the catalog: its part of the other bundles need not be fetched.
    import bimors_cli.bundle.listing as listing

    tiny = entry_for(tiny_bundle)
    near = replace(tiny, name="near", parts={**tiny.parts, CLIP: replace(tiny.parts[CLIP], files=())})
    weights = replace(tiny.parts[CLIP].files[0], sha256="0" * 64)
    far = replace(tiny, name="far", parts={CLIP: replace(tiny.parts[CLIP], files=(weights,))})
    monkeypatch.setattr(listing, "entries", lambda: (near, far))
    rows = {row["name"]: row for row in list_bundles()}
    assert rows["near"]["to_fetch"] == 0 and not rows["near"]["installed"] and rows["near"]["size"] > 0
    assert rows["far"]["to_fetch"] == rows["far"]["size"]
