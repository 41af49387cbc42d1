"""A captioner with a LoRA from another server: merged at the fetch, shared with its equals, and never with its base."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bimors_cli.bundle.catalog import LORA, CatalogEntry, Source, SourceFile
from bimors_cli.bundle.fetch import fetch_bundle
from bimors_cli.bundle.fetch_record import record_of
from bimors_cli.bundle.manifest import CAPTIONER, Bundle
from bimors_cli.bundle.shared_files import bytes_to_fetch, local_files
from bimors_cli.bundle.store import installed, remove_bundle, staging, verify_bundle
from bimors_cli.errors import BundleError
from bimors_cli.pipeline.bundles import to_fetch
from bimors_cli.pipeline.bundles.to_fetch import find_to_fetch
from tests.bundle.hub_server import Hub
from tests.bundle.test_fetch import entry_for, home, hub
from tests.pipeline.bundles.test_lora import write_lora

__all__ = ["home", "hub"]

FOLDER = "/om-ai-lab/RS5M/0123/lora 4-20_5e-05"
WEIGHTS = "model.safetensors"


def with_lora(bundle: Bundle, hub: Hub, folder: Path, *, known: bool = False, **config: object) -> CatalogEntry:
    """The tiny bundle as an entry whose captioner has a LoRA, a pickle of peft on a plain web server."""
    config = {"base_model_name_or_path": "tiny/captioner"} | config
    tensors = write_lora(folder, bundle.part(CAPTIONER) / WEIGHTS, **config)  # type: ignore[arg-type]
    torch.save(tensors, folder / "adapter_model.bin")
    for name in ("adapter_config.json", "adapter_model.bin"):
        hub.plain[f"{FOLDER}/{name}"] = (folder / name).read_bytes()
    lora = Source(
        "MIT",
        (
            SourceFile("adapter_config.json"),
            SourceFile("adapter_model.bin", convert_to="adapter_model.safetensors"),
        ),
        url=f"{hub.url}{FOLDER}".replace(" ", "%20"),
    )
    entry = entry_for(bundle, known=known, revision=None)
    captioner = entry.parts[CAPTIONER]
    files = tuple(replace(file, convert_to=WEIGHTS) if file.path == WEIGHTS else file for file in captioner.files)
    merged = replace(captioner, files=files, lora=lora)
    return replace(entry, parts={LORA: lora, **entry.parts, CAPTIONER: merged})


def fetch(entry: CatalogEntry, monkeypatch: pytest.MonkeyPatch, reports: list[str] | None = None) -> Bundle:
    monkeypatch.setattr(to_fetch, "entry_of", lambda _name: entry)
    wanted = find_to_fetch(entry.name, None, None)
    report = (reports if reports is not None else []).append
    return fetch_bundle(wanted.entry, wanted.target, wanted.convert, report, progress=False)


def changed(bundle: Bundle, base: Bundle) -> set[str]:
    after, before = load_file(bundle.part(CAPTIONER) / WEIGHTS), load_file(base.part(CAPTIONER) / WEIGHTS)
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_the_captioner_of_the_bundle_is_the_merged_one(
    hub: Hub, home: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[str] = []
    entry = with_lora(tiny_bundle, hub, tmp_path / "lora")
    bundle = fetch(entry, monkeypatch, reports)
    assert {name.rpartition(".self_attn.")[2] for name in changed(bundle, tiny_bundle)} == {
        "qkv.weight",
        "projection.weight",
    }
    assert verify_bundle(bundle.folder).licences[LORA] == f"MIT; {entry.parts[LORA].origin}"
    # The LoRA itself is no part of the bundle, and the web server gets no token of the hub.
    assert not [file.path for file in bundle.files if "adapter" in file.path] and not staging(home / "tiny").exists()
    assert "merging the LoRA into model.safetensors" in reports
    assert reports.index("converting adapter_model.bin to safetensors") < reports.index(
        "merging the LoRA into model.safetensors"
    )
    record = json.loads(record_of(home / "tiny").read_text())["parts"]
    assert [file["path"] for file in record[LORA]["files"]] == ["adapter_config.json", "adapter_model.bin"]
    # A second fetch is held to the LoRA of the first, whatever the server calls it.
    remove_bundle("tiny")
    assert fetch(entry, monkeypatch).sha256 == bundle.sha256
    remove_bundle("tiny")
    hub.plain[f"{FOLDER}/adapter_model.bin"] += b"0"
    with pytest.raises(BundleError, match=r"adapter_model\.bin is not the expected file"):
        fetch(entry, monkeypatch)


def test_the_merged_file_is_shared_with_its_equals_alone(
    hub: Hub, home: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = with_lora(tiny_bundle, hub, tmp_path / "lora", known=True)
    first = fetch(entry, monkeypatch)
    twin = replace(entry, name="twin")
    lora_bytes = bytes_to_fetch(twin, local_files(installed().values()))
    assert lora_bytes == 0  # its files have no known size here, all others are shared
    assert (fetch(twin, monkeypatch).part(CAPTIONER) / WEIGHTS).samefile(first.part(CAPTIONER) / WEIGHTS)
    # The same file with another LoRA, and without one.
    other = with_lora(tiny_bundle, hub, tmp_path / "lora", known=True, alpha=1.0)
    moved = replace(other.parts[LORA], url=f"{hub.url}/other")
    for name in ("adapter_config.json", "adapter_model.bin"):
        hub.plain[f"/other/{name}"] = hub.plain[f"{FOLDER}/{name}"]
    captioner = replace(other.parts[CAPTIONER], lora=moved)
    third = fetch(replace(other, name="third", parts={**other.parts, LORA: moved, CAPTIONER: captioner}), monkeypatch)
    assert changed(third, first) == changed(first, tiny_bundle)
    fourth = fetch(replace(entry_for(tiny_bundle), name="fourth"), monkeypatch)
    assert changed(fourth, tiny_bundle) == set()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"base_model_name_or_path": "Salesforce/blip2-opt-6.7b"}, "a LoRA of Salesforce/blip2-opt-6.7b, not of tiny/"),
        ({"target_modules": ["self_attn.qkv"]}, "is not among the targets"),
    ],
)
def test_a_lora_that_does_not_match_is_refused_before_the_captioner_comes(
    config: dict[str, object],
    said: str,
    hub: Hub,
    home: Path,
    tiny_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = with_lora(tiny_bundle, hub, tmp_path / "lora", **config)
    with pytest.raises(BundleError, match=said):
        fetch(entry, monkeypatch)
    assert not (home / "tiny").exists()
    assert not any("tiny/captioner/resolve" in path for path, _ in hub.downloads())


def test_an_interrupted_merge_starts_again(
    hub: Hub, home: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = with_lora(tiny_bundle, hub, tmp_path / "lora")
    whole = fetch(entry, monkeypatch)
    expected = whole.sha256
    remove_bundle("tiny")
    shutil.rmtree(staging(home / "tiny"), ignore_errors=True)
    from bimors_cli.pipeline.bundles import lora as module

    def cut(path: Path, *_: object) -> None:
        path.write_bytes(path.read_bytes()[:-7])
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(module, "_correct", cut)
        with pytest.raises(KeyboardInterrupt):
            fetch(entry, monkeypatch)
    before = len(hub.downloads())
    assert fetch(entry, monkeypatch).sha256 == expected
    assert not any("tiny/captioner/resolve" in path for path, _ in hub.downloads()[before:] if path.endswith(WEIGHTS))
