"""Fetching a bundle of the catalogue: every file is checked before use; the bundle appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bimors_cli.bundle import hub
from bimors_cli.bundle.catalog import CatalogEntry, Source, SourceFile
from bimors_cli.bundle.files import is_plain_name, read_manifest, sha256_of
from bimors_cli.bundle.manifest import CLIP, Bundle, read_bundle, write_bundle_manifest
from bimors_cli.bundle.safetensors_file import check_finite
from bimors_cli.bundle.schemas import check_form
from bimors_cli.bundle.store import already_there, check_space, disk_errors, locked, put_in_place, record_of, staging
from bimors_cli.errors import BundleError

RECORD_SCHEMA = 1
# No checkpoint of the catalogue comes near it, its optimiser's state included.
MAX_CHECKPOINT_BYTES = 64 * 1024**3
_CHUNK = 1 << 20

# Writes the tensors of a pickle as safetensors, in a process of its own.
Convert = Callable[[Path, Path], None]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Got:
    """A downloaded file as the record knows it: ``path`` at its origin, ``etag`` that its origin gave."""

    path: str
    size: int
    sha256: str
    etag: str | None


@dataclass(frozen=True)
class _Job:
    """A file to download: what it must be, what its source says of it, where it goes."""

    source: Source
    file: SourceFile
    remote: hub.RemoteFile
    size: int | None
    sha256: str | None
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / self.file.path

    @property
    def growing(self) -> Path:
        # Another content has another etag and begins anew.
        tag = hashlib.sha256(f"{self.remote.etag}{self.remote.size}".encode()).hexdigest()[:16]
        return self.folder.parents[1] / "growing" / f"{self.folder.name}-{tag}-{Path(self.file.path).name}"


def fetch_bundle(entry: CatalogEntry, target: Path, convert: Convert, tell: Tell, *, progress: bool = True) -> Bundle:
    """Fetch a bundle to the folder ``target``.

    What the catalogue does not know is taken as it comes, and recorded beside the bundle (`store.record_of`); the next
    fetch must get the same. An interrupted fetch is taken up where it stopped.

    Parameters
    ----------
    entry : Entry
        Of the catalogue.
    target : Path
        The bundle's folder; it must not be there.
    convert : callable
        For sources that have only a pickle: from its path and that of the safetensors file to write.
    tell : callable
        Is given lines for people.
    progress : bool
        Show bars on standard error.

    Raises
    ------
    InputError
        Something is at ``target`` already, or HF_HUB_OFFLINE is set.
    BundleError
        A source cannot be reached or has other files than were promised; the disk is full or cannot be written to;
        weights are not finite.
    """
    hub.refuse_offline()
    with locked(target), disk_errors(target):
        if target.exists():
            raise already_there(target)
        record = _read_record(record_of(target), entry)
        built, downloads = staging(target) / "bundle", staging(target) / "download"
        revisions: dict[str, str | None] = {}
        jobs: dict[str, list[_Job]] = {}
        for part, source in entry.parts.items():
            held = record.get(part)
            remote = hub.ask(source, source.revision or (held["revision"] if held else None))
            revisions[part] = remote.revision
            jobs[part] = list(_jobs(source, remote, held, built / part, downloads / part))
        check_space(target, sum(_room(job) for of_part in jobs.values() for job in of_part))
        _keep_only(built, {job.path for of_part in jobs.values() for job in of_part})
        got = {part: [_get(job, tell, progress) for job in of_part] for part, of_part in jobs.items()}
        for of_part in jobs.values():
            for job in of_part:
                if job.file.convert_to is not None:
                    tell(f"converting {job.path.name} to safetensors")
                    _convert(job, built / job.folder.name / job.file.convert_to, convert)
        (built / CLIP / "open_clip_config.json").write_text(_clip_config(entry), encoding="utf-8")
        tell("checking the weights")
        for path in sorted(built.rglob("*.safetensors")):
            check_finite(path)
        write_bundle_manifest(
            built,
            name=entry.name,
            description=entry.description,
            context=entry.context,
            image_size=entry.image_size,
            zero_shot_temperature=1.0,  # nobody fitted it to these models
            vocabulary=None,
            licences=entry.licences,
        )
        new = _write_record(record_of(target), entry, record, revisions, got)
        put_in_place(built, target, overwrite=False)
        shutil.rmtree(staging(target), ignore_errors=True)
    if new:
        tell(
            f"{new} of {sum(map(len, got.values()))} files are not in the catalogue by size and hash: taken as they "
            f"came, recorded in {record_of(target)}; the next fetch is held to it"
        )
    return read_bundle(target)


def _jobs(
    source: Source, remote: hub.Remote, held: Mapping[str, Any] | None, built: Path, downloads: Path
) -> Iterator[_Job]:
    known = {file["path"]: file for file in held["files"]} if held else {}
    wanted = [*source.files, *(SourceFile(path) for path in source.optional if path in remote.files)]
    for file in wanted:
        if not is_plain_name(file.path) or file.path not in remote.files:
            raise BundleError(f"{source.origin}: {file.path} is not there", "update bimors; check HF_ENDPOINT")
        there, before = remote.files[file.path], known.get(file.path, {})
        job = _Job(
            source,
            file,
            there,
            file.size if file.size is not None else before.get("size"),
            file.sha256 or before.get("sha256"),
            downloads if file.convert_to else built,
        )
        # Before gigabytes are fetched in vain.
        if None not in (job.size, there.size) and job.size != there.size:
            raise _other(job, f"{there.size} bytes instead of {job.size}")
        if job.sha256 is not None and len(there.etag or "") == 64 and there.etag != job.sha256:
            raise _other(job, f"SHA-256 {there.etag} instead of {job.sha256}")
        yield job


def _keep_only(folder: Path, paths: set[Path]) -> None:
    """Remove what an interrupted fetch made or another version of the catalogue asked for."""
    for path in folder.rglob("*"):
        if not path.is_dir() and path not in paths:
            path.unlink()


def _room(job: _Job) -> int:
    size = job.size or job.remote.size or 0
    missing = 0 if job.path.is_file() else size - (job.growing.stat().st_size if job.growing.is_file() else 0)
    if job.file.convert_to is None:
        return missing
    # The safetensors beside the pickle; a zip file is unpacked before that.
    return missing + (2 * size if job.source.url else size)


def _get(job: _Job, tell: Tell, progress: bool) -> Got:
    if not job.path.is_file():
        size = job.remote.size or job.size
        tell(f"{job.source.origin} {job.file.path}" + (f", {size / 1e6:,.1f} MB" if size else ""))
        hub.download(job.source, job.remote, job.file.path, job.growing, progress=progress)
        job.path.parent.mkdir(parents=True, exist_ok=True)
        job.growing.replace(job.path)
    got = Got(job.file.path, job.path.stat().st_size, sha256_of(job.path), job.remote.etag)
    for wanted, found, what in (
        (job.size, got.size, "bytes"),
        (job.remote.size, got.size, "bytes"),
        (job.sha256, got.sha256, "SHA-256"),
        (*_by_etag(job, got), "hub's hash"),
    ):
        if wanted is not None and wanted != found:
            job.path.unlink()
            raise _other(job, f"{what} {found} instead of {wanted}")
    return got


def _by_etag(job: _Job, got: Got) -> tuple[str | None, str | None]:
    """What the hub's etag promises, and what was got; nothing where the etag is no hash that we know."""
    etag = job.remote.etag or ""
    if job.source.repository is None or len(etag) not in (40, 64):
        return None, None
    if len(etag) == 64:
        return etag, got.sha256
    content = job.path.read_bytes()  # git keeps small files only
    return etag, hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _other(job: _Job, how: str) -> BundleError:
    return BundleError(
        f"{job.source.origin}: {job.file.path} is not the file that was promised: {how}",
        "it was changed at its source, or on the way: do not use it; check HF_ENDPOINT",
    )


