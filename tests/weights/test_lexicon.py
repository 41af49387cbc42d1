"""What a bundle may know, and what one that is built without some classes may not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "weights"))

from recipe.data import new_classes  # noqa: E402
from recipe.words import RSICD, RSSCN7, lexicon  # noqa: E402


def test_without_nothing_everything_is_known() -> None:
    known = lexicon()
    assert known.rsicd == RSICD and known.rsscn7 == RSSCN7


def test_what_is_left_out_is_left_out_under_all_its_names() -> None:
    without = ("river", "pond", "meadow", "desert")
    known = lexicon(without)
    assert not set(without) & set(known.rsicd)
    # RSSCN7's grass is RSICD's meadow, its river and lake are river and pond.
    assert set(RSSCN7) - set(known.rsscn7) == {"grass", "river_lake"}
    names = {name for some in (*known.rsicd.values(), *known.rsscn7.values()) for name in some}
    assert not names & {name for kind in without for name in RSICD[kind]}
    kinds = {*known.rsicd, *known.rsscn7}
    assert all(members and set(members) <= kinds for members in known.coarse.values())
    assert not any("water" in words for words in known.coarse)


@pytest.mark.shared
def test_the_new_classes_are_the_later_half_of_the_benchmarks_order(shared: Path) -> None:
    split = json.loads((shared / "splits" / "rsicd.json").read_text())
    late = {kind for part in split.values() for _, label, kind in part if label >= 15}
    assert set(new_classes(shared / "splits")) == late and len(late) == 15
    known = lexicon(new_classes(shared / "splits"))
    assert set(known.rsscn7) == {"field", "forest", "industry", "resident"}
