"""The catalog: bundles that can be fetched by name, with the sources, sizes and hashes of their files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Final

from bimors_cli.bundle.facts import (
    NO_FACTS,
    Answer,
    Facts,
    Protocol,
    Training,
    ZeroShot,
    parse_facts,
    parse_protocols,
    strictest,
)
from bimors_cli.bundle.files import FileEntry
from bimors_cli.bundle.input_bands import InputBands, parse_input_bands
from bimors_cli.bundle.loaded import Expected, Loaded
from bimors_cli.errors import BundleError, InputError

# Value of --captioner that leaves the captioner out.
NO_CAPTIONER: Final = "none"
_WITH: Final = "+"
# A LoRA is merged into the captioner at the fetch; its own files do not become a part of the bundle.
LORA: Final = "captioner_lora"
_OF_CAPTIONS: Final = ("captioner", LORA, "caption_encoder")


@dataclass(frozen=True)
class SourceFile:
    """A file at its source; ``size`` and ``sha256`` are None where no public source states them.

    ``about`` is an approximate size in bytes, for display. ``convert_to`` names the safetensors file that is made of a
    pickle, or of weights that a LoRA is merged into.
    """

    path: str
    size: int | None = None
    sha256: str | None = None
    about: int | None = None
    convert_to: str | None = None

    @property
    def target(self) -> str:
        """The file's name in the folder of the part."""
        return self.convert_to or self.path


@dataclass(frozen=True)
class Source:
    """The source of one model's files: a ``repository`` of the hub at a ``revision``, or a ``url``.

    The url is that of a zip file, or of a folder with the files. ``optional`` files are downloaded if the repository
    has them. ``image_size`` is the side of a captioner's images, in pixels. ``lora`` is the source of a LoRA that is
    merged into a captioner. ``facts`` is what public pages say of the model. ``loaded`` is None if the published files
    were never loaded.
    """

    licence: str
    files: tuple[SourceFile, ...]
    repository: str | None = None
    revision: str | None = None
    url: str | None = None
    optional: tuple[str, ...] = ()
    image_size: int = 224
    lora: Source | None = None
    facts: Facts = NO_FACTS
    loaded: Loaded | None = None

    @property
    def is_zip(self) -> bool:
        """Whether the source is a zip file with one checkpoint."""
        return self.url is not None and self.url.endswith(".zip")

    @property
    def origin(self) -> str:
        """The repository or the URL, for messages and records."""
        return self.repository or self.url or ""


@dataclass(frozen=True)
class CatalogEntry:
    """A bundle of the catalog.

    ``parts`` maps each part to its source; ``model_cfg`` and ``preprocess_cfg`` are written to
    ``open_clip_config.json``; ``bands`` are those that CLIP takes in place of red, green and blue; ``expected`` are the
    answers of its CLIP to the example, None if none are recorded; the other fields are those of the bundle's manifest.
    """

    name: str
    description: str
    context: str
    image_size: int
    architecture: str
    model_cfg: Mapping[str, Any]
    preprocess_cfg: Mapping[str, Any]
    parts: Mapping[str, Source]
    notes: tuple[str, ...]
    bands: InputBands | None = None
    expected: Expected | None = None

    @property
    def channels(self) -> int:
        """Number of bands that CLIP takes."""
        return 3 if self.bands is None else len(self.bands)

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands that CLIP takes, in its order."""
        return ("red", "green", "blue") if self.bands is None else self.bands.names

    @property
    def commercial(self) -> Answer:
        """Whether all parts together may be used commercially."""
        return strictest(source.facts.commercial for source in self.parts.values())

    @property
    def training(self) -> Training | None:
        """Training images of CLIP; None if they are not known."""
        return self.parts["clip"].facts.training

    @property
    def zero_shot(self) -> ZeroShot | None:
        """Published accuracy of CLIP; None if it is not known."""
        return self.parts["clip"].facts.zero_shot

    @property
    def context_length(self) -> int:
        """Context length of CLIP's text encoder, in tokens."""
        return int(self.model_cfg["text_cfg"]["context_length"])

    @property
    def licences(self) -> dict[str, str]:
        """Part to its licence and source."""
        return {part: f"{source.licence}; {source.origin}" for part, source in self.parts.items()}

    @property
    def size(self) -> int:
        """Bytes to download; files of unknown size are not counted."""
        return sum(file.size or file.about or 0 for source in self.parts.values() for file in source.files)

    @property
    def size_is_known(self) -> bool:
        """Whether the sizes of all weights are known; `size` may still lack configuration files of a few kB."""
        weights = [f for s in self.parts.values() for f in s.files if f.target.endswith(".safetensors")]
        return all(file.size or file.about for file in weights)

    @property
    def unconfirmed(self) -> list[str]:
        """Files without size or hash (``captioner/config.json``) and parts without revision, set by the first fetch."""
        return [
            *(part for part, source in self.parts.items() if source.repository and source.revision is None),
            *(
                f"{part}/{file.path}"
                for part, source in self.parts.items()
                for file in source.files
                if file.size is None or file.sha256 is None
            ),
        ]


def entries() -> tuple[CatalogEntry, ...]:
    """Return all bundles of the catalog, in its order."""
    return _read()


def one_of_each_clip() -> tuple[CatalogEntry, ...]:
    """Return the first entry of each CLIP: the others of the same CLIP differ by the captioner only."""
    found: list[CatalogEntry] = []
    for entry in entries():
        if all(entry.parts["clip"] != other.parts["clip"] for other in found):
            found.append(entry)
    return tuple(found)


