"""Values of options as text."""

from __future__ import annotations

import pytest

from bimors_cli.errors import InputError
from bimors_cli.options.parse import parse_coverage


@pytest.mark.parametrize(("text", "share"), [("90%", 0.9), (" 99.5 % ", 0.995), ("0.9", 0.9), (".8", 0.8)])
def test_a_coverage_is_a_share_or_a_percentage(text: str, share: float) -> None:
    assert parse_coverage(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["90", "1", "100%", "0", "0%", "-5%", "nan", "inf%", "", "%", "a%", "90%%"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a share") as caught:
        parse_coverage(text)
    assert caught.value.hint == "write 90% or 0.9"
