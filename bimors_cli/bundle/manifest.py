"""A bundle: everything frozen (CLIP, captioner, caption encoder) in one folder, by name, held to its manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bimors_cli.bundle.files import (
    FileEntry,
    Upgrade,
    list_files,
    parse_files,
    read_manifest,
    refuse_strangers,
    sha256_of_files,
    verify_files,
)
from bimors_cli.bundle.schemas import check_form
from bimors_cli.errors import BundleError, InputError
from bimors_cli.options.templates import GAP, REMOTE_SENSING, check_templates

MANIFEST = "manifest.json"
SCHEMA = 1
# From an older schema to what makes the next one of it. There is none older yet.
UPGRADES: Mapping[int, Upgrade] = {}
CLIP, CAPTIONER, CAPTION_ENCODER, ADAPTER = "clip", "captioner", "caption_encoder", "adapter"
PARTS = (CLIP, CAPTIONER, CAPTION_ENCODER)

_WORD = re.compile(r"[^\W_]+", re.UNICODE)


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk.

    Parameters
    ----------
    folder : Path
        Where it lies; its parts are the folders ``clip``, ``captioner``, ``caption_encoder`` and ``adapter`` in it.
    name, description : str
        For people.
    context : str
        The words that a trained prompt begins with, ``a photo of a``.
    image_size : int
        Pixels a side of the largest picture that one of its models looks at; larger tiles are read decimated.
    zero_shot_temperature : float
        By which the zero-shot head's logits are divided, fitted on held-out images with `templates`.
    vocabulary : frozenset of str or None
        Lower-case words that the bundle saw in training; None when it saw too many to list.
    licences : mapping
        Part or source to its terms.
    files : tuple of FileEntry
        Every frozen file; the adapter has a manifest of its own.
    own_templates : tuple of str
        The zero-shot head's templates, where the manifest names them.
    """

    folder: Path
    name: str
    description: str
    context: str
    image_size: int
    zero_shot_temperature: float
    vocabulary: frozenset[str] | None
    licences: Mapping[str, str]
    files: tuple[FileEntry, ...]
    own_templates: tuple[str, ...] = ()

    @property
    def templates(self) -> tuple[str, ...]:
        """The zero-shot head's: the bundle's own, else those for remote sensing."""
        return self.own_templates or REMOTE_SENSING

    @property
    def one_template(self) -> str:
        """The context as a template, what an untrained prompt learner reads."""
        return f"{self.context} {GAP}."

    @property
    def sha256(self) -> str:
        """Identity of the frozen parts."""
        return sha256_of_files(self.files)

    def part(self, name: str) -> Path:
        """Return the folder of a part."""
        return self.folder / name

    def part_sha256(self, name: str) -> str:
        """Return the hash of the files of a part."""
        return sha256_of_files(entry for entry in self.files if entry.path.startswith(f"{name}/"))

    def unknown_words(self, label: str) -> tuple[str, ...]:
        """Words of a label that the bundle never saw, in order; empty when its vocabulary is open."""
        if self.vocabulary is None:
            return ()
        return tuple(dict.fromkeys(w for w in _WORD.findall(label.lower()) if w not in self.vocabulary))


def open_bundle(folder: Path) -> Bundle:
    """Open a bundle and verify every file of it.

    Raises
    ------
    InputError
        There is none.
    BundleError
        It is incomplete or changed, holds files that its manifest does not name, or is of a newer schema.
    """
    bundle = read_bundle(folder)
    refuse_strangers(folder, PARTS, bundle.files)
    verify_files(folder, bundle.files)
    return bundle


def read_bundle(folder: Path) -> Bundle:
    """Read what a bundle says of itself. Its files are not looked at.

    Raises
    ------
    InputError
        There is none.
    BundleError
        Its manifest is damaged, or of a newer schema.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder}: no bundle there (no {MANIFEST})", "bimors models list shows the bundles")
    return bundle_of(folder, read_manifest(path, SCHEMA, UPGRADES))


def bundle_of(folder: Path, content: Mapping[str, Any]) -> Bundle:
    """Take a bundle out of its manifest's content.

    Raises
    ------
    BundleError
        The manifest is damaged.
    """
    path = folder / MANIFEST
    try:
        words = content["vocabulary"]
        bundle = Bundle(
            folder=folder,
            name=str(content["name"]),
            description=str(content["description"]),
            context=str(content["context"]),
            image_size=int(content["image_size"]),
            zero_shot_temperature=float(content["zero_shot_temperature"]),
            vocabulary=None if words is None else frozenset(map(str, words)),
            licences={str(k): str(v) for k, v in content["licences"].items()},
            files=parse_files(path, content),
            own_templates=_templates(content["templates"]) if "templates" in content else (),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        check_form(path, content, "manifest")  # knows the place
        raise BundleError(f"{path}: damaged: {error}") from error
    for entry in bundle.files:
        if entry.path.partition("/")[0] not in PARTS:
            raise BundleError(f"{path}: names {entry.path!r}, which is in none of the parts {', '.join(PARTS)}")
    return bundle


def _templates(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
        raise TypeError("templates is not a list of texts")
    try:
        check_templates(given, "templates:")
    except InputError as error:
        raise ValueError(error.message) from error
    return tuple(given)


def write_bundle_manifest(
    folder: Path,
    *,
    name: str,
    description: str,
    context: str,
    image_size: int,
    zero_shot_temperature: float,
    vocabulary: Sequence[str] | None,
    licences: Mapping[str, str],
    templates: Sequence[str] = (),
) -> Bundle:
    """Measure the files of the parts that lie in ``folder`` and write the manifest; they are not read once more.

    Without ``templates`` it names none, and the zero-shot head has those for remote sensing.

    Raises
    ------
    BundleError
        A name or a value is none that a manifest may have.
    """
    parts = [folder / part for part in PARTS]
    paths = [p.relative_to(folder).as_posix() for part in parts for p in part.rglob("*") if p.is_file()]
    content = {
        "schema": SCHEMA,
        "name": name,
        "description": description,
        "context": context,
        "image_size": image_size,
        "zero_shot_temperature": zero_shot_temperature,
        **({"templates": list(templates)} if templates else {}),
        "licences": dict(licences),
        "files": [asdict(entry) for entry in list_files(folder, paths)],
        "vocabulary": None if vocabulary is None else sorted(vocabulary),
    }
    check_form(folder / MANIFEST, content, "manifest")
    bundle = bundle_of(folder, content)
    (folder / MANIFEST).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return bundle
