"""The catalogue: bundles that can be fetched by name, where their files come from and what they must be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from bimors_cli.bundle.files import FileEntry
from bimors_cli.errors import BundleError, InputError


@dataclass(frozen=True)
class SourceFile:
    """A file at its source; ``None`` is what no public source confirmed.

    ``about`` is a rounded size, for people. ``convert_to`` names the safetensors file that is made of a pickle.
    """

    path: str
    size: int | None = None
    sha256: str | None = None
    about: int | None = None
    convert_to: str | None = None

    @property
    def target(self) -> str:
        """Its name in the part's folder."""
        return self.convert_to or self.path


@dataclass(frozen=True)
class Source:
    """Where one model's files come from: a ``repository`` of the hub at a ``revision``, or the ``url`` of a zip file.

    ``optional`` are files that are taken where the repository has them.
    """

    licence: str
    files: tuple[SourceFile, ...]
    repository: str | None = None
    revision: str | None = None
    url: str | None = None
    optional: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """For people and records."""
        return self.repository or self.url or ""


@dataclass(frozen=True)
class CatalogEntry:
    """A bundle of the catalogue.

    ``parts`` maps each part to its source; ``model_cfg`` and ``preprocess_cfg`` are what ``open_clip_config.json`` will
    say; the other fields are those of the bundle's manifest.
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

    @property
    def context_length(self) -> int:
        """Tokens that CLIP's text tower reads."""
        return int(self.model_cfg["text_cfg"]["context_length"])

    @property
    def licences(self) -> dict[str, str]:
        """Part to its terms."""
        return {part: f"{source.licence}; {source.origin}" for part, source in self.parts.items()}

    @property
    def size(self) -> int:
        """Bytes to download, as far as they are known."""
        return sum(file.size or file.about or 0 for source in self.parts.values() for file in source.files)

    @property
    def size_is_known(self) -> bool:
        """Whether `size` counts all weights; a few kilobytes of settings may be missing in any case."""
        weights = [f for s in self.parts.values() for f in s.files if f.target.endswith(".safetensors")]
        return all(file.size or file.about for file in weights)

    @property
    def unconfirmed(self) -> list[str]:
        """What the catalogue leaves to the first fetch: ``captioner/config.json``, or a part without a revision."""
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
    """All bundles of the catalogue, in its order."""
    return _read()


def entry_of(name: str) -> CatalogEntry:
    """Return the bundle with this name.

    Raises
    ------
    InputError
        There is none.
    """
    for entry in entries():
        if entry.name == name:
            return entry
    raise InputError(f"{name}: no bundle of the catalogue", "bimors models list shows them")


def check_against_catalogue(name: str, found: tuple[FileEntry, ...]) -> None:
    """Check that the files of a bundle with a catalogue's name are those of the catalogue, as far as it knows them.

    Raises
    ------
    BundleError
        One is another.
    """
    promised = {path: file for entry in entries() if entry.name == name for path, file in _unconverted(entry)}
    for file in found:
        known = promised.get(file.path)
        if known is not None and (known.sha256 or file.sha256, known.size or file.size) != (file.sha256, file.size):
            raise BundleError(
                f"{name}: {file.path} is not the file that the catalogue promises", f"bimors models fetch {name}"
            )


def _unconverted(entry: CatalogEntry) -> Iterator[tuple[str, SourceFile]]:
    for part, source in entry.parts.items():
        for file in source.files:
            if file.convert_to is None:
                yield f"{part}/{file.path}", file


@cache
def _read() -> tuple[CatalogEntry, ...]:
    return parse_catalogue(json.loads((files(__package__) / "catalogue.json").read_text(encoding="utf-8")))


def parse_catalogue(content: Mapping[str, Any]) -> tuple[CatalogEntry, ...]:
    """Take the bundles out of a catalogue that has the form of ``schemas/catalogue.json``."""
    sources = {
        name: Source(
            licence=source["licence"],
            files=tuple(SourceFile(**file) for file in source["files"]),
            repository=source.get("repository"),
            revision=source.get("revision"),
            url=source.get("url"),
            optional=tuple(source.get("optional", ())),
        )
        for name, source in content["sources"].items()
    }
    return tuple(
        CatalogEntry(
            name=bundle["name"],
            description=bundle["description"],
            context=bundle["context"],
            image_size=bundle["image_size"],
            architecture=bundle["clip"]["architecture"],
            model_cfg=bundle["clip"]["model_cfg"],
            preprocess_cfg=bundle["clip"]["preprocess_cfg"],
            parts={part: sources[source] for part, source in bundle["parts"].items()},
            notes=tuple(bundle["notes"]),
        )
        for bundle in content["bundles"]
    )
