"""Few-shot sampling: which examples to train on, and which to validate with."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from bimors_cli.errors import InputError
from bimors_cli.training.examples.base import TEST, VALIDATION, Examples

# Of a class, as the paper has it, however many shots there are.
VALIDATION_SHOTS = 4

log = logging.getLogger("bimors")


@dataclass(frozen=True)
class FewShotSplit:
    """A draw of examples.

    Attributes
    ----------
    train, validation : tuple of int
        Places in the source, class by class in the order of the labels, each class in the order drawn.
    skipped : tuple of str
        Examples whose pictures cannot be read.
    short : mapping of str to int
        Labels with fewer training examples than asked for, and how many they have.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    skipped: tuple[str, ...]
    short: Mapping[str, int]


def few_shot(examples: Examples, shots: int, seed: int, unreadable_share: float = 0.1) -> FewShotSplit:
    """Draw examples of each class.

    Training gets ``shots`` examples of a class, validation min(shots, 4); with ``shots`` 0 training gets all and
    validation a tenth, at least one. Of a class that has too few for both, training comes first while there are more
    than ``shots``; with fewer, validation gets a fifth of them, at least one; an only example goes to training.

    Where the source has a validation part, validation is drawn from that only (all of it with ``shots`` 0); its test
    part is never touched. Blocks go to one side as a whole, see `validation_blocks`; a class whose examples cannot be
    parted so is warned of and parted within its blocks. A class is drawn in an order of its own, by the seed, its name
    and its examples: no other class changes it, but through blocks that they share.

    Parameters
    ----------
    examples : Examples
        The source.
    shots : int
        A class; 0 for all.
    seed : int
        The same seed gives the same sample, on every machine. From 0.
    unreadable_share : float
        Of the pictures tried; where more cannot be read the source is refused.

    Raises
    ------
    InputError
        A negative number; a class without examples; too many pictures that cannot be read.
    """
    if shots < 0:
        raise InputError(f"--shots {shots}: a number from 0 (all)")
    if seed < 0:
        raise InputError(f"--seed {seed}: a number from 0")
    names = examples.labels.names
    usable = [i for i, example in enumerate(examples.examples) if example.part != TEST]
    drawn = {label: _order(examples, usable, label, seed) for label in range(len(names))}
    parted = any(examples.examples[i].part == VALIDATION for i in usable)
    reader = _Reader(examples, unreadable_share, len(usable))
    sides = _by_part(examples, drawn) if parted else _by_block(examples, drawn, shots, seed)
    train: list[int] = []
    validation: list[int] = []
    short: dict[str, int] = {}
    for label, name in enumerate(names):
        order, reserved = sides[label]
        if not (order or reserved) and label in examples.optional:
            continue
        wanted = min(shots, VALIDATION_SHOTS)
        if reserved or parted:
            chosen = reader.take(order, shots or len(order))
            checked = reader.take(reserved, wanted if shots else len(reserved))
        else:
            chosen, checked = _share(reader.take(order, shots + wanted if shots else len(order)), shots)
        if not chosen:
            reader.check()
            raise InputError(f"no {'readable ' if order else ''}example of {name!r} to train on", "add some")
        if len(chosen) < shots:
            short[name] = len(chosen)
        if not checked:
            log.warning("%r has no example to validate with", name)
        train += chosen
        validation += checked
    reader.check()
    return FewShotSplit(tuple(train), tuple(validation), tuple(reader.skipped), short)


class _Reader:
    """Tries pictures, and refuses the source when too many cannot be read."""

    def __init__(self, examples: Examples, unreadable_share: float, most: int) -> None:
        self._examples = examples
        self._share = unreadable_share
        self._most = most
        self._tried = 0
        self.skipped: list[str] = []

    def take(self, order: Sequence[int], count: int) -> list[int]:
        """Return the first `count` examples of an order whose pictures can be read."""
        return list(islice(filter(self._is_readable, order), count))

    def check(self) -> None:
        """Raise InputError if more than the share of the pictures tried cannot be read."""
        if len(self.skipped) > self._share * self._tried:
            self._refuse()

    def _is_readable(self, index: int) -> bool:
        self._tried += 1
        if self._examples.pictures.read(index) is not None:
            return True
        self.skipped.append(self._examples.examples[index].where)
        # More than can be made good by all that is left: no need to try it.
        if len(self.skipped) > self._share * self._most:
            self._refuse()
        return False

    def _refuse(self) -> None:
        raise InputError(
            f"{len(self.skipped)} of {self._tried} pictures cannot be read: {', '.join(self.skipped[:3])}",
            "remove or replace them; the log says what is wrong with each",
        )


