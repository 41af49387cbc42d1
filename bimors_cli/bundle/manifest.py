"""A bundle: the frozen models (CLIP, captioner, caption encoder) in one folder, verified against its manifest."""

from __future__ import annotations

import hashlib
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
    reject_unlisted_files,
    sha256_of_files,
    verify_files,
)
from bimors_cli.bundle.input_bands import InputBands, parse_input_bands
from bimors_cli.bundle.schemas import check_schema
from bimors_cli.bundle.stamps import forget_stamp, read_stamp, take_states, write_stamp
from bimors_cli.bundle.training_domain import TrainingDomain, parse_training_domain
from bimors_cli.errors import BundleError, InputError
from bimors_cli.options.templates import GAP, REMOTE_SENSING, check_templates
from bimors_cli.steps import step

MANIFEST = "manifest.json"
SCHEMA = 1
# Older schema to the function that upgrades it by one. Schema 1 is the first.
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
        Its folder, with the parts ``clip``, ``captioner``, ``caption_encoder`` and ``adapter`` as subfolders. All but
        ``clip`` may be missing.
    name, description : str
        Name and description, for display.
    context : str
        Words that a trained prompt starts with, ``a photo of a``.
    image_size : int
        Side of the largest model input, in pixels; larger tiles are read decimated.
    zero_shot_temperature : float
        Divisor of the zero-shot head's logits, fitted on held-out images with `templates`.
    vocabulary : frozenset of str or None
        Lower-case words of the training captions; None for models with an open vocabulary.
    licences : mapping
        Part or source to its licence.
    files : tuple of FileEntry
        All frozen files; the adapter has its own manifest.
    own_templates : tuple of str
        Templates of the zero-shot head from the manifest; may be empty.
    training_domain : TrainingDomain or None
        Pixel and image sizes of the training images; None if the manifest does not state them.
    bands : InputBands or None
        The bands that CLIP takes; None if it takes red, green and blue, stretched to 8 bits.
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
    training_domain: TrainingDomain | None = None
    bands: InputBands | None = None

    @property
    def templates(self) -> tuple[str, ...]:
        """Templates of the zero-shot head: the bundle's own, else those for remote sensing."""
        return self.own_templates or REMOTE_SENSING

    @property
    def one_template(self) -> str:
        """The context as a template: the prompt of an untrained prompt learner."""
        return f"{self.context} {GAP}."

    @property
    def sha256(self) -> str:
        """Hash that identifies the frozen parts."""
        return self._with_bands(sha256_of_files(self.files))

    def part(self, name: str) -> Path:
        """Return the folder of a part."""
        return self.folder / name

    def part_sha256(self, name: str) -> str:
        """Return the hash of the files of a part; that of ``clip`` includes the bands."""
        found = sha256_of_files(self._files_of(name))
        return self._with_bands(found) if name == CLIP else found

    def has_part(self, name: str) -> bool:
        """Tell whether the bundle has a part."""
        return bool(self._files_of(name))

    def _files_of(self, part: str) -> tuple[FileEntry, ...]:
        return tuple(entry for entry in self.files if entry.path.startswith(f"{part}/"))

    def _with_bands(self, sha256: str) -> str:
        """Add the bands, which decide the features as the weights do, to a hash."""
        if self.bands is None:
            return sha256
        bands = [asdict(band) for band in self.bands.bands]
        return hashlib.sha256(f"{sha256}\n{json.dumps(bands, sort_keys=True)}".encode()).hexdigest()

    def unknown_words(self, label: str) -> tuple[str, ...]:
        """Return the words of a label that the bundle was not trained on, in order; empty for an open vocabulary."""
        if self.vocabulary is None:
            return ()
        return tuple(dict.fromkeys(w for w in _WORD.findall(label.lower()) if w not in self.vocabulary))


def open_bundle(folder: Path, *, hash_again: bool = False) -> Bundle:
    """Open a bundle and verify all of its files.

    A file that was hashed before and has not changed since, by its stamp (see `bimors_cli.bundle.stamps`), is hashed
    only with ``hash_again``.

    Raises
    ------
    InputError
        The folder has no bundle.
    BundleError
        The bundle is incomplete or changed, has files that are not in its manifest, or has a newer schema.
    """
    bundle = read_bundle(folder)
    reject_unlisted_files(folder, PARTS, bundle.files)
    if hash_again:
        forget_stamp(folder)  # first, so that a file that turns out to be changed has none
    stamp = read_stamp(folder)
    # Before the files are read, so that a change during the reading makes them differ.
    states = take_states(folder, bundle.files)
    with step(f"verifying the files of {bundle.name}"):
        verify_files(folder, bundle.files, lambda entry: stamp.covers(folder, entry))
    if states != stamp:
        write_stamp(folder, states)
    return bundle


def read_bundle(folder: Path) -> Bundle:
    """Read the manifest of a bundle. Its files are not verified.

    Raises
    ------
    InputError
        The folder has no bundle.
    BundleError
        The manifest is damaged or has a newer schema.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder}: not a bundle ({MANIFEST} not found)", "list the bundles: bimors models list")
    return bundle_of(folder, read_manifest(path, SCHEMA, UPGRADES))


def bundle_of(folder: Path, content: Mapping[str, Any]) -> Bundle:
    """Make a bundle from the content of its manifest.

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
            training_domain=parse_training_domain(content["training_domain"]) if "training_domain" in content else None,
            bands=parse_input_bands(content) if "bands" in content else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        check_schema(path, content, "manifest")  # its message has the JSON path
        raise BundleError(f"{path}: damaged: {error}") from error
    for entry in bundle.files:
        if entry.path.partition("/")[0] not in PARTS:
            raise BundleError(f"{path}: lists {entry.path!r}, which is not in one of the folders {', '.join(PARTS)}")
    return bundle


def _templates(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not given or not all(isinstance(text, str) for text in given):
        raise TypeError("templates is not a list of strings")
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
    training_domain: TrainingDomain | None = None,
    bands: InputBands | None = None,
) -> Bundle:
    """Hash the files of the parts in ``folder``, write the manifest, and return the bundle without verifying it.

    Without ``templates`` the manifest has none, and the zero-shot head uses those for remote sensing. Without
    ``training_domain`` no scene is reported as outside of it. Without ``bands`` CLIP takes red, green and blue.

    Raises
    ------
    BundleError
        A name or a value is not valid in a manifest.
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
        **({"training_domain": training_domain.as_json()} if training_domain else {}),
        **(bands.as_json() if bands else {}),
        "licences": dict(licences),
        "files": [asdict(entry) for entry in list_files(folder, paths)],
        "vocabulary": None if vocabulary is None else sorted(vocabulary),
    }
    check_schema(folder / MANIFEST, content, "manifest")
    bundle = bundle_of(folder, content)
    (folder / MANIFEST).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return bundle
