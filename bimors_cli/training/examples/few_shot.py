"""Few-shot sampling: the examples for training and for validation."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from bimors_cli.errors import InputError
from bimors_cli.run_warnings import warn_of_one
from bimors_cli.training.examples.base import TEST, VALIDATION, Examples

# Per class, as in the paper, whatever the number of shots.
VALIDATION_SHOTS = 4


@dataclass(frozen=True)
class FewShotSplit:
    """Examples drawn for training and validation.

    Attributes
    ----------
    train, validation : tuple of int
        Indices into the source, class by class in the order of the labels, each class in the order drawn.
    skipped : tuple of str
        Examples whose images cannot be read.
    short : mapping of str to int
        Number of training examples of each label that has fewer than requested.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    skipped: tuple[str, ...]
    short: Mapping[str, int]


def few_shot(examples: Examples, shots: int, seed: int, max_unreadable: float = 0.1) -> FewShotSplit:
    """Draw examples of each class.

    Training gets ``shots`` examples of a class, validation min(shots, 4); with ``shots`` 0 validation gets a tenth, at
    least one, and training the rest. If a class has too few for both, training is filled first while there are more
    than ``shots``; with fewer, validation gets a fifth of them, at least one; a single example goes to training.

    If the source has a validation split, validation is drawn from it only (all of it with ``shots`` 0); its test split
    is never used. Spatial blocks are not divided, see `validation_blocks`; a class whose examples cannot be separated
    by blocks is divided within its blocks, with a warning. The order in which a class is drawn depends on the seed, its
    name and its examples only; other classes affect it through shared blocks only.

    Parameters
    ----------
    examples : Examples
        The source.
    shots : int
        Training examples per class; 0 for all.
    seed : int
        The same seed gives the same sample on every machine. From 0.
    max_unreadable : float
        Largest fraction of the images tried that may be unreadable.

    Raises
    ------
    InputError
        A number is negative; a class has no examples; too many images cannot be read.
    """
    _check_numbers(shots, seed)
    names = examples.labels.names
    usable = [i for i, example in enumerate(examples.examples) if example.split != TEST]
    drawn = {label: _order(examples, usable, label, seed) for label in range(len(names))}
    has_validation = any(examples.examples[i].split == VALIDATION for i in usable)
    reader = _Reader(examples, max_unreadable, len(usable))
    sides = _by_split(examples, drawn) if has_validation else _by_block(examples, drawn, shots, seed)
    train: list[int] = []
    validation: list[int] = []
    short: dict[str, int] = {}
    for label, name in enumerate(names):
        order, reserved = sides[label]
        if not (order or reserved) and label in examples.optional:
            continue
        wanted = min(shots, VALIDATION_SHOTS)
        if reserved or has_validation:
            chosen = reader.take(order, shots or len(order))
            checked = reader.take(reserved, wanted if shots else len(reserved))
        else:
            chosen, checked = _divide(reader.take(order, shots + wanted if shots else len(order)), shots)
        if not chosen:
            reader.check()
            raise InputError(
                f"class {name!r} has no {'readable ' if order else ''}example to train on", "add examples of this class"
            )
        if len(chosen) < shots:
            short[name] = len(chosen)
        if not checked:
            warn_of_one(
                "classes have no example for validation",
                "class %r has no example for validation: give more of it",
                name,
            )
        train += chosen
        validation += checked
    reader.check()
    return FewShotSplit(tuple(train), tuple(validation), tuple(reader.skipped), short)


def draw_for_training(examples: Examples, shots: int, seed: int) -> FewShotSplit:
    """Draw examples of each class for a classifier that needs none for validation; nothing is read.

    The order of a class is that of `few_shot`. The source's validation split is used after its training split is
    exhausted, its test split never. With ``shots`` 0 all are drawn.

    Parameters
    ----------
    examples : Examples
        The source.
    shots : int
        Examples per class; 0 for all.
    seed : int
        The same seed gives the same sample on every machine. From 0.

    Raises
    ------
    InputError
        A number is negative; a class has no examples.
    """
    _check_numbers(shots, seed)
    usable = [i for i, example in enumerate(examples.examples) if example.split != TEST]
    train: list[int] = []
    short: dict[str, int] = {}
    for label, name in enumerate(examples.labels.names):
        order = _order(examples, usable, label, seed)
        order.sort(key=lambda row: examples.examples[row].split == VALIDATION)
        chosen = order[: shots or None]
        if not chosen:
            if label in examples.optional:
                continue
            raise InputError(f"class {name!r} has no example to train on", "add examples of this class")
        if len(chosen) < shots:
            short[name] = len(chosen)
        train += chosen
    return FewShotSplit(tuple(train), (), (), short)


