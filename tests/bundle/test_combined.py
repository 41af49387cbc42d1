"""A bundle of the catalog with another captioner, or with none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bimors_cli.bundle import catalog
from bimors_cli.bundle.catalog import LORA, captioners, check_against_catalog, combined_name, entries, entry_of
from bimors_cli.bundle.files import FileEntry
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import CAPTIONER, CLIP, Bundle, read_bundle
from bimors_cli.bundle.store import bundle_folder, verify_bundle
from bimors_cli.errors import BundleError, InputError
from tests.bundle.hub_server import Hub
from tests.bundle.test_fetch import entry_for, fetch, home, hub

__all__ = ["home", "hub"]


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
@pytest.mark.parametrize("captioner", [*captioners(), "none"])
def test_every_entry_takes_every_captioner(entry: catalog.CatalogEntry, captioner: str) -> None:
    if entry.bands is not None and captioner != "none":
        with pytest.raises(InputError, match=r"takes 10 bands, and captioners need colours"):
            entry_of(combined_name(entry.name, captioner))
        return
    found = entry_of(combined_name(entry.name, captioner))
    assert found.parts[CLIP] == entry.parts[CLIP] and found.context_length == entry.context_length
    assert found.name == f"{entry.name}+{captioner}" and bundle_folder(found.name).name == found.name
    if captioner == "none":
        assert set(found.parts) == {CLIP} and found.image_size == entry.preprocess_cfg["size"]
        return
    lora = captioners()[captioner].lora
    assert found.parts.get(LORA) == lora and (lora is None or next(iter(found.parts)) == LORA)
    others = {part: source for part, source in entry.parts.items() if part != LORA}
    assert {part: one for part, one in found.parts.items() if part != LORA} == {
        **others,
        CAPTIONER: captioners()[captioner],
    }
    # As large as the larger of both inputs: blip-base takes 384 pixels a side.
    same = next((one for one in entries() if one.parts == found.parts), None)
    larger = max(entry.preprocess_cfg["size"], captioners()[captioner].image_size)
    assert found.image_size == (larger if same is None else same.image_size)


def test_what_does_not_combine_is_named() -> None:
    with pytest.raises(InputError, match="bimors: not in the catalog"):
        entry_of("bimors+blip-base")
    with pytest.raises(InputError, match="blip: not a captioner") as error:
        entry_of("bimors-b16+blip")
    assert "blip-base" in str(error.value.hint) and "none" in str(error.value.hint)


def test_files_of_a_combination_are_those_of_the_catalog() -> None:
    found = entry_of("bimors-b16+blip-base")
    (config,) = (file for file in found.parts[CAPTIONER].files if file.path == "config.json")
    assert config.size is not None and config.sha256 is not None
    check_against_catalog(found.name, (FileEntry("captioner/config.json", config.size, config.sha256),))
    with pytest.raises(BundleError, match="differs from the file in the catalog"):
        check_against_catalog(found.name, (FileEntry("captioner/config.json", config.size, "0" * 64),))


def test_a_combination_is_found_once_it_is_installed(home: Path, tiny_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="--model bimors-b16 --captioner none: this combination") as error:
        find_bundle("bimors-b16", "none")
    assert error.value.hint == "bimors models fetch bimors-b16 --captioner none"
    shutil.copytree(tiny_bundle.folder, home / "bimors-b16+none")
    assert find_bundle("bimors-b16", "none") == find_bundle("bimors-b16+none") == home / "bimors-b16+none"
    with pytest.raises(InputError, match="--captioner blip: not a captioner"):
        find_bundle("bimors-b16", "blip")
    with pytest.raises(InputError, match="not mini") as error:
        find_bundle("mini", "none")
    assert "--captions none" in str(error.value.hint)


def test_without_captioner_only_clip_is_fetched(
    hub: Hub, home: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "entries", lambda: (entry_for(tiny_bundle),))
    entry = entry_of("tiny+none")
    bundle = fetch(entry, home / entry.name)
    assert verify_bundle(bundle.folder).has_part(CLIP)
    assert not read_bundle(bundle.folder).has_part(CAPTIONER)
    assert {path.split("/")[2] for path, _ in hub.downloads()} == {"clip"}
