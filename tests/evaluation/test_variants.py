"""Heads as users write them."""

from __future__ import annotations

import pytest

from bimors_cli.errors import InputError
from bimors_cli.evaluation.variants import HeadVariant, parse_variants
from bimors_cli.training.hyperparameters import HeadConfig


def test_plain_names() -> None:
    zero, bimors, both = parse_variants(["zero-shot", " bimors", "bimors+cache"])
    assert zero == HeadVariant("zero-shot", None)
    assert bimors.choice == HeadConfig("bimors") and bimors.listens
    assert both.choice == HeadConfig("bimors", cache=True)


def test_changes() -> None:
    (one,) = parse_variants(["bimors+cache:no-captions:tokens=8:lr=0.05:epochs=3:random-start:frozen-projection"])
    assert one.choice == HeadConfig("bimors", True, 8, freeze_caption_projection=True, start_at_random=True)
    assert (one.captions, one.patch_tokens, one.rate, one.epochs) == (False, True, 0.05, 3)
    assert not one.listens
    assert one.recipe(10, 4, 2).epochs == 3 and one.recipe(10, 4, 2).rate == 0.05
    (blind,) = parse_variants(["bimors:no-patch-tokens"])
    assert not blind.patch_tokens and blind.recipe(10, 4, 2).rate == 0.009


def test_how_answers_are_refined_and_what_zero_shot_reads() -> None:
    plain, refined, one, both, learned = parse_variants(
        [
            "zero-shot",
            "zero-shot:transductive",
            "zero-shot:one-template",
            "zero-shot:one-template:transductive",
            "bimors+cache:tokens=8:transductive",
        ]
    )
    assert not (plain.transductive or plain.one_template or one.transductive or refined.one_template)
    assert refined.transductive and one.one_template and both.transductive and both.one_template
    assert plain.without_refinement == refined.without_refinement != one.without_refinement == both.without_refinement
    assert learned.transductive and learned.choice == HeadConfig("bimors", True, 8) and learned.listens
    assert learned.with_official_quirks().transductive


def test_official_quirks_are_those_of_bimors_alone() -> None:
    zero, coop, bimors = (one.with_official_quirks() for one in parse_variants(["zero-shot", "coop", "bimors"]))
    assert zero.choice is None and coop.choice == HeadConfig("coop")
    assert bimors.choice == HeadConfig("bimors", freeze_caption_projection=True, start_at_random=True, half=True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("maple", "unknown head 'maple'"),
        ("zero-shot+cache", "unknown head"),
        ("cache+cache", "unknown head"),
        ("zero-shot:lr=1", "learns nothing"),
        ("zero-shot:spatial", "'spatial' is not a change of it"),
        ("zero-shot:transductive=1", "is not a change of it"),
        ("coop:one-template", "'one-template' is not a change of coop"),
        ("coop:transductive=1", "not a change of coop"),
        ("coop:no-captions", "'no-captions' is not a change of coop"),
        ("linear:tokens=4", "not a change of linear"),
        ("bimors:tokens=0", "tokens=0: a whole number from 1 to 64"),
        ("bimors:tokens=2.5", "a whole number"),
        ("bimors:tokens=nan", "a whole number"),
        ("bimors:lr=much", "lr=much: a number from"),
        ("bimors:lr=-1", "lr=-1: a number from"),
        ("bimors:epochs=1e99", "epochs=1e99"),
        ("bimors:", "'' is not a change"),
        ("", "no head"),
    ],
)
def test_what_is_no_head_is_refused_with_its_name(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told.replace("+", r"\+").replace("(", r"\(")):
        parse_variants([text])


def test_a_head_twice() -> None:
    with pytest.raises(InputError, match="coop is there twice"):
        parse_variants(["coop", "bimors", "coop"])
