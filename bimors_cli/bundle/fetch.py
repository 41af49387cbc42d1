"""Fetching a bundle of the catalog: every file is checked; the bundle is installed complete or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bimors_cli.bundle import hub
from bimors_cli.bundle.catalog import LORA, CatalogEntry, Source, SourceFile
from bimors_cli.bundle.fetch_record import DownloadedFile, read_record, record_of, write_record
from bimors_cli.bundle.files import is_plain_name, sha256_of
from bimors_cli.bundle.manifest import CLIP, MANIFEST, Bundle, read_bundle, write_bundle_manifest
from bimors_cli.bundle.safetensors_file import check_finite
from bimors_cli.bundle.shared_files import LocalFile, LocalFiles, link_or_copy, local_files
from bimors_cli.bundle.store import check_space, disk_errors, exists_error, installed, locked, put_in_place, staging
from bimors_cli.errors import BundleError
from bimors_cli.options.band_names import CHANNELS

# Larger than any checkpoint of the catalog, optimiser state included.
MAX_CHECKPOINT_BYTES = 64 * 1024**3
_CHUNK = 1 << 20

# Makes the safetensors file of a pickle, or of weights and a LoRA.
Convert = Callable[[Path, Path], None]
Report = Callable[[str], None]
# Checks the folder of a CLIP: that its files belong together.
Check = Callable[[Path], None]


@dataclass(frozen=True)
class _Download:
    """A file to download: its expected size and hash, what its source reports of it, and the target folder.

    ``local`` is the same file, or what it is converted to, in another installed bundle; it is linked instead.
    """

    source: Source
    file: SourceFile
    remote: hub.RemoteFile
    size: int | None
    sha256: str | None
    folder: Path
    local: LocalFile | None

    @property
    def path(self) -> Path:
        return self.folder / (self.file.path if self.local is None else self.file.target)

    @property
    def partial(self) -> Path:
        # Other content has another etag, and its download starts from scratch.
        tag = hashlib.sha256(f"{self.remote.etag}{self.remote.size}".encode()).hexdigest()[:16]
        return self.folder.parents[1] / "growing" / f"{self.folder.name}-{tag}-{Path(self.file.path).name}"


def fetch_bundle(
    entry: CatalogEntry,
    target: Path,
    convert: Convert,
    report: Report,
    *,
    progress: bool = True,
    check: Check | None = None,
) -> Bundle:
    """Fetch a bundle to the folder ``target``.

    Sizes and hashes that the catalog does not have are taken from the first fetch and recorded next to the bundle
    (`fetch_record.record_of`); later fetches must match them. An interrupted fetch is resumed.

    Parameters
    ----------
    entry : CatalogEntry
        The bundle.
    target : Path
        The bundle's folder; it must not exist.
    convert : callable
        Makes the safetensors file of a file with ``convert_to``, see `SourceFile`: path of the file, path to write. The
        files of a LoRA, converted, are in the folder `LORA` next to that of the file that it is merged into.
    report : callable
        Called with progress messages.
    progress : bool
        Show progress bars on standard error.
    check : callable, optional
        Called with the folder of CLIP before the bundle is installed; it raises BundleError if its files do not belong
        together.

    Raises
    ------
    InputError
        ``target`` exists, or HF_HUB_OFFLINE is set.
    BundleError
        A source cannot be reached or its files differ from the catalog; the disk is full or cannot be written to;
        weights are not finite.
    """
    hub.refuse_offline()
    with locked(target), disk_errors(target):
        if target.exists():
            raise exists_error(target)
        record = read_record(record_of(target), entry)
        built, downloads = staging(target) / "bundle", staging(target) / "download"
        # A LoRA is merged into the captioner, and is not a part of the bundle itself.
        folders = {part: (downloads if part == LORA else built) / part for part in entry.parts}
        local = local_files(installed().values())
        revisions: dict[str, str | None] = {}
        queue: dict[str, list[_Download]] = {}
        for part, source in entry.parts.items():
            recorded = record.get(part)
            remote = hub.read_recorded(source, recorded and recorded["revision"], record_of(target))
            if remote.moved is not None:
                report(remote.moved)
            if remote.renamed is not None:
                report(f"{source.repository} is called {remote.renamed} on the hub now: its files come from there")
            revisions[part] = remote.revision
            queue[part] = list(_downloads(source, remote, recorded, folders[part], downloads / part, local))
        every = [item for of_part in queue.values() for item in of_part]
        check_space(target, sum(map(_bytes_needed, every)))
        _remove_others(built, {item.path for item in every})
        _report_shared(every, report)
        downloaded: dict[str, list[DownloadedFile]] = {}
        for part, of_part in queue.items():
            downloaded[part] = [_download(item, report, progress) for item in of_part]
            for item in of_part:
                if item.file.convert_to is not None and item.local is None:
                    merged = item.source.lora is not None and item.path.suffix == ".safetensors"
                    name = item.path.name
                    report(f"merging the LoRA into {name}" if merged else f"converting {name} to safetensors")
                    with _removing(staging(target), item.folder, item.source):
                        _convert(item, folders[part] / item.file.convert_to, convert)
        (built / CLIP / "open_clip_config.json").write_text(_clip_config(entry), encoding="utf-8")
        report("checking the weights")
        for part, source in entry.parts.items():
            with _removing(staging(target), built / part, source):
                for path in sorted((built / part).rglob("*.safetensors")):
                    check_finite(path)
                if part == CLIP and check is not None:
                    check(built / part)
        write_bundle_manifest(
            built,
            name=entry.name,
            description=entry.description,
            context=entry.context,
            image_size=entry.image_size,
            zero_shot_temperature=1.0,  # not fitted for these models
            vocabulary=None,
            licences=entry.licences,
            bands=entry.bands,
        )
        new = write_record(record_of(target), entry, record, revisions, downloaded)
        put_in_place(built, target, overwrite=False)
        shutil.rmtree(staging(target), ignore_errors=True)
    if new:
        report(
            f"{new} of {len(every)} files have no size and hash in the catalog: those of this download were recorded "
            f"in {record_of(target)}, and later fetches must match them"
        )
    return read_bundle(target)


def _downloads(
    source: Source,
    remote: hub.Remote,
    recorded: Mapping[str, Any] | None,
    built: Path,
    downloads: Path,
    local: LocalFiles,
) -> Iterator[_Download]:
    known = {file["path"]: file for file in recorded["files"]} if recorded else {}
    wanted = [*source.files, *(SourceFile(path) for path in source.optional if path in remote.files)]
    for file in wanted:
        if not is_plain_name(file.path) or file.path not in remote.files:
            raise BundleError(f"{source.origin}: {file.path} not found", "update bimors, or check HF_ENDPOINT")
        offered, earlier = remote.files[file.path], known.get(file.path, {})
        sha256 = file.sha256 or earlier.get("sha256")
        # The hub names the SHA-256 of large files, also where the catalog does not know it.
        found = _usable(local.of_source(source, file, sha256 or _hub_sha256(source, offered)))
        item = _Download(
            source,
            file,
            offered,
            file.size if file.size is not None else earlier.get("size"),
            sha256,
            downloads if file.convert_to and found is None else built,
            found,
        )
        # Checked before gigabytes are downloaded in vain.
        if None not in (item.size, offered.size) and item.size != offered.size:
            raise _mismatch(item, f"{offered.size} bytes instead of {item.size}")
        promised = _hub_sha256(source, offered)
        if None not in (item.sha256, promised) and promised != item.sha256:
            raise _mismatch(item, f"SHA-256 {promised} instead of {item.sha256}")
        yield item


@contextmanager
def _removing(staged: Path, folder: Path, source: Source) -> Iterator[None]:
    """Remove what was fetched if files turn out to be of no use: no other fetch could use them either.

    The message of the error has the source in place of the folder.
    """
    try:
        yield
    except BundleError as error:
        shutil.rmtree(staged, ignore_errors=True)
        message = error.message.replace(f"{folder}{os.sep}", "").replace(f"{folder}: ", "")
        raise BundleError(f"{source.origin}: {message}", error.hint or "use another repository or file") from error


def _remove_others(folder: Path, paths: set[Path]) -> None:
    """Remove files that an interrupted fetch made or that another version of the catalog needed."""
    for path in folder.rglob("*"):
        if not path.is_dir() and path not in paths:
            path.unlink()


def _hub_sha256(source: Source, offered: hub.RemoteFile) -> str | None:
    etag = offered.etag or ""
    return etag if source.repository is not None and len(etag) == 64 else None


def _usable(found: LocalFile | None) -> LocalFile | None:
    return found if found is not None and found.is_unchanged() else None


def _report_shared(every: list[_Download], report: Report) -> None:
    shared = [item.local for item in every if item.local is not None]
    if shared:
        size = sum(file.size for file in shared)
        owners = ", ".join(sorted({_bundle_of(file.path) for file in shared}))
        report(f"{len(shared)} of {len(every)} files, {size / 1e6:,.1f} MB, are already here: in {owners}")


def _bundle_of(path: Path) -> str:
    return next(parent.name for parent in path.parents if (parent / MANIFEST).is_file())


def _bytes_needed(item: _Download) -> int:
    if item.local is not None:
        return 0
    size = item.size or item.remote.size or 0
    missing = 0 if item.path.is_file() else size - (item.partial.stat().st_size if item.partial.is_file() else 0)
    if item.file.convert_to is None:
        return missing
    # The safetensors file next to the pickle; a zip file is unpacked before that.
    return missing + (2 * size if item.source.is_zip else size)


def _download(item: _Download, report: Report, progress: bool) -> DownloadedFile:
    if item.local is not None:
        link_or_copy(item.local.path, item.path)
        return DownloadedFile(
            item.file.path,
            item.local.source_size,
            item.local.source_sha256,
            item.remote.etag,
            converted_to=item.file.convert_to,
        )
    if not item.path.is_file():
        size = item.remote.size or item.size
        report(f"{item.source.origin} {item.file.path}" + (f", {size / 1e6:,.1f} MB" if size else ""))
        hub.download(item.source, item.remote, item.file.path, item.partial, progress=progress)
        item.path.parent.mkdir(parents=True, exist_ok=True)
        item.partial.replace(item.path)
    found = DownloadedFile(
        item.file.path,
        item.path.stat().st_size,
        sha256_of(item.path),
        item.remote.etag,
        converted_to=item.file.convert_to,
    )
    for expected, actual, what in (
        (item.size, found.size, "bytes"),
        (item.remote.size, found.size, "bytes"),
        (item.sha256, found.sha256, "SHA-256"),
        (*_etag_hash(item, found), "hub's hash"),
    ):
        if expected is not None and expected != actual:
            item.path.unlink()
            raise _mismatch(item, f"{what} {actual} instead of {expected}")
    return found


def _etag_hash(item: _Download, found: DownloadedFile) -> tuple[str | None, str | None]:
    """Return the hash in the hub's etag and the file's own; None where the etag is not a hash of a known kind."""
    etag = item.remote.etag or ""
    if item.source.repository is None or len(etag) not in (40, 64):
        return None, None
    if len(etag) == 64:
        return etag, found.sha256
    content = item.path.read_bytes()  # git keeps small files only
    return etag, hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _mismatch(item: _Download, difference: str) -> BundleError:
    return BundleError(
        f"{item.source.origin}: {item.file.path} is not the expected file: {difference}",
        "it was changed at its source or in transit; do not use it, and check HF_ENDPOINT",
    )


def _convert(item: _Download, target: Path, convert: Convert) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not item.source.is_zip:
        convert(item.path, target)
        return
    with _unzipped(item.path) as checkpoint:
        convert(checkpoint, target)


@contextmanager
def _unzipped(path: Path) -> Iterator[Path]:
    """Unpack the only checkpoint of a zip file next to it, and remove it at the end of the block."""
    target = path.with_suffix(".pt")
    try:
        try:
            with zipfile.ZipFile(path) as packed:
                found = [member for member in packed.infolist() if member.filename.endswith(".pt")]
                if len(found) != 1:
                    raise BundleError(f"{path.name}: expected one checkpoint in the zip file, found {len(found)}")
                if found[0].file_size > MAX_CHECKPOINT_BYTES:
                    raise BundleError(
                        f"{path.name}: {found[0].filename} has {found[0].file_size:,} bytes, "
                        f"the limit is {MAX_CHECKPOINT_BYTES:,}"
                    )
                check_space(target, found[0].file_size)
                with packed.open(found[0]) as stream, target.open("wb") as unpacked:
                    shutil.copyfileobj(stream, unpacked, _CHUNK)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise BundleError(f"{path.name}: not a readable zip file: {error}") from error
        yield target
    finally:
        target.unlink(missing_ok=True)


def _clip_config(entry: CatalogEntry) -> str:
    config: dict[str, Any] = {"model_cfg": entry.model_cfg, "preprocess_cfg": entry.preprocess_cfg}
    if entry.bands is not None:
        config[CHANNELS] = len(entry.bands)
    return json.dumps(config, indent=1, sort_keys=True) + "\n"
