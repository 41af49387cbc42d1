"""The network: what a source has, and its files. Mirror and token are huggingface_hub's own: HF_ENDPOINT, HF_TOKEN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bimors_cli.bundle.catalog import Source
from bimors_cli.errors import BimorsError, BundleError, InputError


@dataclass(frozen=True)
class RemoteFile:
    """A file as its source describes it before it is downloaded.

    ``etag`` is the hub's: SHA-256 for a large file, git's SHA-1 for a small one; of another server it means nothing.
    """

    url: str
    size: int | None
    etag: str | None


@dataclass(frozen=True)
class Remote:
    """What a source has: the commit where it is a repository, and its files by path."""

    revision: str | None
    files: Mapping[str, RemoteFile]


def refuse_offline() -> None:
    """Raise InputError if huggingface_hub's own HF_HUB_OFFLINE is set."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise InputError("HF_HUB_OFFLINE is set: nothing can be fetched", "unset it, or carry the bundle: models pack")


def ask(source: Source, revision: str | None) -> Remote:
    """Ask a source what it has.

    Parameters
    ----------
    source : Source
        Of the catalogue.
    revision : str or None
        Commit; None for the newest.

    Raises
    ------
    BundleError
        It is not there, needs a token, or cannot be reached; it has another commit than was asked for.
    """
    from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url

    with _one_line(source):
        if source.repository is None:
            found = get_hf_file_metadata(str(source.url), token=False)
            return Remote(None, {source.files[0].path: RemoteFile(str(source.url), found.size, found.etag)})
        info = HfApi().model_info(source.repository, revision=revision, files_metadata=True)
        if info.sha is None or (revision is not None and info.sha != revision):
            raise BundleError(f"{source.repository}: asked for commit {revision}, the hub has {info.sha}")
        return Remote(
            info.sha,
            {
                one.rfilename: RemoteFile(
                    hf_hub_url(source.repository, one.rfilename, revision=info.sha),
                    one.size,
                    one.lfs.sha256 if one.lfs else one.blob_id,
                )
                for one in info.siblings or ()
            },
        )


def download(source: Source, file: RemoteFile, name: str, to: Path, *, progress: bool) -> None:
    """Download a file to ``to``, which grows; what an earlier try left there is not fetched again.

    Raises
    ------
    BundleError
        As `ask`; or the connection broke and could not be taken up again.
    """
    from huggingface_hub.file_download import http_get

    # Documented there, but not marked as exported for mypy.
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        disable_progress_bars,
        enable_progress_bars,
    )

    (enable_progress_bars if progress else disable_progress_bars)()
    to.parent.mkdir(parents=True, exist_ok=True)
    with to.open("ab") as stream:
        there = stream.tell()
        # What is too much is another file; and without a size nobody can say where a file ends.
        if there > (file.size or 0):
            stream.truncate(0)
            there = 0
        with _one_line(source):
            http_get(
                file.url,
                stream,
                resume_size=there,
                # A token is for the hub alone. Without compression the sizes are those of the files.
                headers={**build_hf_headers(token=None if source.repository else False), "Accept-Encoding": "identity"},
                expected_size=file.size,
                displayed_filename=name,
            )


@contextmanager
def _one_line(source: Source) -> Iterator[None]:
    """Turn what the network and the hub say into one line.

    Raises
    ------
    BundleError
        With what to do about it.
    """
    from huggingface_hub import constants, errors

    where = source.repository or source.url
    again = "what is there already is kept: the same command goes on"
    try:
        yield
    except BimorsError:
        raise
    except errors.OfflineModeIsEnabled as error:
        raise InputError("HF_HUB_OFFLINE is set: nothing can be fetched", "unset it") from error
    except errors.GatedRepoError as error:
        raise BundleError(
            f"{where}: gated: its owner asks you to accept terms first",
            f"accept them at {constants.ENDPOINT}/{where}, then set HF_TOKEN",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise BundleError(f"{where}: the hub no longer has the commit that was promised", "update bimors") from error
    except errors.RepositoryNotFoundError as error:
        raise BundleError(
            f"{where}: not on {constants.ENDPOINT}, or not for you", "set HF_TOKEN if it is private; check HF_ENDPOINT"
        ) from error
    except errors.RemoteEntryNotFoundError as error:
        raise BundleError(f"{where}: a promised file is not there", "update bimors; check HF_ENDPOINT") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            raise BundleError(f"{where}: the server refuses (status {status})", "set or renew HF_TOKEN") from error
        raise BundleError(f"{where}: the server answered with status {status}", f"try later; {again}") from error
    except errors.HTTPError as error:  # type: ignore[attr-defined]  # httpx's or httpx2's: the hub says which it uses
        raise BundleError(
            f"{where}: no connection: {str(error) or type(error).__name__}", f"try again; {again}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{where}: the answer is not a hub's", "check HF_ENDPOINT and the proxy") from error
    except OSError as error:
        if error.errno is not None:
            raise  # the disk's
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BundleError(f"{where}: the download broke off: {said}", f"try again; {again}") from error
