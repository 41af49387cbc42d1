"""The catalogue: its form, open_clip's configurations, and that nothing in it is half said."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch

import bimors_cli.bundle
from bimors_cli.bundle.catalog import LORA, CatalogEntry, check_against_catalog, entries, entry_of
from bimors_cli.bundle.files import CODE_SUFFIXES, FileEntry, is_plain_name
from bimors_cli.bundle.manifest import CLIP, PARTS
from bimors_cli.bundle.memory import clip_parameters
from bimors_cli.bundle.schemas import check_schema
from bimors_cli.errors import BundleError, InputError
from bimors_cli.model.clip import build_clip, replace_input

CATALOGUE = Path(bimors_cli.bundle.__file__).parent / "catalogue.json"


@pytest.fixture(params=entries(), ids=lambda entry: entry.name)
def entry(request: pytest.FixtureRequest) -> CatalogEntry:
    found: CatalogEntry = request.param
    return found


def test_it_has_the_documented_form() -> None:
    check_schema(CATALOGUE, json.loads(CATALOGUE.read_text()), "catalogue")


def test_names_are_single_and_none_is_the_embedded_one() -> None:
    names = [entry.name for entry in entries()]
    assert len(set(names)) == len(names) and "mini" not in names
    assert entry_of("bimors-b16").parts["captioner"].repository == "Salesforce/blip2-flan-t5-xl"
    with pytest.raises(InputError, match="not in the catalog"):
        entry_of("bimors")


def test_the_configuration_is_open_clips_own(entry: CatalogEntry) -> None:
    assert entry.model_cfg == open_clip.get_model_config(entry.architecture)
    if entry.bands is None:
        assert tuple(entry.preprocess_cfg["mean"]) == open_clip.OPENAI_DATASET_MEAN
        assert tuple(entry.preprocess_cfg["std"]) == open_clip.OPENAI_DATASET_STD
    else:  # it has its own
        assert not {"mean", "std"} & set(entry.preprocess_cfg)
    assert entry.preprocess_cfg["size"] == entry.model_cfg["vision_cfg"]["image_size"] <= entry.image_size
    assert entry.context_length == 77


def test_sizes_are_those_of_the_architecture(entry: CatalogEntry) -> None:
    """Float32 weights and little else, where the size of the file is known."""
    (file,) = entry.parts["clip"].files
    size = file.size or file.about
    with torch.device("meta"):
        model = build_clip(entry.model_cfg)
        if entry.bands is not None:
            replace_input(model, entry.channels)
        numbers = sum(parameter.numel() for parameter in model.parameters())
    assert numbers == clip_parameters(entry.model_cfg, entry.channels)
    assert size is None or abs(size / (4 * numbers) - 1) < 2e-3


def test_every_part_becomes_safetensors_and_no_pickle(entry: CatalogEntry) -> None:
    assert set(entry.parts) - {LORA} == ({CLIP} if entry.bands is not None else set(PARTS))
    assert (LORA in entry.parts) == ("captioner" in entry.parts and entry.parts["captioner"].lora is not None)
    for source in entry.parts.values():
        targets = [file.target for file in source.files]
        assert len(set(targets)) == len(targets) and all(map(is_plain_name, targets))
        assert any(target.endswith(".safetensors") for target in targets)
        assert not any(target.endswith((*CODE_SUFFIXES, ".zip")) for target in targets)
    assert [file.target for file in entry.parts["clip"].files] == ["open_clip_model.safetensors"]
    assert all(source.licence for source in entry.parts.values()) and entry.licences.keys() == entry.parts.keys()


def test_a_repository_is_pinned(entry: CatalogEntry) -> None:
    """What is not confirmed of revisions and files is null, and listed in ``unconfirmed``."""
    for part, source in entry.parts.items():
        assert (source.repository is None) == (source.url is not None)
        assert (part in entry.unconfirmed) == (source.repository is not None and source.revision is None)
        for file in source.files:
            told = f"{part}/{file.path}" in entry.unconfirmed
            assert told == (file.size is None or file.sha256 is None)


def test_a_bundle_with_a_catalogues_name_must_be_the_catalogues() -> None:
    (weights,) = entry_of("bimors-b16").parts["clip"].files
    assert weights.size and weights.sha256
    right = FileEntry("clip/open_clip_model.safetensors", weights.size, weights.sha256)
    check_against_catalog("bimors-b16", (right,))
    check_against_catalog("other", (FileEntry(right.path, 1, "0" * 64),))
    with pytest.raises(BundleError, match=r"open_clip_model\.safetensors differs from the file"):
        check_against_catalog("bimors-b16", (FileEntry(right.path, weights.size, "0" * 64),))


def test_users_of_the_papers_backbone_are_told_of_stronger_ones() -> None:
    for name in ("bimors-b16", "bimors-b16-opt", "bimors-b16-base"):
        assert any("far stronger" in note for note in entry_of(name).notes)
