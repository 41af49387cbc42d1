"""The options of `bimors evaluate` for a comparison of heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bimors_cli.errors import InputError
from bimors_cli.evaluation.protocols import BASE_TO_NEW, PROTOCOLS
from bimors_cli.evaluation.variants import HeadVariant, parse_variants
from bimors_cli.options.common import CAPTIONER, DEVICE, MODEL_NAME, OVERWRITE, RESUME, VERIFY
from bimors_cli.options.heads import HEADS, ZERO_SHOT
from bimors_cli.options.option import COMPARISON, OUTPUT, Option
from bimors_cli.options.scene import PixelOptions
from bimors_cli.training.options import EPOCHS, TRAINING_BATCH

RESULTS_FOLDER = "results"


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(PixelOptions):
    """The options of `bimors evaluate DATA`.

    Each of ``heads`` (see `parse_variants`) is trained once for each of ``shots`` (0: all) and ``seeds``. Without
    ``evidence`` the features are deleted when the run is finished. ``official_quirks`` repeats what the published
    implementation does differently, see `HeadVariant.with_official_quirks`. ``output`` None is ``results`` in the
    current folder.
    """

    sources: Annotated[
        tuple[str, ...],
        Option(
            "",
            "Folders of classes and split files (.json) to compare heads on, or one layer that classify wrote.",
            metavar="DATA",
            required=True,
            reads_scenes=True,
        ),
    ] = ()
    protocols: Annotated[
        tuple[str, ...],
        Option(
            "--protocol",
            "Evaluation protocol: base-to-new, cross-dataset, domain-generalization or plain. Separate several by "
            "commas.",
            metavar="NAMES",
            panel=COMPARISON,
            commas=True,
            complete="protocols",
        ),
    ] = (BASE_TO_NEW,)
    heads: Annotated[
        tuple[str, ...],
        Option(
            "--heads",
            "Heads to compare, separated by commas, with variants such as bimors+tip-adapter, bimors:no-captions, "
            "bimors:tokens=8, bimors:transductive, zero-shot:one-template.",
            metavar="NAMES",
            panel=COMPARISON,
            commas=True,
            complete="compared_heads",
        ),
    ] = (ZERO_SHOT, *HEADS)
    shots: Annotated[
        tuple[int, ...],
        Option(
            "--shots",
            "Training examples per class; 0 uses all. Separate several by commas.",
            metavar="K,…",
            panel=COMPARISON,
            commas=True,
            minimum=0,
        ),
    ] = (16,)
    seeds: Annotated[
        tuple[int, ...],
        Option(
            "--seeds",
            "Random seeds, separated by commas. Each head is trained once per seed.",
            metavar="N,…",
            panel=COMPARISON,
            commas=True,
            minimum=0,
        ),
    ] = (1, 2, 3)
    images: Annotated[
        tuple[str, ...],
        Option(
            "--images",
            "Folder of the images of a split file. Default: images/ next to it. Repeat it for several, in their order.",
            metavar="DIR",
            panel=COMPARISON,
        ),
    ] = ()
    epochs: Annotated[int, EPOCHS] = 10
    batch_size: Annotated[int, TRAINING_BATCH] = 4
    official_quirks: Annotated[
        bool,
        Option(
            "--official-quirks",
            "Reproduce the published code: the epoch is chosen on test images, the caption projection is random and "
            "frozen, training is in float16.",
            panel=COMPARISON,
        ),
    ] = False
    output: Annotated[
        str | None,
        Option(
            "-o --output",
            "Folder of the results. Default: results, in the current folder; none for the accuracy of a layer.",
            metavar="DIR",
            panel=OUTPUT,
        ),
    ] = None
    evidence: Annotated[
        str | None,
        Option(
            "--evidence",
            "Folder in which captions and features are stored, so that other runs need not compute them again.",
            metavar="DIR",
            panel=COMPARISON,
        ),
    ] = None
    model: Annotated[str, MODEL_NAME] = "mini"
    captioner: Annotated[str | None, CAPTIONER] = None
    verify: Annotated[bool, VERIFY] = False
    device: Annotated[str, DEVICE] = "auto"
    overwrite: Annotated[bool, OVERWRITE] = False
    resume: Annotated[bool, RESUME] = False

    def check_combination(self) -> None:
        super().check_combination()
        for protocol in self.protocols:
            if protocol not in PROTOCOLS:
                raise InputError(f"--protocol {protocol}: unknown value", f"use one of {', '.join(PROTOCOLS)}")
        lists = {"--protocol": self.protocols, "--shots": self.shots, "--seeds": self.seeds}
        for name, values in lists.items():
            if not values:
                raise InputError(f"{name}: no value")
            if len(set(values)) < len(values):
                raise InputError(f"{name}: a value is given twice", "name each once")
        if self.overwrite and self.resume:
            raise InputError("--overwrite starts from scratch and --resume continues", "use one of them")
        parse_variants(self.heads)

    @property
    def most_shots(self) -> int:
        """The most shots of all trials; 0 for all examples."""
        return 0 if 0 in self.shots else max(self.shots)

    @property
    def views(self) -> int:
        """The most epochs of all heads: so many random crops of each image are made."""
        return max([self.epochs, *(one.epochs or 0 for one in self.variants)])

    @property
    def variants(self) -> tuple[HeadVariant, ...]:
        """The heads, parsed."""
        variants = parse_variants(self.heads)
        return tuple(one.with_official_quirks() for one in variants) if self.official_quirks else variants
