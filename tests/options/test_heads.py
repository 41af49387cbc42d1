"""The table of heads: names, aliases, stored names, and that every row leads to code."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bimors_cli.evaluation.variants import parse_variants
from bimors_cli.options import heads
from bimors_cli.options.heads import HEADS, HeadEntry, find_head, head_names, is_head


def test_names_are_unique() -> None:
    names = [name for entry in HEADS.values() for name in {entry.name, entry.stored_name, *entry.aliases}]
    assert len(set(names)) == len(names)
    assert all(name == entry.name for name, entry in HEADS.items())


@pytest.mark.parametrize("name", ["tip-adapter", "cache"])
def test_tip_adapter_has_two_names(name: str) -> None:
    entry = find_head(name)
    assert (entry.name, entry.stored_name) == ("tip-adapter", "cache")
    (variant,) = parse_variants([name])
    assert variant.choice is not None and (variant.name, variant.choice.head) == (name, "cache")


@pytest.mark.parametrize("suffix", ["+tip-adapter", "+cache"])
def test_a_cache_is_added_to_a_head(suffix: str) -> None:
    (variant,) = parse_variants([f"coop{suffix}:tokens=2"])
    assert variant.choice is not None
    assert (variant.choice.head, variant.choice.cache, variant.choice.tokens) == ("coop", True, 2)


def test_an_unknown_head() -> None:
    assert not is_head("zero-shot") and not is_head("")
    with pytest.raises(KeyError):
        find_head("best")


def test_names_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert head_names() == "coop, cocoop, bimors, tip-adapter or linear"
    monkeypatch.setattr(heads, "HEADS", {"coop": HEADS["coop"]})
    assert head_names() == "coop"


@pytest.mark.parametrize("entry", HEADS.values(), ids=list(HEADS))
def test_every_row_leads_to_code(entry: HeadEntry) -> None:
    assert callable(entry.load("make_learner")) and callable(entry.load("make_head"))
    assert entry.learning_rate > 0 and entry.help


def test_the_table_loads_no_torch() -> None:
    code = "import sys, bimors_cli.options.heads; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