def _check_numbers(shots: int, seed: int) -> None:
    if shots < 0:
        raise InputError(f"--shots {shots}: must be 0 (all) or more")
    if seed < 0:
        raise InputError(f"--seed {seed}: must be 0 or more")


class _Reader:
    """Tries to read images; raises when too many of them cannot be read."""

    def __init__(self, examples: Examples, max_unreadable: float, most: int) -> None:
        self._examples = examples
        self._max_unreadable = max_unreadable
        self._most = most
        self._tried = 0
        self.skipped: list[str] = []

    def take(self, order: Sequence[int], count: int) -> list[int]:
        """Return the first `count` examples of an order whose images can be read."""
        return list(islice(filter(self._is_readable, order), count))

    def check(self) -> None:
        """Raise InputError if too large a fraction of the images tried cannot be read."""
        if len(self.skipped) > self._max_unreadable * self._tried:
            self._refuse()

    def _is_readable(self, index: int) -> bool:
        self._tried += 1
        if self._examples.images.read(index) is not None:
            return True
        self.skipped.append(self._examples.examples[index].source_id)
        # All remaining images being readable would not be enough.
        if len(self.skipped) > self._max_unreadable * self._most:
            self._refuse()
        return False

    def _refuse(self) -> None:
        raise InputError(
            f"{len(self.skipped)} of {self._tried} images cannot be read: {', '.join(self.skipped[:3])}",
            "remove or replace them; the log gives the reason for each",
        )


def _order(examples: Examples, usable: Sequence[int], label: int, seed: int) -> list[int]:
    """Return the examples of a class in the order of its draw."""
    # Sorted, so that the order in which a source lists its examples does not matter.
    rows = sorted(
        (i for i in usable if examples.examples[i].label == label), key=lambda i: examples.examples[i].source_id
    )
    return [rows[i] for i in _generator(seed, examples.labels.names[label]).permutation(len(rows))]


def _by_split(examples: Examples, drawn: Mapping[int, list[int]]) -> dict[int, tuple[list[int], list[int]]]:
    """Divide each class by the splits of the source: (training, validation)."""
    sides = {}
    for label, order in drawn.items():
        held = [i for i in order if examples.examples[i].split == VALIDATION]
        sides[label] = ([i for i in order if examples.examples[i].split != VALIDATION], held)
    return sides


def _by_block(
    examples: Examples, drawn: Mapping[int, list[int]], shots: int, seed: int
) -> dict[int, tuple[list[int], list[int]]]:
    """Divide each class by blocks; validation is empty without blocks and for a class that they cannot separate."""
    # An example without a block is a block of its own.
    block = {
        i: examples.examples[i].spatial_block or f"\0{examples.examples[i].source_id}"
        for order in drawn.values()
        for i in order
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
            warn_of_one(
                "classes share a place between training and validation",
                "class %r: training and validation share %s: the validation scores are too optimistic; draw it in "
                "several places",
                examples.labels.names[label],
                "one spatial block" if len({block[i] for i in order}) == 1 else "blocks that cannot be separated",
            )
    return sides


def _divide(found: list[int], shots: int) -> tuple[list[int], list[int]]:
    """Divide the examples of one class, which may be fewer than requested: (training, validation)."""
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
    """Return the random generator of one class."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


def validation_blocks(blocks: Mapping[str, Mapping[int, int]], shots: int, most: int) -> frozenset[str]:
    """Choose whole blocks for validation, so that every class has examples on both sides if possible.

    A block may hold several classes, so classes that share blocks cannot be divided one by one. Blocks are tried in
    order: first those that leave each of their classes the requested training examples, or half of its examples; then,
    for classes that have no validation example yet, those that leave each class at least one.

    Parameters
    ----------
    blocks : mapping of block to (mapping of label to count)
        Number of examples of each class in a block, in the order in which blocks are tried.
    shots : int
        Requested training examples per class; 0 for all.
    most : int
        Requested validation examples per class with that many shots or more; with ``shots`` 0 a tenth of a class.

    Returns
    -------
    frozenset of str
        The blocks for validation.
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
