"""What a user may choose for a comparison of heads."""

from __future__ import annotations

from dataclasses import dataclass

from bimors_cli.errors import InputError
from bimors_cli.evaluation.protocols import BASE_TO_NEW, PROTOCOLS
from bimors_cli.evaluation.variants import HeadVariant, parse_variants
from bimors_cli.options.classify import SceneOptions
from bimors_cli.options.heads import HEADS, ZERO_SHOT


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(SceneOptions):
    """The options of `bimors evaluate DATA`.

    ``sources`` are folders of classes and split files, ``images`` the folders of the pictures of the split files.
    ``protocols`` are of `bimors_cli.evaluation.protocols.PROTOCOLS`. Each of ``heads`` (see `parse_variants`) learns
    once for each of ``shots`` (0: all) and ``seeds``. ``evidence`` is a folder in which what the models saw is kept for
    other runs; without it, it is kept until this one is finished. ``official_quirks`` repeats what the published
    implementation does otherwise: the epoch is chosen on test pictures, and see `Contestant.with_official_quirks`.
    """

    sources: tuple[str, ...]
    images: tuple[str, ...] = ()
    protocols: tuple[str, ...] = (BASE_TO_NEW,)
    heads: tuple[str, ...] = (ZERO_SHOT, *HEADS)
    shots: tuple[int, ...] = (16,)
    seeds: tuple[int, ...] = (1, 2, 3)
    epochs: int = 10
    batch_size: int = 4
    output: str = "results"
    evidence: str | None = None
    model: str = "mini"
    device: str = "auto"
    official_quirks: bool = False
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sources:
            raise InputError("nothing to evaluate on", "bimors evaluate data/ --protocol base-to-new")
        for protocol in self.protocols:
            if protocol not in PROTOCOLS:
                raise InputError(f"--protocol {protocol}: unknown", f"use one of {', '.join(PROTOCOLS)}")
        lists = {"--protocol": self.protocols, "--shots": self.shots, "--seeds": self.seeds}
        for name, values in lists.items():
            if not values:
                raise InputError(f"{name}: none given")
            if len(set(values)) < len(values):
                raise InputError(f"{name}: the same twice", "name each once")
        for name, numbers in (("--shots", self.shots), ("--seeds", self.seeds)):
            if min(numbers) < 0:
                raise InputError(f"{name} {min(numbers)}: a number from 0")
        for name, value in (("--epochs", self.epochs), ("--batch-size", self.batch_size)):
            if value < 1:
                raise InputError(f"{name} {value}: at least 1")
        if self.overwrite and self.resume:
            raise InputError("--overwrite starts anew and --resume goes on", "give one of them")
        parse_variants(self.heads)

    @property
    def most_shots(self) -> int:
        """The most shots of all trials; 0 for all examples."""
        return 0 if 0 in self.shots else max(self.shots)

    @property
    def views(self) -> int:
        """The most epochs of all heads: so many random crops of each picture are made."""
        return max([self.epochs, *(one.epochs or 0 for one in self.contestants)])

    @property
    def contestants(self) -> tuple[HeadVariant, ...]:
        """The heads, read."""
        found = parse_variants(self.heads)
        return tuple(one.with_official_quirks() for one in found) if self.official_quirks else found
