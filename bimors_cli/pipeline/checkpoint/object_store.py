"""A folder on this machine or in object storage, by its URL. Files appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from bimors_cli.errors import InputError, OutputError
from bimors_cli.redact import redact

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.fs

# Object stores have no folders, and an object appears only once it is complete.
_OBJECT_STORES: Final = frozenset({"s3", "gcs", "abfs"})
_PART: Final = ".part-"


class ObjectStore:
    """A folder, which need not exist yet.

    Parameters
    ----------
    url : str
        A local path, or a URL that pyarrow or fsspec opens: ``file:///d``, ``s3://bucket/d``, ``gs://bucket/d``.

    Raises
    ------
    InputError
        The URL is not supported, or a package for it is missing.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = redact(url)
        self._filesystem, self._path = _open_filesystem(url)

    def is_same_folder(self, other: ObjectStore) -> bool:
        """Tell whether both are the same folder."""
        return bool(self._path == other._path and self._filesystem.type_name == other._filesystem.type_name)

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if the file does not exist. Raises OutputError."""
        with self._reporting_errors():
            try:
                with self._filesystem.open_input_file(self._path_of(name)) as file:
                    return bytes(file.read())
            except FileNotFoundError:
                return None

    def open(self, name: str) -> pyarrow.NativeFile:
        """Open a file for reading. Raises OutputError."""
        with self._reporting_errors():
            return self._filesystem.open_input_file(self._path_of(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a file. Readers never see a part of it. Raises OutputError."""
        path = self._path_of(name)
        with self._reporting_errors():
            if self._filesystem.type_name in _OBJECT_STORES:
                self._write(path, content)
                return
            self._filesystem.create_dir(path.rpartition("/")[0], recursive=True)
            part = f"{path}{_PART}{uuid.uuid4().hex[:8]}"
            try:
                self._write(part, content)
                self._filesystem.move(part, path)
            except OSError:
                with suppress(OSError):
                    self._filesystem.delete_file(part)
                raise

    def list_files(self, folder: str, suffix: str) -> list[str]:
        """List the files below a folder whose names have a suffix: sorted names, relative to this folder."""
        from pyarrow.fs import FileSelector

        with self._reporting_errors():
            below = FileSelector(self._path_of(folder), allow_not_found=True, recursive=True)
            found = self._filesystem.get_file_info(below)
        begin = len(self._path) + 1
        return sorted(info.path[begin:] for info in found if info.is_file and info.path.endswith(suffix))

    def remove(self, *names: str) -> None:
        """Delete files and folders with their content, and this folder if it is empty then. Raises OutputError."""
        from pyarrow.fs import FileSelector, FileType

        with self._reporting_errors():
            for info in self._filesystem.get_file_info([self._path_of(name) for name in names]):
                if info.type == FileType.Directory:
                    self._filesystem.delete_dir(info.path)
                elif info.type == FileType.File:
                    self._filesystem.delete_file(info.path)
            if self._filesystem.type_name not in _OBJECT_STORES:
                content = FileSelector(self._path, allow_not_found=True)
                is_folder = self._filesystem.get_file_info(self._path).type == FileType.Directory
                if is_folder and not self._filesystem.get_file_info(content):
                    self._filesystem.delete_dir(self._path)

    def _write(self, path: str, content: bytes) -> None:
        with self._filesystem.open_output_stream(path) as file:
            file.write(content)

    def _path_of(self, name: str) -> str:
        return f"{self._path}/{name}"

    @contextmanager
    def _reporting_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = redact(" ".join(str(error.strerror or error).split()))
            raise OutputError(f"{self.name}: {why}", "check its permissions and free space") from error


def _open_filesystem(url: str) -> tuple[pyarrow.fs.FileSystem, str]:
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileSystem, LocalFileSystem

    if "://" not in url:
        return LocalFileSystem(), os.path.abspath(url)
    try:
        files, path = FileSystem.from_uri(url)
    except ArrowInvalid:
        files, path = _open_with_fsspec(url)
    except (OSError, ValueError) as error:
        raise _unsupported(url, error) from error
    return files, path.rstrip("/")


def _open_with_fsspec(url: str) -> tuple[Any, str]:
    """Open a URL with fsspec, which supports many more schemes, some of them by further packages."""
    from fsspec.core import url_to_fs
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    try:
        files, path = url_to_fs(url)
    except (ImportError, OSError, ValueError) as error:
        raise _unsupported(url, error) from error
    return PyFileSystem(FSSpecHandler(files)), path


def _unsupported(url: str, error: Exception) -> InputError:
    why = redact(" ".join(str(error).split()))
    return InputError(f"--blocks {redact(url)}: {why}", "use a folder, or a URL such as s3://bucket/folder")
