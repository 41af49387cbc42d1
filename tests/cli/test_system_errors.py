"""What the system refuses, in plain words."""

from __future__ import annotations

import errno
import os

import pytest

from bimors_cli.cli.system_errors import exhausted, system_error
from bimors_cli.errors import BundleError


def test_a_path_is_named_with_what_to_do() -> None:
    found = system_error(PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/data/a.tif"))
    assert found is not None
    assert found.message == "/data/a.tif: Permission denied" and "permissions" in str(found.hint)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (RuntimeError("unable to open file <x> in read-only mode: Too many open files (24)"), "ulimit -n"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (MemoryError(), "--batch-size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "--batch-size"),
    ],
)
def test_a_limit_is_named_also_where_a_library_takes_it_for_damage(error: Exception, says: str) -> None:
    for shown in (system_error(error), exhausted(error)):
        assert shown is not None and says in str(shown.hint)
    try:
        raise BundleError("not a model") from error
    except BundleError as wrapped:
        shown = exhausted(wrapped)
        assert shown is not None and says in str(shown.hint)


def test_a_fault_of_the_program_is_none_of_these() -> None:
    assert system_error(ValueError("x")) is None
    assert exhausted(BundleError("damaged")) is None
