"""Operations of a T5 decoder's steps, and the bytes that they must move, from the shapes alone.

    python -m tests.benchmarks.captioner_costs        # the table of README.md

Counted are matrix products (a multiply-add is two operations), and the bytes of weights, of keys and values, and of
float32 logits. Norms, activations and the states of a token are left out: a few per cent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Shapes:
    """Shapes of a decoder and of its search; ``encoded`` is S, the number of the encoder's states."""

    layers: int
    model: int
    inner: int
    wide: int
    gated: bool
    words: int
    encoded: int
    pictures: int
    beams: int = 4
    steps: int = 15
    bytes_per_number: int = 2


@dataclass(frozen=True)
class Costs:
    """Operations, and bytes read and written."""

    operations: int
    weights: int
    own_cache: int
    cross_cache: int
    logits: int

    @property
    def bytes(self) -> int:
        return self.weights + self.own_cache + self.cross_cache + self.logits


FLAN_T5_XL = Shapes(24, 2048, 2048, 5120, True, 32128, 33, pictures=256)
MINI = Shapes(2, 192, 192, 512, True, 2400, 9, pictures=64, bytes_per_number=4)


def weights(shapes: Shapes) -> int:
    """Numbers in the linear layers that a step reads."""
    attention = 6 * shapes.inner * shapes.model  # of both kinds: queries and output; keys and values of the tokens only
    return shapes.layers * (attention + (3 if shapes.gated else 2) * shapes.wide * shapes.model) + (
        shapes.words * shapes.model
    )


def own_step(shapes: Shapes, step: int) -> Costs:
    """Costs of a step of `bimors_cli.model.t5`; ``step`` counts from 0.

    The first step is of one beam. Keys and values are written once, and each is read once for all beams of a picture.
    """
    queries = shapes.pictures * (shapes.beams if step else 1)
    rows = 1 + step * shapes.beams
    state = 2 * shapes.layers * shapes.inner * shapes.bytes_per_number  # keys and values of a token
    return Costs(
        operations=2 * queries * weights(shapes) + 4 * queries * shapes.layers * shapes.inner * (rows + shapes.encoded),
        weights=weights(shapes) * shapes.bytes_per_number,
        own_cache=state * (queries + shapes.pictures * rows),
        cross_cache=state * shapes.pictures * shapes.encoded,
        logits=_logits(shapes, queries),
    )


def generate_step(shapes: Shapes, step: int) -> Costs:
    """Costs of a step of ``generate``: caches that grow by a copy, and are copied once more in the order of the beams;
    the encoder's keys and values are stored and copied for each beam.
    """
    queries = shapes.pictures * shapes.beams
    length = step + 1
    state = 2 * shapes.layers * shapes.inner * shapes.bytes_per_number
    return Costs(
        operations=2 * queries * weights(shapes)
        + 4 * queries * shapes.layers * shapes.inner * (length + shapes.encoded),
        weights=weights(shapes) * shapes.bytes_per_number,
        # Copied to append a token, read by the attention, copied to reorder.
        own_cache=state * queries * ((step + length) + length + 2 * length),
        cross_cache=state * queries * (shapes.encoded + 2 * shapes.encoded),
        logits=_logits(shapes, queries),
    )


def total(steps: list[Costs]) -> Costs:
    """Return the sum."""
    return Costs(
        sum(step.operations for step in steps),
        sum(step.weights for step in steps),
        sum(step.own_cache for step in steps),
        sum(step.cross_cache for step in steps),
        sum(step.logits for step in steps),
    )


def table(name: str, shapes: Shapes) -> str:
    """Return rows of a Markdown table: the last step and all steps, by ``generate`` and by the search of our own."""
    rows = []
    for who, cost in (("generate", generate_step), ("own", own_step)):
        steps = [cost(shapes, step) for step in range(shapes.steps)]
        for what, costs in ((f"step {shapes.steps}", steps[-1]), ("all", total(steps))):
            numbers = (costs.weights, costs.own_cache, costs.cross_cache, costs.logits, costs.bytes)
            cells = [f"{costs.operations / 1e9:,.1f}", *(f"{number / 1e9:,.3f}" for number in numbers)]
            rows.append(f"| {name}, {shapes.pictures} pictures | {who} | {what} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _logits(shapes: Shapes, queries: int) -> int:
    # Written, and read and written once more by the logarithm of the softmax, in float32; read for the best words.
    return 4 * 4 * queries * shapes.words


if __name__ == "__main__":
    print(table("flan-t5-xl", FLAN_T5_XL))
    print(table("mini", MINI))
    print(table("mini", replace(MINI, pictures=8)))