@cache
def captioners() -> Mapping[str, Source]:
    """Return the captioners that bundles of the catalog can be combined with, by name."""
    content = _content()
    sources, names = _sources(content), [bundle["parts"].get("captioner") for bundle in content["bundles"]]
    return {name: sources[name] for name in names if name is not None}


def combined_name(name: str, captioner: str | None) -> str:
    """Return the name of a bundle with another captioner, ``georsclip-b32+blip-base``; ``none`` leaves it out."""
    return name if captioner is None else f"{name}{_WITH}{captioner}"


def entry_of(name: str) -> CatalogEntry:
    """Return the catalog's bundle with this name, which may be one of `combined_name`.

    Raises
    ------
    InputError
        The catalog has no bundle of that name, or no such captioner.
    """
    base, combined, captioner = name.partition(_WITH)
    found = next((entry for entry in entries() if entry.name == base), None)
    if found is None:
        raise InputError(f"{base}: not in the catalog of bundles", "list the bundles: bimors models list")
    return with_captioner(found, captioner) if combined else found


def with_captioner(entry: CatalogEntry, captioner: str) -> CatalogEntry:
    """Return a bundle with another captioner of the catalog and its caption encoder, or with `NO_CAPTIONER`.

    Raises
    ------
    InputError
        The catalog has no such captioner, or the bundle takes bands, which captioners do not.
    """
    size = entry.preprocess_cfg.get("size", entry.model_cfg["vision_cfg"]["image_size"])
    clip_size = max(size) if isinstance(size, list) else int(size)
    name = combined_name(entry.name, captioner)
    if captioner == NO_CAPTIONER:
        return replace(
            entry,
            name=name,
            description=f"{entry.name} without captioner: CLIP alone",
            image_size=clip_size,
            parts={part: source for part, source in entry.parts.items() if part not in _OF_CAPTIONS},
        )
    source = captioners().get(captioner)
    if source is not None and entry.bands is not None:
        raise InputError(
            f"{captioner}: {entry.name} takes {len(entry.bands)} bands, and captioners need colours",
            "leave out the captioner",
        )
    if source is None:
        known = ", ".join((*captioners(), NO_CAPTIONER))
        raise InputError(f"{captioner}: not a captioner of the catalog", f"use one of {known}")
    return replace(
        entry,
        name=name,
        description=f"{entry.name} with the captioner {captioner}",
        image_size=max(clip_size, source.image_size),
        parts=_with_lora(
            {"caption_encoder": entries()[0].parts["caption_encoder"], **entry.parts, "captioner": source}
        ),
    )


def _with_lora(parts: Mapping[str, Source]) -> dict[str, Source]:
    """Return the parts with the LoRA of the captioner, if it has one, before the captioner that it is merged into."""
    others = {part: source for part, source in parts.items() if part != LORA}
    lora = parts["captioner"].lora if "captioner" in parts else None
    return others if lora is None else {LORA: lora, **others}


def check_against_catalog(name: str, found: tuple[FileEntry, ...]) -> None:
    """Check the files of a bundle that has a name of the catalog against the sizes and hashes of the catalog.

    Raises
    ------
    BundleError
        A file differs from the catalog.
    """
    try:
        expected = dict(_unconverted(entry_of(name)))
    except InputError:  # a bundle of the user's own
        return
    for file in found:
        known = expected.get(file.path)
        if known is not None and (known.sha256 or file.sha256, known.size or file.size) != (file.sha256, file.size):
            raise BundleError(
                f"{name}: {file.path} differs from the file in the catalog",
                f"fetch it again: bimors models fetch {name}",
            )


def _unconverted(entry: CatalogEntry) -> Iterator[tuple[str, SourceFile]]:
    for part, source in entry.parts.items():
        for file in source.files:
            if file.convert_to is None:
                yield f"{part}/{file.path}", file


def _content() -> Any:
    return json.loads((files(__package__) / "catalogue.json").read_text(encoding="utf-8"))


@cache
def _read() -> tuple[CatalogEntry, ...]:
    return parse_catalog(_content())


def parse_catalog(content: Mapping[str, Any]) -> tuple[CatalogEntry, ...]:
    """Read the bundles of a catalog that follows ``schemas/catalogue.json``."""
    sources = _sources(content)
    return tuple(
        CatalogEntry(
            name=bundle["name"],
            description=bundle["description"],
            context=bundle["context"],
            image_size=bundle["image_size"],
            architecture=bundle["clip"]["architecture"],
            model_cfg=bundle["clip"]["model_cfg"],
            preprocess_cfg=bundle["clip"]["preprocess_cfg"],
            parts=_with_lora({part: sources[source] for part, source in bundle["parts"].items()}),
            notes=tuple(bundle["notes"]),
            bands=parse_input_bands(bundle["clip"]) if "bands" in bundle["clip"] else None,
            expected=Expected.read(bundle.get("expected")),
        )
        for bundle in content["bundles"]
    )


def _sources(content: Mapping[str, Any]) -> dict[str, Source]:
    sources: Mapping[str, Any] = content["sources"]
    protocols = parse_protocols(content.get("protocols", {}))
    return {name: _source(source, sources, protocols) for name, source in sources.items()}


def _source(source: Mapping[str, Any], sources: Mapping[str, Any], protocols: Mapping[str, Protocol]) -> Source:
    lora = source.get("lora")
    return Source(
        licence=source["licence"],
        files=tuple(SourceFile(**file) for file in source["files"]),
        repository=source.get("repository"),
        revision=source.get("revision"),
        url=source.get("url"),
        optional=tuple(source.get("optional", ())),
        image_size=source.get("image_size", 224),
        lora=_source(sources[lora], sources, protocols) if lora is not None else None,
        loaded=Loaded.read(source.get("loaded")),
        facts=parse_facts(source.get("facts", {}), protocols),
    )
