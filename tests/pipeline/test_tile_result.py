"""Results in the journal: fields are added at its end only, and only where they are used."""

from __future__ import annotations

import json

import pytest

from bimors_cli.pipeline.tile_result import TileResult

PLAIN = TileResult(0, 7, None, ((1, 0.75), (0, 0.25)), "trees")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (PLAIN, '[0,7,null,[[1,0.75],[0,0.25]],"trees",null]'),
        (TileResult(0, 7, "nodata", valid_cells=b"\1"), '[0,7,"nodata",[],null,null,null,null,"AQ=="]'),
        (
            TileResult(0, 7, "unlike_examples", novelty=0.9987),
            '[0,7,"unlike_examples",[],null,null,null,null,null,0.9987]',
        ),
        (
            TileResult(0, 7, "unlike_examples", label_set=()),
            '[0,7,"unlike_examples",[],null,null,null,null,null,null,[]]',
        ),
    ],
)
def test_results_are_short(result: TileResult, text: str) -> None:
    assert json.dumps(result.to_json(), separators=(",", ":")) == text
    assert TileResult.from_json(json.loads(text)) == result


def test_everything_comes_back() -> None:
    whole = TileResult(1, 2, None, ((0, 1.0),), "a", (1.0,), b"f", b"p", b"c", 0.5, (0, 2))
    assert TileResult.from_json(json.loads(json.dumps(whole.to_json()))) == whole
    with pytest.raises(ValueError, match="unpack"):
        TileResult.from_json([*whole.to_json(), 1])
    with pytest.raises(ValueError):
        TileResult.from_json([*whole.to_json()[:-1], "much"])
