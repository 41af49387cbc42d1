"""What a manifest says of views."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bimors_cli.bundle.adapter_views import AdapterViews, BandIdentity
from bimors_cli.options.templates import FORMER_REMOTE_SENSING, REMOTE_SENSING

VIEWS = AdapterViews(
    ("bands", "false-colour"),
    (BandIdentity(1, "red"), BandIdentity(2, None), BandIdentity(4, "nir")),
    (2, 0, 1),
    10.0,
)


def test_it_is_read_as_it_was_written() -> None:
    for views in (VIEWS, AdapterViews(("image", "names")), AdapterViews(("names",), templates=("a {}.", "{}"))):
        assert AdapterViews.from_json(json.loads(json.dumps(views.to_json()))) == views
    assert [str(band) for band in VIEWS.bands] == ["red", "band 2", "nir"]


def test_templates_are_those_of_the_training() -> None:
    """An adapter from before they were stated has the bundle's, or the default of that time; its identity stays."""
    before, own = AdapterViews(("names",)), AdapterViews(("names",), templates=("a {}.",))
    assert "templates" not in before.to_json()
    assert before.templates_with(()) == FORMER_REMOTE_SENSING != REMOTE_SENSING
    assert before.templates_with(("{}",)) == ("{}",)
    assert own.templates_with(("{}",)) == ("a {}.",)
    for wrong in (["none"], ["{} {}"], 3):
        with pytest.raises((TypeError, ValueError)):
            AdapterViews.from_json({**before.to_json(), "templates": wrong})


@pytest.mark.parametrize(
    "change",
    [
        {"names": []}, {"names": None}, {"bands": None}, {"bands": [{"index": 1}]}, {"bands": [3]}, {"bands": []},
        {"false_colour": [0, 1, 3]}, {"false_colour": [0, -1, 2]}, {"false_colour": []}, {"false_colour": [0, 1]},
        {"pixel_size_m": "wide"}, {"names": ["image"]}, {"names": ["bands"], "bands": [], "false_colour": []},
    ],
)  # fmt: skip
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        AdapterViews.from_json({**VIEWS.to_json(), **change})
    for name in change:
        content = {key: value for key, value in VIEWS.to_json().items() if key != name}
        with pytest.raises(KeyError):
            AdapterViews.from_json(content)
