"""Fetching from a hub on this machine: whole and checked, or not at all; taken up again; held to what was promised."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from bimors_cli.bundle import hub as network
from bimors_cli.bundle.catalog import CatalogEntry, Source, SourceFile
from bimors_cli.bundle.fetch import fetch_bundle
from bimors_cli.bundle.fetch_record import record_of
from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, CLIP, Bundle, open_bundle
from bimors_cli.bundle.store import remove_bundle, staging, verify_bundle
from bimors_cli.errors import BundleError, InputError
from bimors_cli.model.pickle_to_safetensors import convert as convert_here
from bimors_cli.model.pickle_to_safetensors import pickle_to_safetensors
from tests.bundle.hub_server import COMMIT, Hub, serve

REPOSITORIES = {CLIP: "tiny/clip", CAPTIONER: "tiny/captioner", CAPTION_ENCODER: "tiny/bert"}


def entry_for(bundle: Bundle, *, revision: str | None = COMMIT, known: bool = True) -> CatalogEntry:
    """The tiny bundle as an entry of a catalogue, with or without sizes and hashes."""
    config = json.loads((bundle.part(CLIP) / "open_clip_config.json").read_text())

    def of_part(part: str) -> Source:
        files = [
            SourceFile(
                one.path.partition("/")[2],
                one.size if known else None,
                one.sha256 if known else None,
                # No size, no "weights": a page showed about this much.
                about=one.size,
            )
            for one in bundle.files
            if one.path.startswith(f"{part}/") and not one.path.endswith("open_clip_config.json")
        ]
        return Source("none", tuple(files), repository=REPOSITORIES[part], revision=revision, optional=("extra.json",))

    return CatalogEntry(
        name="tiny",
        description="random weights, for tests",
        context=bundle.context,
        image_size=bundle.image_size,
        architecture="tiny",
        model_cfg=config["model_cfg"],
        preprocess_cfg=config["preprocess_cfg"],
        parts={part: of_part(part) for part in REPOSITORIES},
        notes=(),
    )


@pytest.fixture
def hub(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with the tiny bundle's parts, which huggingface_hub in this process takes for its own."""
    from huggingface_hub import constants

    contents: dict[str, dict[str, bytes]] = {repository: {} for repository in REPOSITORIES.values()}
    for one in tiny_bundle.files:
        part, _, name = one.path.partition("/")
        contents[REPOSITORIES[part]][name] = (tiny_bundle.folder / one.path).read_bytes()
    contents["tiny/bert"]["extra.json"] = b"{}"
    contents["tiny/bert"]["README.md"] = b"nobody asked for it"
    with serve(Hub(contents)) as server:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)  # what is short of a piece is lost in a cut
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _seconds: None)
        yield server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIMORS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "bundles"


def fetch(entry: CatalogEntry, target: Path, reports: list[str] | None = None) -> Bundle:
    report = (reports if reports is not None else []).append
    return fetch_bundle(entry, target, pickle_to_safetensors, report, progress=False)


