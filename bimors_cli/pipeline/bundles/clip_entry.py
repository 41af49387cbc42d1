"""What must be fetched for a CLIP of open_clip or of the hub: an entry as those of the catalog, and its conversion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import open_clip

from bimors_cli.bundle import hub
from bimors_cli.bundle.catalog import CatalogEntry, Source, SourceFile
from bimors_cli.bundle.fetch_record import record_of, recorded_revision
from bimors_cli.bundle.manifest import CLIP
from bimors_cli.bundle.references import ClipReference
from bimors_cli.errors import BundleError, InputError
from bimors_cli.model.clip import CONFIG, TOKENIZER_CONFIG, WEIGHTS, refuse_code
from bimors_cli.model.clip_check import check_config
from bimors_cli.model.pickle_to_safetensors import pickle_to_safetensors
from bimors_cli.model.transformers_clip import convert_to_open_clip, open_clip_config
from bimors_cli.pipeline.bundles.make import TOKENIZER

_PICKLE: Final = "open_clip_pytorch_model.bin"
_THEIR_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
_CONTEXT: Final = "a photo of a"


@dataclass(frozen=True)
class ClipEntry:
    """The entry of a CLIP; ``convert`` makes safetensors files of the bundle from files of its sources."""

    entry: CatalogEntry
    convert: Callable[[Path, Path], None]


def entry_of_reference(reference: ClipReference, target: Path) -> ClipEntry:
    """Find out what the bundle of a CLIP consists of. The hub is asked for its files and settings.

    Parameters
    ----------
    reference : ClipReference
        The CLIP.
    target : Path
        Folder of the bundle. The commit that an earlier fetch of it recorded is kept: a branch that has moved since is
        not followed.

    Raises
    ------
    InputError
        open_clip has no such architecture or no such weights, or HF_HUB_OFFLINE is set.
    BundleError
        The repository is not found, is not a CLIP, comes with its own code, or has no weights that can be used.
    """
    hub.refuse_offline()
    return _of_open_clip(reference, target) if reference.library == "openclip" else _of_hub(reference, target)


def _of_open_clip(reference: ClipReference, target: Path) -> ClipEntry:
    architecture, tag = reference.first, reference.second
    model = open_clip.get_model_config(architecture)
    if model is None:
        raise InputError(
            f"--model {reference.text}: open_clip has no architecture {architecture}",
            _near(architecture, open_clip.list_models()),
        )
    weights = open_clip.get_pretrained_cfg(architecture, tag)
    if not weights:
        raise InputError(
            f"--model {reference.text}: open_clip has no weights {tag} for {architecture}",
            _near(tag, open_clip.list_pretrained_tags_by_model(architecture)),
        )
    if weights.get("quick_gelu"):
        model["quick_gelu"] = True
    repository, file = _split(weights.get("hf_hub") or "")
    if not repository:
        raise BundleError(
            f"{reference.text}: these weights are not on the hub", "download them, and use bimors models new"
        )
    source, remote = _listing(repository, reference, target)
    chosen = file or _first(remote, (WEIGHTS, _PICKLE), reference.text)
    images = {key: weights[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in weights}
    config = {"model_cfg": model, "preprocess_cfg": images | {"size": _size(model)}}
    return _open_clip_entry(reference, source, remote, config, chosen)


def _of_hub(reference: ClipReference, target: Path) -> ClipEntry:
    repository = f"{reference.first}/{reference.second}"
    source, remote = _listing(repository, reference, target)
    if CONFIG in remote.files:
        config = hub.read_json(source, remote, CONFIG)
        return _open_clip_entry(reference, source, remote, config, _first(remote, (WEIGHTS, _PICKLE), repository))
    if "config.json" not in remote.files:
        raise BundleError(
            f"{repository}: neither {CONFIG} nor config.json found: not a CLIP that open_clip or transformers can load",
            "use a repository in one of their layouts, or bimors models new with the files",
        )
    images = "preprocessor_config.json"
    config = open_clip_config(
        repository,
        hub.read_json(source, remote, "config.json"),
        hub.read_json(source, remote, images) if images in remote.files else {},
    )
    weights = SourceFile(_first(remote, _THEIR_WEIGHTS, repository), convert_to=WEIGHTS)
    return ClipEntry(_entry(reference, source, remote, config, weights), _from_transformers)


def _open_clip_entry(
    reference: ClipReference, source: Source, remote: hub.Remote, config: Mapping[str, Any], weights: str
) -> ClipEntry:
    try:
        model, text = config["model_cfg"], config["model_cfg"]["text_cfg"]
        _size(model)
    except KeyError as error:
        raise BundleError(
            f"{source.repository}: {CONFIG} is not one of open_clip: {error} is missing", "use another repository"
        ) from error
    except (TypeError, ValueError) as error:
        raise BundleError(
            f"{source.repository}: {CONFIG} is not one of open_clip: {error}", "use another repository"
        ) from error
    if "multimodal_cfg" in model:
        raise BundleError(f"{reference.text}: CoCa, which has a decoder, is not supported", "use a CLIP")
    if "hf_model_name" in text:
        raise BundleError(
            f"{reference.text}: its text tower is {text['hf_model_name']} of transformers, which is not supported",
            "use a CLIP with a text tower of open_clip",
        )
    check_config(f"{source.repository}: {CONFIG}", config)
    # A file with another name gets the name of the bundle's; safetensors are only copied.
    file = SourceFile(weights, convert_to=None if weights == WEIGHTS else WEIGHTS)
    return ClipEntry(_entry(reference, source, remote, config, file), _from_open_clip)


def _entry(
    reference: ClipReference, source: Source, remote: hub.Remote, config: Mapping[str, Any], weights: SourceFile
) -> CatalogEntry:
    model = config["model_cfg"]
    tokenizer = _tokenizer(reference, source, remote, model["text_cfg"])
    known = SourceFile(weights.path, about=remote.files[weights.path].size, convert_to=weights.convert_to)
    return CatalogEntry(
        name=reference.bundle_name,
        description=f"CLIP {reference.text}",
        context=_CONTEXT,
        image_size=_size(model),
        architecture=reference.first if reference.library == "openclip" else "of the repository",
        model_cfg=model,
        preprocess_cfg=config.get("preprocess_cfg") or {},
        parts={CLIP: Source(remote.licence or "not stated", (known, *tokenizer), source.repository, remote.revision)},
        notes=(
            f"Licence of the weights, as the hub states it: {remote.licence or 'none'}.",
            *((remote.moved,) if remote.moved else ()),
        ),
    )


def _tokenizer(
    reference: ClipReference, source: Source, remote: hub.Remote, text: Mapping[str, Any]
) -> tuple[SourceFile, ...]:
    """Return the files of the tokenizer; none for a model with CLIP's own, which open_clip has built in."""
    if not text.get("hf_tokenizer_name"):
        return ()
    files = tuple(SourceFile(name) for name in TOKENIZER if name in remote.files)
    if not files:
        raise BundleError(
            f"{reference.text}: {source.repository} does not have its tokenizer",
            f"use a repository with {TOKENIZER[0]}, or bimors models new with the files",
        )
    # Before the weights are downloaded in vain.
    settings = hub.read_json(source, remote, TOKENIZER_CONFIG) if TOKENIZER_CONFIG in remote.files else {}
    refuse_code(f"{source.repository}: {TOKENIZER_CONFIG}", text, settings)
    return files


