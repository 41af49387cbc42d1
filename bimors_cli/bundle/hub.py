"""Listing and downloading the files of a source. huggingface_hub reads HF_ENDPOINT (mirror) and HF_TOKEN."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from bimors_cli.bundle.catalog import Source
from bimors_cli.bundle.references import COMMIT
from bimors_cli.errors import BimorsError, BundleError, InputError, one_line
from bimors_cli.web_page import is_web_page

_MAX_JSON_BYTES: Final = 1_000_000
_RANGE_NOT_SATISFIABLE: Final = 416


@dataclass(frozen=True)
class RemoteFile:
    """A file as its source describes it, before the download.

    ``etag`` from the hub is the SHA-256 of a large file or git's SHA-1 of a small one; from other servers it is opaque.
    """

    url: str
    size: int | None
    etag: str | None


@dataclass(frozen=True)
class Remote:
    """The files of a source by path; of a repository also the commit, and the licence that the hub states.

    ``renamed`` is the present name of a repository that the hub found by a former one; ``moved`` says that the branch
    is at another commit than this one, which an earlier fetch recorded.
    """

    revision: str | None
    files: Mapping[str, RemoteFile]
    licence: str | None = None
    renamed: str | None = None
    moved: str | None = None


class NotFoundError(BundleError):
    """The hub does not have the repository, or not the revision."""


def refuse_offline() -> None:
    """Raise InputError if huggingface_hub's HF_HUB_OFFLINE is set."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise InputError(
            "HF_HUB_OFFLINE is set: bundles cannot be fetched",
            "unset it, or copy the bundle from another machine: bimors models pack, bimors models unpack",
        )