def _order(examples: Examples, usable: Sequence[int], label: int, seed: int) -> list[int]:
    """Return the examples of a class in the order of its draw."""
    # By where they are: the order in which a source lists them does not matter.
    rows = sorted((i for i in usable if examples.examples[i].label == label), key=lambda i: examples.examples[i].where)
    return [rows[i] for i in _generator(seed, examples.labels.names[label]).permutation(len(rows))]


def _by_part(examples: Examples, drawn: Mapping[int, list[int]]) -> dict[int, tuple[list[int], list[int]]]:
    """Part each class as the source says."""
    sides = {}
    for label, order in drawn.items():
        held = [i for i in order if examples.examples[i].part == VALIDATION]
        sides[label] = ([i for i in order if examples.examples[i].part != VALIDATION], held)
    return sides


def _by_block(
    examples: Examples, drawn: Mapping[int, list[int]], shots: int, seed: int
) -> dict[int, tuple[list[int], list[int]]]:
    """Part each class by blocks; nothing is held for validation where there are none, or a class cannot be parted."""
    # An example that stands alone is a block of its own.
    block = {
        i: examples.examples[i].block or f"\0{examples.examples[i].where}" for order in drawn.values() for i in order
    }
    if all(name.startswith("\0") for name in block.values()):
        return {label: (order, []) for label, order in drawn.items()}
    counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for label, order in drawn.items():
        for i in order:
            counts[block[i]][label] += 1
    blocks = sorted(counts)
    shuffled = [blocks[i] for i in _generator(seed, "").permutation(len(blocks))]
    held = validation_blocks({name: counts[name] for name in shuffled}, shots, VALIDATION_SHOTS)
    sides = {}
    for label, order in drawn.items():
        reserved = [i for i in order if block[i] in held]
        sides[label] = ([i for i in order if block[i] not in held], reserved)
        if not reserved and len(order) > 1:
            log.warning(
                "%r: its examples lie in %s: training and validation share it, so validation will flatter",
                examples.labels.names[label],
                "one block" if len({block[i] for i in order}) == 1 else "blocks that cannot be parted",
            )
    return sides


def _share(found: list[int], shots: int) -> tuple[list[int], list[int]]:
    """Part the examples of one class, as many as there are of those asked for."""
    count = len(found)
    if count < 2:
        return found, []
    if not shots:
        held = max(count // 10, 1)
    elif count > shots:
        held = min(shots, VALIDATION_SHOTS, count - shots)
    else:
        held = min(shots, VALIDATION_SHOTS, max(count // 5, 1))
    train = count - held
    return found[:train], found[train:]


def _generator(seed: int, name: str) -> np.random.Generator:
    """Return the random numbers of one class."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


def validation_blocks(blocks: Mapping[str, Mapping[int, int]], shots: int, most: int) -> frozenset[str]:
    """Choose whole blocks for validation, so that every class that can has examples on both sides.

    A block may hold several classes, so classes that share blocks cannot be parted one by one. Blocks are tried in
    their order, first those that leave every class in them what training asks for, or half of its examples; then, for
    classes that still have none, those that leave every class something.

    Parameters
    ----------
    blocks : mapping of block to (mapping of label to count)
        How many examples of each class a block holds, in the order to try them.
    shots : int
        Training examples asked for, a class; 0 for all.
    most : int
        Validation examples asked for, a class, with that many shots or more; with ``shots`` 0 a tenth of a class.

    Returns
    -------
    frozenset of str
        The chosen blocks.
    """
    total: Counter[int] = Counter()
    for counts in blocks.values():
        total.update(counts)
    wanted = {label: min(shots, most) if shots else max(1, count // 10) for label, count in total.items()}
    enough = {label: min(shots, count // 2) if shots else count // 2 for label, count in total.items()}
    left, held = Counter(total), Counter[int]()
    chosen: set[str] = set()
    for least, goal in ((enough, wanted), (dict.fromkeys(total, 1), dict.fromkeys(total, 1))):
        for block, counts in blocks.items():
            if block in chosen:
                continue
            useful = any(held[label] < goal[label] for label in counts)
            if useful and all(left[label] - count >= max(1, least[label]) for label, count in counts.items()):
                chosen.add(block)
                left.subtract(counts)
                held.update(counts)
    return frozenset(chosen)