def test_a_fetched_bundle_is_the_served_one(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    reports: list[str] = []
    bundle = fetch(entry_for(tiny_bundle), home / "tiny", reports)
    assert verify_bundle(bundle.folder).name == "tiny"
    served = {one.path: one.sha256 for one in tiny_bundle.files if not one.path.endswith("open_clip_config.json")}
    got = {one.path: one.sha256 for one in bundle.files}
    assert served.items() <= got.items()
    assert set(got) - set(served) == {"clip/open_clip_config.json", "caption_encoder/extra.json"}
    assert (bundle.vocabulary, bundle.zero_shot_temperature) == (None, 1.0)
    # Nothing is left of the work, and what the catalogue did not know is on record.
    assert not staging(home / "tiny").exists()
    record = json.loads(record_of(home / "tiny").read_text())
    assert record["parts"][CLIP]["revision"] == COMMIT
    assert any("1 of" in line and "tiny.fetched.json" in line for line in reports)  # extra.json


def test_models_load_from_a_fetched_bundle(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    from bimors_cli.pipeline.inference.load import load_models

    bundle = fetch(entry_for(tiny_bundle), home / "tiny")
    models = load_models(open_bundle(bundle.folder), "cpu")
    assert models.clip.encode_text(["forest"]).shape == (1, 32)


def test_large_files_come_from_another_server_which_gets_no_token(
    hub: Hub, home: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serve(Hub(hub.repositories)) as store:
        hub.elsewhere, store.cut_after = store.url, 1000
        assert verify_bundle(fetch(entry_for(tiny_bundle), home / "tiny").folder)
    assert hub.tokens == {"Bearer hf_secret"} and store.tokens == {None}
    assert sorted(span for _, span in store.downloads() if span) == ["bytes=1000-"]


def test_a_cut_connection_is_taken_up_in_the_same_run(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    hub.cut_after = 1000
    fetch(entry_for(tiny_bundle), home / "tiny")
    assert [span for _, span in hub.downloads() if span] == ["bytes=1000-"]


def test_an_interrupted_fetch_goes_on_where_it_stopped(
    hub: Hub, home: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, entry = network.download, entry_for(tiny_bundle)

    def breaks(source: Source, file: network.RemoteFile, name: str, to: Path, *, progress: bool) -> None:
        if name != "model.safetensors" or source.repository != "tiny/captioner":
            return real(source, file, name, to, progress=progress)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(hub.repositories["tiny/captioner"][name][:5000])
        raise BundleError("cut")

    monkeypatch.setattr(network, "download", breaks)
    with pytest.raises(BundleError, match="cut"):
        fetch(entry, home / "tiny")
    assert not (home / "tiny").exists() and staging(home / "tiny").is_dir()
    monkeypatch.setattr(network, "download", real)
    hub.requests.clear()
    assert verify_bundle(fetch(entry, home / "tiny").folder)
    downloads = hub.downloads()
    assert (f"/tiny/captioner/resolve/{COMMIT}/model.safetensors", "bytes=5000-") in downloads
    assert not any(path.startswith("/tiny/clip/") for path, _ in downloads)  # whole already


def test_other_content_than_the_hub_lists_is_refused(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    hub.lie = {"open_clip_model.safetensors"}
    with pytest.raises(BundleError, match=r"open_clip_model\.safetensors is not the expected file: hub"):
        fetch(entry_for(tiny_bundle, known=False), home / "tiny")
    assert not (home / "tiny").exists()
    assert not list(staging(home / "tiny").rglob("open_clip_model.safetensors"))
    hub.lie = {"tokenizer_config.json"}
    with pytest.raises(BundleError, match=r"tokenizer_config\.json is not the expected file: hub's hash"):
        fetch(entry_for(tiny_bundle, known=False), home / "tiny")


def test_other_content_than_the_catalogue_promises_is_refused_before_it_is_fetched(
    hub: Hub, home: Path, tiny_bundle: Bundle
) -> None:
    content = bytearray(hub.repositories["tiny/clip"]["open_clip_model.safetensors"])
    content[-1] ^= 1
    hub.repositories["tiny/clip"]["open_clip_model.safetensors"] = bytes(content)
    with pytest.raises(BundleError, match="SHA-256"):
        fetch(entry_for(tiny_bundle), home / "tiny")
    hub.repositories["tiny/clip"]["open_clip_model.safetensors"] += b"x"
    with pytest.raises(BundleError, match="bytes instead of"):
        fetch(entry_for(tiny_bundle), home / "tiny")
    assert hub.downloads() == []


def test_the_first_fetch_is_recorded_and_a_changed_file_refused(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    entry, reports = entry_for(tiny_bundle, revision=None, known=False), []
    assert len(entry.unconfirmed) > 3
    fetch(entry, home / "tiny", reports)
    record = json.loads(record_of(home / "tiny").read_text())
    part = record["parts"][CAPTION_ENCODER]
    content = hub.repositories["tiny/bert"]["config.json"]
    (one,) = (file for file in part["files"] if file["path"] == "config.json")
    assert one["sha256"] == hashlib.sha256(content).hexdigest() and one["size"] == len(content)
    assert part["revision"] == COMMIT and len(one["etag"]) == 40
    assert any(line.startswith(f"{sum(len(p['files']) for p in record['parts'].values())} of") for line in reports)
    remove_bundle("tiny")
    assert record_of(home / "tiny").is_file()
    # The same again is quiet; another content of the same size is refused, another commit as well.
    reports.clear()
    fetch(entry, home / "tiny", reports)
    assert not any("recorded" in line for line in reports)
    remove_bundle("tiny")
    hub.repositories["tiny/bert"]["config.json"] = content.replace(b"{", b"{ ", 1)[: len(content)]
    with pytest.raises(BundleError, match=r"config\.json is not the expected file: SHA-256"):
        fetch(entry, home / "tiny")
    hub.commit = "b" * 40
    with pytest.raises(BundleError, match=r"the hub no longer has a{40}, which was fetched before"):
        fetch(entry, home / "tiny")


def test_a_damaged_record_is_one_line(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    home.mkdir(parents=True)
    record_of(home / "tiny").write_text('{"schema": 1, "name": "tiny", "parts": {"clip": {}}}')
    with pytest.raises(BundleError, match=r"tiny\.fetched\.json: damaged: \$\.parts\.clip"):
        fetch(entry_for(tiny_bundle), home / "tiny")


@pytest.mark.parametrize(
    ("status", "code", "message", "hint"),
    [
        (401, "GatedRepo", "gated", "HF_TOKEN"),
        (403, "GatedRepo", "gated", "HF_TOKEN"),
        (401, "RepoNotFound", "not found on", "HF_TOKEN"),
        (401, None, "refuses", "HF_TOKEN"),
        (403, None, "refuses", "HF_TOKEN"),
        (404, "RepoNotFound", "not found on", "HF_TOKEN"),
        (500, None, "status 500", "same command"),
    ],
)
def test_what_a_hub_refuses_is_one_line(
    status: int, code: str | None, message: str, hint: str, hub: Hub, home: Path, tiny_bundle: Bundle
) -> None:
    hub.refuse, hub.error_code = status, code
    with pytest.raises(BundleError, match=message) as caught:
        fetch(entry_for(tiny_bundle), home / "tiny")
    assert "tiny/clip" in caught.value.message and "\n" not in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_missing_file_is_named(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    del hub.repositories["tiny/captioner"]["config.json"]
    with pytest.raises(BundleError, match=r"tiny/captioner: config\.json not found"):
        fetch(entry_for(tiny_bundle), home / "tiny")


def test_no_connection_is_one_line(home: Path, tiny_bundle: Bundle, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(BundleError, match="tiny/clip: no connection") as caught:
        fetch(entry_for(tiny_bundle), home / "tiny")
    assert "\n" not in caught.value.message


def test_a_server_that_is_no_hub_is_one_line(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    hub.refuse = 200
    with pytest.raises(BundleError, match="tiny/clip") as caught:
        fetch(entry_for(tiny_bundle), home / "tiny")
    assert "\n" not in caught.value.message


def test_offline_by_the_hubs_own_variable(hub: Hub, home: Path, tiny_bundle: Bundle, monkeypatch: Any) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE"):
        fetch(entry_for(tiny_bundle), home / "tiny")
    assert hub.requests == []


def test_two_fetches_at_once(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    home.mkdir(parents=True)
    with FileLock(home / ".tiny.lock"), pytest.raises(BundleError, match="another bimors"):
        fetch(entry_for(tiny_bundle), home / "tiny")


def test_a_bundle_that_is_there_is_not_fetched_over(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    (home / "tiny").mkdir(parents=True)
    with pytest.raises(InputError, match="tiny exists"):
        fetch(entry_for(tiny_bundle), home / "tiny")


def test_too_little_room_is_said_before_anything_is_fetched(
    hub: Hub, home: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    with pytest.raises(BundleError, match=r"1\.0 MB are needed, 0\.0 MB are free") as caught:
        fetch(entry_for(tiny_bundle), home / "tiny")
    assert "BIMORS_HOME" in (caught.value.hint or "") and hub.downloads() == []


@pytest.mark.parametrize(("number", "message"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "Read-only")])
def test_what_the_disk_says_is_one_line(
    number: int, message: str, hub: Hub, home: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    with pytest.raises(BundleError, match=message) as caught:
        fetch(entry_for(tiny_bundle), home / "tiny")
    assert "BIMORS_HOME" in (caught.value.hint or "")


def test_weights_that_are_no_numbers_are_refused(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    from safetensors.torch import save

    state = load_file(tiny_bundle.part(CLIP) / "open_clip_model.safetensors")
    state["logit_scale"] = torch.tensor(float("nan"))
    hub.repositories["tiny/clip"]["open_clip_model.safetensors"] = save(state)
    with pytest.raises(BundleError, match="tensor logit_scale has infinite or NaN weights"):
        fetch(entry_for(tiny_bundle, known=False), home / "tiny")
    assert not (home / "tiny").exists()


def pickled(bundle: Bundle, **beside: object) -> bytes:
    state = load_file(bundle.part(CLIP) / "open_clip_model.safetensors")
    stream = io.BytesIO()
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}, **beside}, stream)
    return stream.getvalue()


def with_clip(entry: CatalogEntry, change: Callable[[Source], Source]) -> CatalogEntry:
    return replace(entry, parts={**entry.parts, CLIP: change(entry.parts[CLIP])})


def from_pickle(source: Source, path: str, **fields: Any) -> Source:
    words = tuple(file for file in source.files if not file.path.endswith(".safetensors"))
    weights = SourceFile(path, convert_to="open_clip_model.safetensors")
    return replace(source, files=(weights,) if "url" in fields else (weights, *words), **fields)


def test_a_pickle_becomes_safetensors(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    hub.repositories["tiny/clip"]["ckpt/tiny.pt"] = pickled(tiny_bundle, epoch=20)
    entry = with_clip(entry_for(tiny_bundle), lambda source: from_pickle(source, "ckpt/tiny.pt"))
    bundle = fetch_bundle(entry, home / "tiny", convert_here, lambda _line: None, progress=False)
    assert not [one.path for one in bundle.files if one.path.endswith(".pt")]
    got = load_file(bundle.part(CLIP) / "open_clip_model.safetensors")
    for name, value in load_file(tiny_bundle.part(CLIP) / "open_clip_model.safetensors").items():
        assert torch.equal(got[name], value)
    assert verify_bundle(bundle.folder)


def test_a_pickle_that_cannot_be_converted_leaves_no_bundle(hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    hub.repositories["tiny/clip"]["tiny.pt"] = b"no pickle"
    entry = with_clip(entry_for(tiny_bundle), lambda source: from_pickle(source, "tiny.pt"))
    with pytest.raises(BundleError, match=r"tiny\.pt"):
        fetch_bundle(entry, home / "tiny", convert_here, lambda _line: None, progress=False)
    assert not (home / "tiny").exists()


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name.replace("__", "/").replace("_pt", ".pt"), content)
    return stream.getvalue()


def test_a_zip_file_outside_the_hub(hub: Hub, home: Path, tiny_bundle: Bundle, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.plain["/ckpt/Tiny.zip"] = zipped(
        Tiny__epoch_20_pt=pickled(tiny_bundle, best=np.float64(0.5)), Tiny__log_txt=b"x"
    )
    url = f"{hub.url}/ckpt/Tiny.zip"
    plain = {"url": url, "repository": None, "revision": None, "optional": ()}
    entry = with_clip(entry_for(tiny_bundle), lambda source: from_pickle(source, "Tiny.zip", **plain))
    bundle = fetch(entry, home / "tiny")
    assert {one.path for one in bundle.files if one.path.startswith("clip/")} == {
        "clip/open_clip_config.json",
        "clip/open_clip_model.safetensors",
    }
    record = json.loads(record_of(home / "tiny").read_text())
    assert record["parts"][CLIP]["origin"] == url and record["parts"][CLIP]["revision"] is None
    remove_bundle("tiny")
    hub.plain["/ckpt/Tiny.zip"] = zipped(Tiny__epoch_20_pt=pickled(tiny_bundle, best=np.float64(0.7)))
    with pytest.raises(BundleError, match=r"Tiny\.zip is not the expected file"):
        fetch(entry, home / "tiny")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no zip file at all", "not a readable zip file"),
        (zipped(a_txt=b"x"), "found 0"),
        (zipped(a_pt=b"", b_pt=b""), "found 2"),
    ],
)
def test_a_zip_file_that_is_none(content: bytes, message: str, hub: Hub, home: Path, tiny_bundle: Bundle) -> None:
    hub.plain["/Tiny.zip"] = content
    plain = {"url": f"{hub.url}/Tiny.zip", "repository": None, "revision": None, "optional": ()}
    entry = with_clip(entry_for(tiny_bundle), lambda source: from_pickle(source, "Tiny.zip", **plain))
    with pytest.raises(BundleError, match=message):
        fetch(entry, home / "tiny")


def test_endpoint_and_token_come_from_the_environment(hub: Hub, tmp_path: Path, tiny_bundle: Bundle) -> None:
    """The command in a process of its own, as a user runs it."""
    from dataclasses import asdict

    entry = entry_for(tiny_bundle)
    sources = {part: {k: v for k, v in asdict(source).items() if k != "url"} for part, source in entry.parts.items()}
    fields = {name: getattr(entry, name) for name in ("name", "description", "context", "image_size", "notes")}
    clip = {"architecture": "tiny", "model_cfg": entry.model_cfg, "preprocess_cfg": entry.preprocess_cfg}
    content = {"sources": sources, "bundles": [{**fields, "clip": clip, "parts": {p: p for p in sources}}]}
    (tmp_path / "catalogue.json").write_text(json.dumps(content))
    program = (
        "import json; from bimors_cli.bundle import catalog; from bimors_cli.cli.main import main;"
        f"found = catalog.parse_catalog(json.load(open({str(tmp_path / 'catalogue.json')!r})));"
        "catalog._read = lambda: found; main()"
    )
    unset = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "BIMORS_OFFLINE")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_secret", "BIMORS_HOME": str(tmp_path / "home")}

    def bimors(*args: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, "models", *args]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment | more, stdin=subprocess.DEVNULL
        )

    for refused in (bimors("fetch", "tiny", HF_HUB_OFFLINE="1"), bimors("fetch", "tiny", BIMORS_OFFLINE="1")):
        assert refused.returncode == 2 and "OFFLINE" in refused.stderr.upper() and hub.requests == []
    result = bimors("fetch", "tiny")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'home' / 'bundles' / 'tiny'}\n"
    assert "Bearer hf_secret" in hub.tokens and "Traceback" not in result.stderr and "\r" not in result.stderr
    again = bimors("fetch", "tiny")
    assert again.returncode == 2 and "tiny exists" in again.stderr
