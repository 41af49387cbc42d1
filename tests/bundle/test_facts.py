"""Facts of the catalog: each has a source, figures are those of one protocol, and sums are computed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bimors_cli.bundle import catalog
from bimors_cli.bundle.catalog import CatalogEntry, captioners, entries, entry_of, parse_catalog
from bimors_cli.bundle.facts import NOT_KNOWN, REFERENCE, UNKNOWN_PERMISSION, Permission, pixel_sizes, strictest
from bimors_cli.bundle.memory import LIBRARIES, clip_parameters, memory_of


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_every_part_says_whether_it_may_be_used_commercially(entry: CatalogEntry) -> None:
    for source in entry.parts.values():
        fact = source.facts.commercial
        assert fact != UNKNOWN_PERMISSION and fact.why and fact.source.startswith("https://")
    assert entry.commercial == strictest(source.facts.commercial for source in entry.parts.values())
    assert entry.training is not None and entry.zero_shot is not None


def test_every_captioner_says_so_too() -> None:
    assert all(source.facts.commercial != UNKNOWN_PERMISSION for source in captioners().values())


def test_one_part_that_must_be_asked_for_decides() -> None:
    yes, ask, no = (Permission(answer, "because", "https://a.b") for answer in ("yes", "ask", "no"))
    assert (strictest([yes, ask]), strictest([no, ask, yes]), strictest([yes]), strictest([])) == (
        "ask",
        "no",
        "yes",
        "yes",
    )
    assert entry_of("bimors-b16").commercial == "yes" and entry_of("bimors-b16-opt").commercial == "no"
    assert entry_of("georsclip-b32+none").commercial == "ask"  # its CLIP


def test_a_protocol_has_the_reference_as_the_catalog_has_it() -> None:
    reference = entry_of(REFERENCE).zero_shot
    assert reference is not None and reference.protocol.reference == reference.figures
    assert all(reference.compared(data_set) == 0 for data_set in reference.figures)
    assert reference.compared("Mars") is None
    general = entry_of("datacomp-l14").zero_shot
    assert general is not None and general.compared("EuroSAT") is None


def test_means_are_those_of_their_figures() -> None:
    """FarSLIP's table names all eight sets, so that its means can be computed."""
    found = entry_of("farslip-b32").zero_shot
    assert found is not None
    for figures in (found.figures, found.protocol.reference):
        others = [value for name, value in figures.items() if not name.startswith("mean")]
        assert len(others) == 8 and sum(others) / 8 == pytest.approx(figures["mean of 8 sets"], abs=0.01)


def test_memory_is_four_bytes_a_parameter_and_the_libraries() -> None:
    alone = entry_of("georsclip-b32+none")
    numbers = clip_parameters(alone.model_cfg)
    assert numbers == 151_277_313  # of ViT-B/32, as open_clip's model_profile.csv has it: 151.28 million
    assert memory_of(alone) == 4 * numbers + LIBRARIES
    bert = next(file.size for file in entry_of("georsclip-b32").parts["caption_encoder"].files if file.size)
    assert bert and (memory_of(entry_of("georsclip-b32")) or 0) > 4 * numbers + LIBRARIES + 15e9


def test_weights_of_half_precision_take_twice_their_file() -> None:
    content = _content()
    full = memory_of(parse_catalog(content)[0])
    for source in content["sources"].values():
        source["facts"]["bytes_a_number"] = 2
    half = parse_catalog(content)[0]
    assert full is not None and memory_of(half) == pytest.approx(2 * full - LIBRARIES - 4 * 149_620_737, rel=1e-6)


def test_what_is_not_known_is_said() -> None:
    content = _content()
    for source in content["sources"].values():
        source.pop("facts")
        for file in source["files"]:
            file.update(size=None, about=None)
    entry = parse_catalog(content)[0]
    assert (entry.commercial, entry.training, entry.zero_shot, memory_of(entry)) == ("ask", None, None, None)
    assert pixel_sizes(None) == NOT_KNOWN


def test_towers_of_other_libraries_are_not_counted() -> None:
    model: dict[str, Any] = {**entry_of("datacomp-l14").model_cfg, "vision_cfg": {"timm_model_name": "vit"}}
    assert clip_parameters(model) is None


@pytest.mark.parametrize(("size", "text"), [((10, 10), "10 m"), ((0.1, 30), "0.1 to 30 m")])
def test_pixel_sizes(size: tuple[float, float], text: str) -> None:
    assert pixel_sizes(size) == text


def _content() -> Any:
    return json.loads(json.dumps(catalog._content()))
