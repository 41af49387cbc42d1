"""Who takes part in a comparison: a head, as it is or with something changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bimors_cli.errors import InputError
from bimors_cli.options.heads import ZERO_SHOT, HeadEntry, find_head, head_names, is_head
from bimors_cli.training.hyperparameters import HeadConfig, TrainConfig

_CACHES: Final = ("+tip-adapter", "+cache")
_ONE_TEMPLATE: Final = "one-template"
_TRANSDUCTIVE: Final = "transductive"
_WHOLE: Final = "a whole number"
_FORM: Final = (
    f"a head is zero-shot, {head_names()}; bimors+tip-adapter has a Tip-Adapter cache added, and changes follow "
    "after colons: bimors:no-captions, bimors:tokens=8, bimors:transductive, zero-shot:one-template"
)


@dataclass(frozen=True)
class HeadVariant:
    """A head in a comparison.

    Attributes
    ----------
    name : str
        As the user wrote it.
    choice : HeadChoice or None
        What learns; None for zero-shot, which does not.
    captions, patch_tokens : bool
        Without them every caption is empty, every patch token zero, in training and in testing.
    rate : float, optional
        Highest learning rate, if not the head's own.
    epochs : int, optional
        If not as many as all others.
    one_template : bool
        Zero-shot with the one template that an untrained prompt learner begins with, not with all of the bundle's.
    transductive : bool
        The answers to all test pictures of a question are refined together, see `bimors_cli.refine.transductive`.
    """

    name: str
    choice: HeadConfig | None
    captions: bool = True
    patch_tokens: bool = True
    rate: float | None = None
    epochs: int | None = None
    one_template: bool = False
    transductive: bool = False

    @property
    def without_refinement(self) -> HeadVariant:
        """What it is before its answers are refined: all that learns alike has one of these."""
        return replace(self, name="", transductive=False)

    @property
    def listens(self) -> bool:
        """Whether captions take part in its answer."""
        return self.choice is not None and find_head(self.choice.head).captions and self.captions

    def recipe(self, epochs: int, batch_size: int, seed: int) -> TrainConfig:
        """Its training run, where all others have these epochs. Only for a head that learns."""
        assert self.choice is not None
        rate = find_head(self.choice.head).learning_rate if self.rate is None else self.rate
        return TrainConfig(epochs=self.epochs or epochs, rate=rate, batch_size=batch_size, seed=seed)

    def with_official_quirks(self) -> HeadVariant:
        """The same with the deviations of the published implementation that lie in the head: bimors has a random start,
        a random and frozen caption projection, and float16; the others are as they are.
        """
        if self.choice is None or "random-start" not in find_head(self.choice.head).changes:
            return self
        quirks = replace(self.choice, freeze_caption_projection=True, start_at_random=True, half=True)
        return replace(self, choice=quirks)


def parse_variants(texts: Sequence[str]) -> tuple[HeadVariant, ...]:
    """Read heads as users write them: ``bimors``, ``bimors+cache``, ``bimors:no-captions:tokens=8``.

    Changes of all heads: ``transductive`` (the answers to all test pictures are refined together). Of zero-shot:
    ``one-template``. Of bimors: ``no-captions``, ``no-patch-tokens``, ``frozen-projection`` (the caption projection
    stays random) and ``random-start`` (the attention adds something from the start, as in the published
    implementation). Of heads with context tokens: ``tokens=M``. Of all that learn: ``lr=RATE`` and ``epochs=N``.

    Raises
    ------
    InputError
        One is not of this form, or stands there twice.
    """
    names = [text.strip() for text in texts if text.strip()]
    if not names:
        raise InputError("--heads: no head", _FORM)
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"--heads: {sorted(twice)[0]} is there twice", "name each once")
    return tuple(_parse(name) for name in names)


def _parse(text: str) -> HeadVariant:
    head, *changes = text.split(":")
    cached = head.endswith(_CACHES)
    for suffix in _CACHES:
        head = head.removesuffix(suffix)
    if head == ZERO_SHOT and not cached:
        return _zero_shot(text, changes)
    if not is_head(head) or (cached and find_head(head).needs_tip_adapter):
        raise InputError(f"--heads {text}: unknown head {text.split(':')[0]!r}", _FORM)
    entry = find_head(head)
    found = HeadVariant(text, HeadConfig(entry.stored_name, cache=cached))
    for change in changes:
        found = _changed(found, entry, change)
    return found


def _zero_shot(text: str, changes: Sequence[str]) -> HeadVariant:
    other = [change for change in changes if change not in (_ONE_TEMPLATE, _TRANSDUCTIVE)]
    if other:
        raise InputError(f"--heads {text}: zero-shot learns nothing, {other[0]!r} is not a change of it", _FORM)
    return HeadVariant(text, None, one_template=_ONE_TEMPLATE in changes, transductive=_TRANSDUCTIVE in changes)


def _changed(before: HeadVariant, entry: HeadEntry, change: str) -> HeadVariant:
    choice = before.choice
    assert choice is not None
    match change.split("="):
        case [word] if word == _TRANSDUCTIVE:
            return replace(before, transductive=True)
        case ["no-captions"] if entry.captions:
            return replace(before, captions=False)
        case ["no-patch-tokens" as word] if word in entry.changes:
            return replace(before, patch_tokens=False)
        case ["frozen-projection" as word] if word in entry.changes:
            return replace(before, choice=replace(choice, freeze_caption_projection=True))
        case ["random-start" as word] if word in entry.changes:
            return replace(before, choice=replace(choice, start_at_random=True))
        case ["tokens", number] if entry.context_tokens:
            return replace(before, choice=replace(choice, tokens=_whole(before, change, number, 64)))
        case ["lr", number]:
            return replace(before, rate=_number(before, change, number, 1e-9, 1000.0))
        case ["epochs", number]:
            return replace(before, epochs=_whole(before, change, number, 100_000))
    raise InputError(f"--heads {before.name}: {change!r} is not a change of {entry.name}", _FORM)


def _number(before: HeadVariant, change: str, text: str, least: float, most: float, kind: str = "a number") -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise _no_number(before, change, least, most, kind)
    return value


def _whole(before: HeadVariant, change: str, text: str, most: int) -> int:
    value = _number(before, change, text, 1, most, _WHOLE)
    if not value.is_integer():
        raise _no_number(before, change, 1, most, _WHOLE)
    return int(value)


def _no_number(before: HeadVariant, change: str, least: float, most: float, kind: str) -> InputError:
    return InputError(f"--heads {before.name}: {change}: {kind} from {least:g} to {most:g}", _FORM)
