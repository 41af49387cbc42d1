"""The layouts are those of the published files, as far as public sources say."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bimors_cli.bundle import catalog
from tests.published_layouts import settings
from tests.published_layouts.layouts import full_size, layout_of
from tests.published_layouts.packing import FORMAT, Tensors, shards_of, size_of_safetensors
from tests.published_layouts.published import clip_settings

SOURCES = catalog._content()["sources"]
LARGEST_SHARD = 10 * 1000**3  # of save_pretrained, when BLIP-2 was published


def clip_of(source: str) -> dict[str, object] | None:
    bundles = catalog._content()["bundles"]
    return next((clip_settings(one["clip"]) for one in bundles if one["parts"]["clip"] == source), None)


def published_size(source: str, path: str) -> int:
    (found,) = (file["size"] for file in SOURCES[source]["files"] if file["path"] == path)
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_of_the_catalog_has_a_layout(source: str) -> None:
    assert layout_of(source)


def test_a_source_without_layout_is_named_with_what_to_do() -> None:
    with pytest.raises(AssertionError, match=r"source mine of .*add a row to LAYOUTS"):
        layout_of("mine")


@pytest.mark.parametrize(
    ("source", "path", "metadata"),
    [
        ("openai-vit-b-16", "open_clip_model.safetensors", None),
        ("bert-base-uncased", "model.safetensors", FORMAT),
    ],
)
def test_names_shapes_and_dtypes_give_the_size_of_the_file(
    source: str, path: str, metadata: dict[str, str] | None
) -> None:
    assert size_of_safetensors(full_size(source, clip_of(source)), metadata) == published_size(source, path)


def test_names_shapes_and_dtypes_give_the_sizes_of_the_shards() -> None:
    def sizes(tensors: Tensors) -> list[int]:
        return [size_of_safetensors(shard, FORMAT) for shard in shards_of(tensors, LARGEST_SHARD)]

    paths = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    opt, t5 = "blip2-opt-2.7b", "blip2-flan-t5-xl"
    assert sizes(full_size(opt, None)) == [published_size(opt, path) for path in paths]
    shown = [file["about"] for file in SOURCES[t5]["files"] if file["path"] in paths]  # rounded to 10 MB
    assert [round(size, -7) for size in sizes(full_size(t5, None))] == shown


# Shown by the hub, rounded: of these the catalog has no sizes.
@pytest.mark.parametrize(
    ("source", "shown"),
    [("blip2-rs5m", 31_010_000_000), ("rs5m-lora", 21_100_000), ("florence2-base", 463_000_000)],
)
def test_the_numbers_take_the_bytes_that_are_shown(source: str, shown: int) -> None:
    numbers = sum(tensor.numel() * tensor.element_size() for tensor in full_size(source, None).values())
    assert numbers == pytest.approx(shown, rel=2e-3)


@pytest.mark.parametrize("source", ["remoteclip-vit-b-32", "remoteclip-vit-l-14", "georsclip-vit-b-32", "blip-base"])
def test_a_pickle_is_little_larger_than_its_tensors(source: str) -> None:
    """Pickles have a few hundred bytes a tensor for its name, its shape and the alignment."""
    tensors = full_size(source, clip_of(source))
    numbers = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    (file,) = (one for one in SOURCES[source]["files"] if "convert_to" in one)
    if file["size"] is None:
        assert round(numbers, -6) == file["about"]
    else:
        assert 60 * len(tensors) < file["size"] - numbers < 400 * len(tensors)


def test_settings_with_a_known_hash_are_the_published_files() -> None:
    compared = set()
    for path in Path(settings.__file__).parent.glob("*.json"):
        source, name = path.stem.rsplit(".", 1)  # names of sources have dots, too
        sha256 = {file["path"]: file["sha256"] for file in SOURCES[source]["files"]}[f"{name}.json"]
        if sha256 is not None:
            assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256, path
            compared.add(path.name)
    assert len(compared) >= 4, compared