def _convert(job: _Job, target: Path, convert: Convert) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if job.source.url is None:
        convert(job.path, target)
        return
    with _unzipped(job.path) as checkpoint:
        convert(checkpoint, target)


@contextmanager
def _unzipped(path: Path) -> Iterator[Path]:
    """Unpack the only checkpoint in a zip file beside it, for as long as the block lasts."""
    target = path.with_suffix(".pt")
    try:
        try:
            with zipfile.ZipFile(path) as packed:
                found = [one for one in packed.infolist() if one.filename.endswith(".pt")]
                if len(found) != 1:
                    raise BundleError(f"{path.name}: {len(found)} checkpoints in it instead of one")
                if found[0].file_size > MAX_CHECKPOINT_BYTES:
                    raise BundleError(f"{path.name}: {found[0].filename} would be {found[0].file_size:,} bytes")
                check_space(target, found[0].file_size)
                with packed.open(found[0]) as stream, target.open("wb") as unpacked:
                    shutil.copyfileobj(stream, unpacked, _CHUNK)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise BundleError(f"{path.name}: not a zip file that can be read: {error}") from error
        yield target
    finally:
        target.unlink(missing_ok=True)


def _clip_config(entry: CatalogEntry) -> str:
    config = {"model_cfg": entry.model_cfg, "preprocess_cfg": entry.preprocess_cfg}
    return json.dumps(config, indent=1, sort_keys=True) + "\n"


def _read_record(path: Path, entry: CatalogEntry) -> dict[str, Any]:
    """What an earlier fetch got, by part; without parts that come from elsewhere now."""
    if not path.exists():
        return {}
    content = read_manifest(path, RECORD_SCHEMA)
    check_form(path, content, "record")
    return {
        part: held
        for part, held in content["parts"].items()
        if part in entry.parts and held["origin"] == entry.parts[part].origin
    }


def _write_record(
    path: Path,
    entry: CatalogEntry,
    before: Mapping[str, Any],
    revisions: Mapping[str, str | None],
    got: Mapping[str, list[Got]],
) -> int:
    """Write what was got; returns how many files neither the catalogue nor an earlier record knew."""
    content = {
        "schema": RECORD_SCHEMA,
        "name": entry.name,
        "parts": {
            part: {"origin": source.origin, "revision": revisions[part], "files": [asdict(one) for one in got[part]]}
            for part, source in entry.parts.items()
        },
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    known = {(part, file["path"]) for part, held in before.items() for file in held["files"]}
    known |= {(p, f.path) for p, s in entry.parts.items() for f in s.files if f.size is not None and f.sha256}
    return len({(part, one.path) for part, ones in got.items() for one in ones} - known)
