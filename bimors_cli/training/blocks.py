"""Which blocks of neighbouring examples go to validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


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
