"""Options in a shard's journal: damaged ones, and those of other versions, are one line."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from bimors_cli.errors import InputError
from bimors_cli.labels import Labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.pipeline.checkpoint.shard_header import from_json, options_of, to_json

OPTIONS = ClassifyOptions(scenes=("a.tif", "b.tif"), labels=Labels.of(["forest | wood", "river"]), bidx=(3, 2, 1))


def test_values_are_those_of_json() -> None:
    values = to_json(OPTIONS)
    assert values["scenes"] == ["a.tif", "b.tif"] and values["bidx"] == [3, 2, 1]
    assert values["labels"] == {
        "items": [
            {"name": "forest", "colour": None, "line": 0, "synonyms": ["wood"]},
            {"name": "river", "colour": None, "line": 0, "synonyms": []},
        ],
        "source": "labels",
    }
    assert options_of({**values, "captions": True}).captions == "all"
    assert options_of(values) == OPTIONS and options_of(values, top_k=2, resume=True).resume


def test_unknown_names_are_ignored_and_missing_ones_have_defaults() -> None:
    values = {"scenes": ["a.tif", "b.tif"], "labels": to_json(OPTIONS.labels), "option of a later version": 1}
    assert options_of(values).bidx == () and options_of(values).min_valid == 0.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scenes": "a.tif"}, "scenes: not an array"),
        ({"scenes": ["a.tif", 3]}, "scenes.1: not a string"),
        ({"labels": None}, "labels: not an object"),
        ({"labels": {"source": "x"}}, "labels.items: missing"),
        ({"labels": {"items": [{"name": 1}]}}, "labels.items.0.name: not a string"),
        ({"batch_size": "4"}, "batch_size: not an integer"),
        ({"batch_size": True}, "batch_size: not an integer"),
        ({"min_valid": "half"}, "min_valid: not a number"),
        ({"min_valid": 2}, "--min-valid 2"),
        ({"captions": 1}, "captions: not a string or true or false"),
        ({"bidx": [1, None]}, "bidx.1: not an integer"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match="options in the shards' journals are invalid: ") as caught:
        options_of({**to_json(OPTIONS), **values})
    assert message in caught.value.message and "\n" not in caught.value.message


def test_no_options_at_all() -> None:
    for values in ([], "x", None):
        with pytest.raises(InputError, match="options: not an object"):
            from_json(ClassifyOptions, values)
    with pytest.raises(InputError, match="options: not one of a, b"):
        from_json(Literal["a", "b"], "c")
    assert from_json(Literal["a", "b"] | None, "b") == "b"
