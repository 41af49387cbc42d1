"""What a name and a captioner ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bimors_cli.errors import InputError
from bimors_cli.pipeline.bundles.to_fetch import find_to_fetch


def test_bundles_of_the_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIMORS_HOME", str(tmp_path))
    plain = find_to_fetch("georsclip-b32", None, None)
    assert (plain.entry.name, plain.named) == ("georsclip-b32", "georsclip-b32")
    assert plain.target == tmp_path / "bundles" / "georsclip-b32"
    other = find_to_fetch("georsclip-b32", "none", None)
    assert (other.entry.name, other.named) == ("georsclip-b32+none", "georsclip-b32 --captioner none")
    assert other.target == tmp_path / "bundles" / "georsclip-b32+none"
    assert find_to_fetch("georsclip-b32", "none", tmp_path / "here").target == tmp_path / "here"
    with pytest.raises(InputError, match="blip: not a captioner"):
        find_to_fetch("georsclip-b32", "blip", None)
