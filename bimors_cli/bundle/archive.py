"""Packing a bundle into one file, for machines without a network.

A zip file whose members are stored, not compressed: weights hardly compress, and a stored member cannot expand when it
is unpacked. Zip rather than tar, because its directory lists the members before anything is read.
"""

from __future__ import annotations

import shutil
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from bimors_cli.bundle.adapter import MANIFEST as ADAPTER_MANIFEST
from bimors_cli.bundle.adapter import WEIGHTS as ADAPTER_WEIGHTS
from bimors_cli.bundle.files import MAX_FILES, MAX_MANIFEST_BYTES, FileEntry, is_plain_name, parse_manifest
from bimors_cli.bundle.locate import BANDS, EMBEDDED
from bimors_cli.bundle.manifest import ADAPTER, MANIFEST, SCHEMA, UPGRADES, Bundle, bundle_of
from bimors_cli.bundle.schemas import check_schema
from bimors_cli.bundle.shared_files import local_files, share_files
from bimors_cli.bundle.store import (
    bundle_folder,
    check_space,
    disk_errors,
    exists_error,
    installed,
    locked,
    put_in_place,
    staging,
    verify_bundle,
)
from bimors_cli.errors import BundleError
from bimors_cli.steps import step

# The adapter has its own manifest; both files are small.
ADAPTER_MEMBERS = (f"{ADAPTER}/{ADAPTER_MANIFEST}", f"{ADAPTER}/{ADAPTER_WEIGHTS}")
MAX_ADAPTER_BYTES = 4 * 1024**3
_CHUNK = 1 << 20


def pack_bundle(folder: Path, target: Path) -> Bundle:
    """Verify a bundle and write it as one file; equal bundles give identical files.

    Other files in the folder (model card, charts) are not packed.

    Raises
    ------
    InputError
        The folder has no bundle.
    BundleError
        The bundle is damaged, or the file cannot be written.
    """
    bundle = verify_bundle(folder)
    names = [MANIFEST, *sorted(entry.path for entry in bundle.files)]
    names += [name for name in ADAPTER_MEMBERS if (folder / name).is_file()]
    with (
        step(f"packing {bundle.name}"),
        disk_errors(target),
        zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed,
    ):
        for name in names:
            member = zipfile.ZipInfo(name)  # dated 1980, so that the file is reproducible
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            member.file_size = (folder / name).stat().st_size  # zip64 is used where it is needed
            with (folder / name).open("rb") as stream, packed.open(member, "w") as written:
                shutil.copyfileobj(stream, written, _CHUNK)
    return bundle


def unpack_bundle(path: Path, target: Path | None = None, *, overwrite: bool = False) -> Bundle:
    """Unpack a bundle to the folder ``target``, by default to the folder of the installed bundles.

    Every member is checked before it is read, and the bundle before it is installed.

    Raises
    ------
    InputError
        ``target`` exists and ``overwrite`` is off.
    BundleError
        The file is not a packed bundle, or is damaged or unsafe; the message names the member.
    """
    with _open_zip(path) as packed:
        members = _members(path, packed)
        shown = Path(f"{path}:{MANIFEST}")
        content = parse_manifest(shown, _manifest_bytes(path, packed, members), SCHEMA, UPGRADES)
        check_schema(shown, content, "manifest")
        bundle = bundle_of(path, content)
        _check_members(path, bundle, members)
        if target is None:
            if bundle.name in (EMBEDDED, BANDS):
                raise BundleError(
                    f"{path}: contains {bundle.name}, which is part of bimors", "choose a folder with --to"
                )
            target = bundle_folder(bundle.name)
        with locked(target), disk_errors(target):
            if target.exists() and not overwrite:
                raise exists_error(target)
            built = staging(target) / "unpacked"
            shutil.rmtree(built, ignore_errors=True)
            check_space(target, sum(member.file_size for member in members.values()))
            try:
                with step(f"unpacking {path.name}"):
                    for name, member in members.items():
                        _extract(path, packed, member, built / PurePosixPath(name))
                share_files(verify_bundle(built), local_files(installed().values()))
                put_in_place(built, target, overwrite=overwrite)
            finally:
                shutil.rmtree(built, ignore_errors=True)
                if staging(target).is_dir() and not any(staging(target).iterdir()):
                    staging(target).rmdir()
    return bundle_of(target, content)


@contextmanager
def _open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as packed:
            yield packed
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
        raise BundleError(f"{path}: not a packed bundle: {error}") from error
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error


def _members(path: Path, packed: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name; unsafe members raise an error."""
    found = packed.infolist()
    if len(found) > MAX_FILES:
        raise BundleError(f"{path}: {len(found)} members; at most {MAX_FILES} are supported")
    checks: tuple[tuple[str, Callable[[zipfile.ZipInfo], bool]], ...] = (
        ("is not a plain name inside the folder", lambda m: m.filename != m.orig_filename),
        ("is not a plain name inside the folder", lambda m: not is_plain_name(m.filename)),
        ("is a link or a device, not a file", lambda m: stat.S_IFMT(m.external_attr >> 16) not in (0, stat.S_IFREG)),
        ("is encrypted", lambda m: bool(m.flag_bits & 1)),
        ("is compressed; members of a packed bundle are stored", lambda m: m.compress_type != zipfile.ZIP_STORED),
        ("has different packed and unpacked sizes", lambda m: m.file_size != m.compress_size),
    )
    for member in found:
        for why, applies in checks:
            if applies(member):
                raise BundleError(f"{path}: member {member.orig_filename!r} {why}")
    names: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for member in found:
        same = unicodedata.normalize("NFC", member.filename).casefold()
        if same in seen:
            raise BundleError(f"{path}: duplicate member {member.filename!r}")
        seen.add(same)
        names[member.filename] = member
    # Stored members that do not overlap cannot be larger than the file.
    total, size = sum(member.file_size for member in found), path.stat().st_size
    if total > size:
        raise BundleError(f"{path}: its members have {total:,} bytes in total, the file only {size:,}")
    return names


def _manifest_bytes(path: Path, packed: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> bytes:
    member = members.get(MANIFEST)
    if member is None:
        raise BundleError(f"{path}: not a packed bundle: {MANIFEST} not found in it")
    if member.file_size > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path}: member {MANIFEST} is too large for a manifest")
    return packed.read(member)


def _check_members(path: Path, bundle: Bundle, members: dict[str, zipfile.ZipInfo]) -> None:
    listed = {entry.path: entry for entry in bundle.files}
    for name, member in members.items():
        entry: FileEntry | None = listed.get(name)
        if entry is None and name != MANIFEST and name not in ADAPTER_MEMBERS:
            raise BundleError(f"{path}: member {name!r} is not in the manifest")
        if entry is not None and member.file_size != entry.size:
            raise BundleError(
                f"{path}: member {name!r} has {member.file_size} bytes, {entry.size} according to the manifest"
            )
        if name in ADAPTER_MEMBERS and member.file_size > MAX_ADAPTER_BYTES:
            raise BundleError(f"{path}: member {name!r} has {member.file_size:,} bytes, too large for an adapter")
    missing = [name for name in listed if name not in members]
    if missing:
        raise BundleError(f"{path}: {missing[0]!r} is missing", "pack the bundle again")


def _extract(path: Path, packed: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with packed.open(member) as stream, target.open("xb") as written:
        shutil.copyfileobj(stream, written, _CHUNK)
    if target.stat().st_size != member.file_size:
        raise BundleError(f"{path}: member {member.filename!r} is truncated")