def _listing(repository: str, reference: ClipReference, target: Path) -> tuple[Source, hub.Remote]:
    source = Source("", (), repository=repository, revision=reference.revision)
    try:
        return source, hub.read_recorded(source, recorded_revision(target), record_of(target))
    except hub.NotFoundError as error:
        raise InputError(f"--model {reference.text}: {error.message}", error.hint) from error


def _first(remote: hub.Remote, names: tuple[str, ...], where: str) -> str:
    for name in names:
        if name in remote.files:
            return name
    if any(name.endswith(".index.json") for name in remote.files):
        raise BundleError(f"{where}: its weights are in several files, which is not supported for CLIP")
    raise BundleError(f"{where}: none of {', '.join(names)} found", "use a repository with safetensors weights")


def _from_open_clip(source: Path, target: Path) -> None:
    if source.suffix == ".safetensors":
        source.replace(target)
    else:
        pickle_to_safetensors(source, target)


def _from_transformers(source: Path, target: Path) -> None:
    if target.name != WEIGHTS:  # another part, such as a captioner of the catalog
        pickle_to_safetensors(source, target)
        return
    if source.suffix == ".safetensors":
        convert_to_open_clip(source, target)
        return
    between = target.with_name(f"{target.name}.tensors")
    try:
        pickle_to_safetensors(source, between)
        convert_to_open_clip(between, target)
    finally:
        between.unlink(missing_ok=True)


def _split(hub_name: str) -> tuple[str, str]:
    """Split ``owner/name/file`` into repository and file, which may be empty."""
    owner, _, rest = hub_name.partition("/")
    name, _, file = rest.partition("/")
    return (f"{owner}/{name}" if name else ""), file


def _size(model: Mapping[str, Any]) -> int:
    size = model["vision_cfg"]["image_size"]
    return max(size) if isinstance(size, (list, tuple)) else int(size)


def _near(name: str, known: list[str]) -> str:
    found = get_close_matches(name, known, n=5, cutoff=0.4) or known[:10]
    return f"use one of {', '.join(found)}" if found else "see open_clip.list_pretrained() in Python"
