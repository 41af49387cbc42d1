"""One bundle of the catalog as it is published, small, on a hub on this machine."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest

from bimors_cli.bundle import catalog
from bimors_cli.model.clip import CHANNELS
from bimors_cli.model.pickle_to_safetensors import convert
from bimors_cli.pipeline.bundles import clip_entry, make, to_fetch
from tests.bundle.hub_server import COMMIT, Hub, serve
from tests.published_layouts.layouts import small_files


@dataclass(frozen=True)
class Published:
    """A hub with the repositories of one bundle, and the catalog's content with what is small in it."""

    hub: Hub
    content: dict[str, Any]


@contextmanager
def published(name: str) -> Iterator[Published]:
    """Serve the small layouts of a bundle of the catalog.

    The content is the catalog's own but for: CLIP's configuration, which is small; the commit, which is the hub's; the
    address of a zip file; sizes and hashes, which are those of the small files where the catalog has some at all.
    """
    content = copy.deepcopy(catalog._content())
    (bundle,) = (one for one in content["bundles"] if one["name"] == name)
    content["bundles"] = [bundle]
    parts = bundle["parts"].values()
    loras = [content["sources"][source]["lora"] for source in parts if "lora" in content["sources"][source]]
    content["sources"] = {source: content["sources"][source] for source in (*parts, *loras)}
    with serve(Hub({})) as hub:
        for source, described in content["sources"].items():
            is_clip = source == bundle["parts"]["clip"]
            files, reduced = small_files(source, clip_settings(bundle["clip"]) if is_clip else None)
            if is_clip:
                bundle["clip"]["model_cfg"] = {key: value for key, value in reduced.items() if key != CHANNELS}
            _serve(hub, described, files)
        yield Published(hub, content)


def clip_settings(clip: Mapping[str, Any]) -> dict[str, Any]:
    """Return open_clip's configuration of a bundle of the catalog, with the number of bands if it takes bands."""
    bands = {CHANNELS: len(clip["bands"])} if "bands" in clip else {}
    return {**clip["model_cfg"], **bands}


def _serve(hub: Hub, source: dict[str, Any], files: dict[str, bytes]) -> None:
    if "url" in source:
        path = unquote(urlsplit(source["url"]).path)
        for name, content in files.items():
            hub.plain[path if path.endswith(f"/{name}") else f"{path}/{name}"] = content
        source["url"] = hub.url + quote(path)
    else:
        assert not source["revision"] or len(source["revision"]) == len(COMMIT)
        source["revision"] = source["revision"] and COMMIT
        hub.repositories[source["repository"]] = {**files, "README.md": b"not to be downloaded"}
    for file in source["files"]:
        assert file["path"] in files, f"the layout lacks {file['path']}"
        if file["size"] is not None:
            file["size"] = len(files[file["path"]])
        if file["sha256"] is not None:
            file["sha256"] = hashlib.sha256(files[file["path"]]).hexdigest()


def use_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub of this process take the server for the hub, as HF_ENDPOINT does at a start."""
    from huggingface_hub import constants

    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def convert_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert pickles without a further process, whose start takes seconds."""
    for module in (clip_entry, make, to_fetch):
        monkeypatch.setattr(module, "pickle_to_safetensors", convert)


@contextmanager
def as_catalog(content: dict[str, Any]) -> Iterator[None]:
    """Let the program read this content as its catalog."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "_content", lambda: content)
        _forget()
        try:
            yield
        finally:
            patch.undo()
            _forget()


def _forget() -> None:
    catalog._read.cache_clear()
    catalog.captioners.cache_clear()
