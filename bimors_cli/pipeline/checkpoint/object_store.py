"""A folder on this machine or in object storage, by its URL: files in it appear whole or not at all."""

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

# Object stores know no folders, and show no object before all of it is there.
_OBJECT_STORES: Final = frozenset({"s3", "gcs", "abfs"})
_PART: Final = ".part-"


class ObjectStore:
    """A folder, which need not be there yet.

    Parameters
    ----------
    url : str
        A path of this machine, or what pyarrow or fsspec opens: ``file:///d``, ``s3://bucket/d``, ``gs://bucket/d``.

    Raises
    ------
    InputError
        Nothing here opens such a URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = redact(url)
        self._files, self._path = _file_system(url)

    def is_at(self, other: ObjectStore) -> bool:
        """Tell whether this is the same folder as another."""
        return bool(self._path == other._path and self._files.type_name == other._files.type_name)

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None where there is no such file. Raises OutputError."""
        with self._failing():
            try:
                with self._files.open_input_file(self._at(name)) as file:
                    return bytes(file.read())
            except FileNotFoundError:
                return None

    def open(self, name: str) -> pyarrow.NativeFile:
        """Open a file for reading. Raises OutputError."""
        with self._failing():
            return self._files.open_input_file(self._at(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a file; whoever reads meanwhile sees nothing of it, or all. Raises OutputError."""
        path = self._at(name)
        with self._failing():
            if self._files.type_name in _OBJECT_STORES:
                self._write(path, content)
                return
            self._files.create_dir(path.rpartition("/")[0], recursive=True)
            part = f"{path}{_PART}{uuid.uuid4().hex[:8]}"
            try:
                self._write(part, content)
                self._files.move(part, path)
            except OSError:
                with suppress(OSError):
                    self._files.delete_file(part)
                raise

    def names(self, folder: str, suffix: str) -> list[str]:
        """List the whole files below a folder that end so, by their names from this place on, sorted."""
        from pyarrow.fs import FileSelector

        with self._failing():
            found = self._files.get_file_info(FileSelector(self._at(folder), allow_not_found=True, recursive=True))
        begin = len(self._path) + 1
        return sorted(info.path[begin:] for info in found if info.is_file and info.path.endswith(suffix))

    def remove(self, *names: str) -> None:
        """Remove files, folders with all that is in them, and this folder if nothing else is in it."""
        from pyarrow.fs import FileSelector, FileType

        with self._failing():
            for info in self._files.get_file_info([self._at(name) for name in names]):
                if info.type == FileType.Directory:
                    self._files.delete_dir(info.path)
                elif info.type == FileType.File:
                    self._files.delete_file(info.path)
            if self._files.type_name not in _OBJECT_STORES:
                here = FileSelector(self._path, allow_not_found=True)
                if self._files.get_file_info(self._path).type == FileType.Directory and not self._files.get_file_info(
                    here
                ):
                    self._files.delete_dir(self._path)

    def _write(self, path: str, content: bytes) -> None:
        with self._files.open_output_stream(path) as file:
            file.write(content)

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = redact(" ".join(str(error.strerror or error).split()))
            raise OutputError(f"{self.name}: {why}", "see whether it can be written, and has room") from error


def _file_system(url: str) -> tuple[pyarrow.fs.FileSystem, str]:
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileSystem, LocalFileSystem

    if "://" not in url:
        return LocalFileSystem(), os.path.abspath(url)
    try:
        files, path = FileSystem.from_uri(url)
    except ArrowInvalid:
        files, path = _other_file_system(url)
    except (OSError, ValueError) as error:
        raise _unusable(url, error) from error
    return files, path.rstrip("/")


def _other_file_system(url: str) -> tuple[Any, str]:
    """Ask fsspec, which knows many more kinds, some of them by packages of their own."""
    from fsspec.core import url_to_fs
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    try:
        files, path = url_to_fs(url)
    except (ImportError, OSError, ValueError) as error:
        raise _unusable(url, error) from error
    return PyFileSystem(FSSpecHandler(files)), path


def _unusable(url: str, error: Exception) -> InputError:
    why = redact(" ".join(str(error).split()))
    return InputError(f"--blocks {redact(url)}: {why}", "give a folder, or a URL such as s3://bucket/folder")
