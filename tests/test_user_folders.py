"""Folders of users: with and without a home."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from bimors_cli.bundle.store import installed
from bimors_cli.errors import CacheError
from bimors_cli.pipeline.inference.caption_cache import cache_file, open_caption_cache
from bimors_cli.user_folders import user_folder


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that runs with another user id: no HOME, and no entry in the list of users."""
    for name in ("HOME", "BIMORS_CACHE", "BIMORS_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)


def test_a_variable_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BIMORS_CACHE", str(tmp_path))
    assert user_folder("BIMORS_CACHE", platformdirs.user_cache_path, CacheError) == tmp_path


@pytest.mark.usefixtures("homeless")
def test_without_a_home_the_variable_to_set_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CacheError) as caught:
        cache_file()
    assert "home folder" in caught.value.message and "BIMORS_CACHE" in str(caught.value.hint)
    assert installed() == {}
    with open_caption_cache() as cache:
        assert not cache.is_persistent
    (warning,) = [record.message for record in caplog.records]
    assert "the caption cache is not used" in warning and "set BIMORS_CACHE" in warning


def test_a_cache_folder_that_cannot_be_made_is_named_with_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BIMORS_CACHE", str(tmp_path / "file"))
    with open_caption_cache() as cache:
        assert not cache.is_persistent
    (warning,) = [record.message for record in caplog.records]
    assert "BIMORS_CACHE" in warning and "--no-caption-cache" in warning
