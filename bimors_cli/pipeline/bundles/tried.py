"""What a try of a bundle found: steps, files, answers, and whether these are the recorded ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bimors_cli.bundle.catalog import CatalogEntry
from bimors_cli.bundle.loaded import Expected
from bimors_cli.errors import BundleError
from bimors_cli.pipeline.bundles.example import example_hash
from bimors_cli.pipeline.bundles.try_steps import FAILED, Step

# bfloat16 and other versions of the libraries change probabilities by less, other weights by more.
TOLERANCE: Final = 0.05


@dataclass(frozen=True)
class TriedFile:
    """A file as it was downloaded; ``known`` is whether the catalog has its size and hash."""

    path: str
    size: int
    sha256: str
    known: bool


@dataclass(frozen=True)
class TileAnswer:
    """The answer to a tile: its two best labels with their probabilities, and its caption, None without captioner."""

    labels: tuple[str, str]
    probabilities: tuple[float, float]
    caption: str | None = None


@dataclass(frozen=True)
class Tried:
    """What a try found.

    Attributes
    ----------
    name : str
        The bundle, as the user named it.
    entry : CatalogEntry or None
        What was to be fetched; None for a bundle that is neither of the catalog nor of the hub.
    device, precision : str
        Where it ran.
    memory, device_memory : int or None
        Peak of the process and of the GPU in bytes; None if there is no GPU, or the system does not report it.
    steps : tuple of Step
        All steps, in order.
    files : tuple of TriedFile
        The files that were downloaded, empty for a bundle that was not fetched.
    revisions : mapping
        Part to the commit of its repository.
    size : int
        Bytes of the installed bundle; 0 if there is none.
    answers : tuple of TileAnswer
        Empty if classifying failed.
    warnings : tuple of str
        What the runs warned of.
    """

    name: str
    entry: CatalogEntry | None
    device: str
    precision: str
    memory: int | None
    device_memory: int | None
    steps: tuple[Step, ...]
    files: tuple[TriedFile, ...]
    revisions: Mapping[str, str]
    size: int
    answers: tuple[TileAnswer, ...]
    warnings: tuple[str, ...]

    @property
    def failure(self) -> Step | None:
        """The step that failed; None if all is well."""
        return next((step for step in self.steps if step.outcome == FAILED), None)

    @property
    def passed(self) -> bool:
        """Whether no step failed."""
        return self.failure is None

    @property
    def facts(self) -> Expected:
        """The answers, as the catalog would record them."""
        return Expected(
            example_hash(),
            tuple(answer.labels[0] for answer in self.answers),
            tuple(round(answer.probabilities[0], 4) for answer in self.answers),
        )


def compare(expected: Expected, answers: Sequence[TileAnswer]) -> str:
    """Compare answers with recorded ones: a line about the largest difference.

    Raises
    ------
    BundleError
        A label with its probability differs by more than `TOLERANCE`.
    """
    found = [(answer.labels[0], answer.probabilities[0]) for answer in answers]
    recorded = list(zip(expected.labels, expected.probabilities, strict=True))
    if len(found) != len(recorded):
        raise BundleError(f"{len(found)} tiles, and the answers of {len(recorded)} are recorded")
    largest = 0.0
    for tile, ((label, probability), (wanted, chance)) in enumerate(zip(found, recorded, strict=True)):
        # Two labels may be nearly as probable: then either may be the first.
        second = dict(zip(answers[tile].labels, answers[tile].probabilities, strict=True)).get(wanted)
        difference = 1.0 if second is None else abs(second - chance)
        largest = max(largest, difference)
        if difference > TOLERANCE:
            raise BundleError(
                f"tile {tile} is {label} with {probability:.3f}, and {wanted} with {chance:.3f} is recorded",
                "these are other weights than those that were recorded, or they are not used as they should be",
            )
    return f"{len(found)} tiles as recorded; the largest difference is {largest:.3f}, {TOLERANCE:g} is allowed"