def read_remote(source: Source, revision: str | None) -> Remote:
    """List the files of a source.

    Parameters
    ----------
    source : Source
        A source of the catalog.
    revision : str or None
        Commit, branch or tag; None for the default branch.

    Raises
    ------
    BundleError
        The source does not exist, needs a token or cannot be reached; or it returned another commit than requested.
    """
    from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url

    with _network_errors(source, revision):
        if source.repository is None:
            addresses = {f.path: str(source.url) if source.is_zip else f"{source.url}/{f.path}" for f in source.files}
            found = {path: (url, get_hf_file_metadata(url, token=False)) for path, url in addresses.items()}
            return Remote(None, {path: RemoteFile(url, one.size, one.etag) for path, (url, one) in found.items()})
        info = HfApi().model_info(
            source.repository, revision=revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
        if info.sha is None:
            raise ValueError("a listing without commit")
        if COMMIT.fullmatch(revision or "") and info.sha != revision:
            raise BundleError(
                f"{source.repository}: requested commit {revision}, the hub returned {info.sha}", "check HF_ENDPOINT"
            )
        return Remote(
            info.sha,
            {
                file.rfilename: RemoteFile(
                    hf_hub_url(source.repository, file.rfilename, revision=info.sha),
                    file.size,
                    file.lfs.sha256 if file.lfs else file.blob_id,
                )
                for file in info.siblings or ()
            },
            licence=next((tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:")), None),
            renamed=None if info.id == source.repository else info.id,
        )


def read_recorded(source: Source, recorded: str | None, record: Path) -> Remote:
    """List the files of a source at the commit of an earlier fetch, if there was one.

    Parameters
    ----------
    source : Source
        A source; its revision is a commit, a branch or a tag, None for the default branch.
    recorded : str or None
        The commit of the earlier fetch.
    record : Path
        The record that says so, for messages.

    Raises
    ------
    BundleError
        As `read_remote`; or the branch has moved, and the hub has only its present commit.
    """
    remote = read_remote(source, source.revision)
    if recorded is None or remote.revision == recorded or COMMIT.fullmatch(source.revision or ""):
        return remote
    where = f"{source.repository}: {source.revision or 'the default branch'} is now at commit {remote.revision}"
    update = f"to fetch the new one, delete {record}"
    try:
        former = read_remote(source, recorded)
    except NotFoundError as error:
        raise BundleError(
            f"{where}; the hub no longer has {recorded}, which was fetched before", f"{update}, and fetch again"
        ) from error
    return replace(former, moved=f"{where}; {recorded} is fetched, as before: {update}")


def read_json(source: Source, remote: Remote, path: str) -> dict[str, Any]:
    """Download a JSON object, such as the configuration of a model.

    Raises
    ------
    BundleError
        As `download`; or the file is larger than 1 MB or not a JSON object.
    """
    where, file = f"{source.origin}: {path}", remote.files[path]
    if (file.size or 0) > _MAX_JSON_BYTES:
        raise BundleError(f"{where} has {file.size:,} bytes, too many for a configuration")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "content.json"
        download(source, file, path, target, progress=False)
        try:
            content = json.loads(target.read_bytes())
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{where} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BundleError(f"{where} is not a JSON object")
    return content


def download(source: Source, file: RemoteFile, name: str, to: Path, *, progress: bool) -> None:
    """Download a file to ``to``; a partial file of an earlier download is resumed.

    Raises
    ------
    BundleError
        As `read_remote`; or the connection was lost and could not be resumed.
    """
    # Documented there, but not marked as exported for mypy.
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars  # type: ignore[attr-defined]

    (enable_progress_bars if progress else disable_progress_bars)()
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        _resume(source, file, name, to)
    except BundleError:
        if not to.stat().st_size:
            to.unlink()
        raise


def _resume(source: Source, file: RemoteFile, name: str, to: Path) -> None:
    from huggingface_hub.file_download import http_get

    # Documented there, but not marked as exported for mypy.
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    with to.open("ab") as stream:
        present = stream.tell()
        # A partial file that is too long belongs to another file; without a size, its end is not known.
        if present > (file.size or 0):
            stream.truncate(0)
            present = 0
        try:
            with _network_errors(source, source.revision), _quiet("huggingface_hub.file_download"):
                http_get(
                    file.url,
                    stream,
                    resume_size=present,
                    # The token is sent to the hub only. Without compression, sizes are those of the files.
                    headers={
                        **build_hf_headers(token=None if source.repository else False),
                        "Accept-Encoding": "identity",
                    },
                    expected_size=file.size,
                    displayed_filename=name,
                )
        except BundleError as error:
            _check_partial(source, name, stream, error)
            raise


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Hold back a library's lines about each new attempt; what fails in the end is raised."""
    log = logging.getLogger(logger)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _check_partial(source: Source, name: str, stream: BinaryIO, error: BundleError) -> None:
    """Empty a partial file that must not be resumed; raises BundleError if it is a web page."""
    stream.flush()
    with Path(stream.name).open("rb") as file:
        page = is_web_page(file.read(512))
    cause = error.__cause__
    response = getattr(cause, "response", None)
    # The server has no more bytes than there are, so the file is another one.
    ended = response is not None and response.status_code == _RANGE_NOT_SATISFIABLE
    if page or ended:
        stream.truncate(0)
    if page:
        raise _web_page(source, name, "") from cause
    if ended:
        raise BundleError(
            f"{source.origin}: {name} is shorter than the server lists it", "check HF_ENDPOINT; try again later"
        ) from cause


def _web_page(source: Source, what: str, status: str) -> BundleError:
    return BundleError(
        f"{source.origin}: the answer is a web page instead of {what}{status}: of a proxy, or a login to the network",
        "log in to the network, or set HTTPS_PROXY and HF_ENDPOINT; then run the same command",
    )


@contextmanager
def _network_errors(source: Source, revision: str | None) -> Iterator[None]:
    """Turn errors of the network and of the hub into a `BundleError` with a hint.

    Raises
    ------
    InputError
        HF_HUB_OFFLINE is set.
    BundleError
        The server cannot be reached, refuses access or lacks a file.
    """
    from huggingface_hub import constants, errors

    where = source.repository or source.url
    resume = "the same command resumes the download"
    try:
        yield
    except BimorsError:
        raise
    except errors.OfflineModeIsEnabled as error:
        raise InputError("HF_HUB_OFFLINE is set: bundles cannot be fetched", "unset it") from error
    except errors.GatedRepoError as error:
        raise BundleError(
            f"{where}: gated repository: its terms must be accepted first",
            f"accept them at {constants.ENDPOINT}/{where}, then set HF_TOKEN",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise NotFoundError(
            f"{where}: the hub does not have the revision {revision}, or no longer",
            "check the branch, tag or commit; for a bundle of the catalog, update bimors",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise NotFoundError(
            f"{where}: not found on {constants.ENDPOINT}, or private",
            "set HF_TOKEN if it is private; check HF_ENDPOINT",
        ) from error
    except errors.RemoteEntryNotFoundError as error:
        raise BundleError(
            f"{where}: a file of the catalog was not found", "update bimors, or check HF_ENDPOINT"
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if error.response is not None and "html" in error.response.headers.get("Content-Type", ""):
            raise _web_page(source, "the hub's", f" (HTTP status {status})") from error
        if status in (401, 403):
            raise BundleError(
                f"{where}: the server refuses access (HTTP status {status})", "set or renew HF_TOKEN"
            ) from error
        raise BundleError(f"{where}: the server returned HTTP status {status}", f"try again later; {resume}") from error
    except errors.HTTPError as error:  # type: ignore[attr-defined]  # httpx's or httpx2's: the hub says which it uses
        reason = one_line(error) or type(error).__name__
        check = "check the network, HF_ENDPOINT and HTTPS_PROXY"
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            check = "set SSL_CERT_FILE to the certificates of your network: a proxy has its own"
        raise BundleError(f"{where}: no connection: {reason}", f"{check}; {resume}") from error
    except RecursionError as error:  # http_get calls itself each time that it resumes
        raise BundleError(f"{where}: the connection was lost too often", f"try again; {resume}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{where}: the server is not a Hugging Face hub", "check HF_ENDPOINT and the proxy"
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise  # an error of the disk
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BundleError(f"{where}: the download was interrupted: {reason}", f"try again; {resume}") from error
