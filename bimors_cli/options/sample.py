"""The options of `bimors sample`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from bimors_cli.errors import InputError
from bimors_cli.options.common import OVERWRITE
from bimors_cli.options.option import Option, Options
from bimors_cli.options.view import LAYER_FILE, LAYER_NAME

STRATIFIED: Final = "stratified"
DESIGNS: Final = {
    STRATIFIED: "by chance from each class of the map",
    "random": "by chance from all tiles",
    "systematic": "a regular grid of tiles from a random start",
}
DEFAULT_SE: Final = 0.02
DEFAULT_ACCURACY: Final = 0.8


def parse_sizes(words: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Parse the values of a repeatable option, NAME=N. Raises InputError."""
    found: dict[str, int] = {}
    for word in words:
        name, _, number = word.rpartition("=")
        if not name.strip() or not (number.isascii() and number.isdigit()):
            raise InputError(f"--size {word}: not a stratum and a number", "write --size forest=80")
        if not int(number):
            raise InputError(
                f"--size {word}: without a drawn tile of each stratum no area can be estimated",
                "draw at least 2, or leave out a part of the map with --exclude FILE",
            )
        if found.setdefault(name.strip(), int(number)) != int(number):
            raise InputError(f"--size {name.strip()} is given twice", "give one size per stratum")
    return tuple(found.items())


def parse_expectations(words: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Parse the values of a repeatable option, FRACTION (with the name "") or NAME=FRACTION. Raises InputError."""
    found: dict[str, float] = {}
    for word in words:
        name, equals, number = word.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1
        if not 0.01 <= value <= 0.99 or (equals and not name.strip()):
            raise InputError(f"--expect {word}: not an accuracy from 0.01 to 0.99", "write 0.8, or forest=0.9")
        if found.setdefault(name.strip(), value) != value:
            raise InputError(f"--expect {word}: a second value of the same stratum", "give one value per stratum")
    return tuple(found.items())


@dataclass(frozen=True, kw_only=True)
class SampleOptions(Options):
    """The options of `bimors sample`. ``output`` None is the stem of the file with ``_sample.gpkg``, next to it."""

    file: Annotated[Path, LAYER_FILE] = Path()
    output: Annotated[
        Path | None,
        Option("-o --output", "Output file. Default: the layer's name with _sample.gpkg.", metavar="FILE"),
    ] = None
    csv: Annotated[
        Path | None,
        Option("--csv", "Also write a table with the centres of the tiles in WGS 84, as CSV.", metavar="FILE"),
    ] = None
    kml: Annotated[
        Path | None,
        Option("--kml", "Also write the outlines of the tiles as KML, for Google Earth and the field.", metavar="FILE"),
    ] = None
    layer: Annotated[str | None, LAYER_NAME] = None
    design: Annotated[
        str,
        Option("--design", "How tiles are drawn: stratified, random or systematic.", metavar="NAME", choices=DESIGNS),
    ] = STRATIFIED
    by: Annotated[
        str, Option("--by", "Column of the strata, with texts or whole numbers.", metavar="COLUMN")
    ] = "label"  # fmt: skip
    target_se: Annotated[
        float | None,
        Option(
            "--target-se",
            f"Draw as many tiles as this standard error of the overall accuracy needs. Default: {DEFAULT_SE}.",
            metavar="SE",
            minimum=0.001,
            maximum=0.5,
        ),
    ] = None
    expect: Annotated[
        tuple[tuple[str, float], ...],
        Option(
            "--expect",
            "User's accuracy to expect of all strata, or of one, from 0.01 to 0.99. Repeat the option for several. "
            f"Default: {DEFAULT_ACCURACY}.",
            metavar="[NAME=]FRACTION",
            parse=parse_expectations,
        ),
    ] = ()
    tiles: Annotated[
        int | None,
        Option("-n --tiles", "Draw so many tiles, of each stratum in proportion to its size.", metavar="N", minimum=1),
    ] = None
    per_class: Annotated[
        int | None, Option("--per-class", "Draw so many tiles of each stratum.", metavar="N", minimum=1)
    ] = None
    least: Annotated[
        int,
        Option(
            "--least",
            "With --target-se and --tiles: smallest number of tiles of a stratum, as far as it has so many.",
            metavar="N",
            minimum=1,
        ),
    ] = 50
    size: Annotated[
        tuple[tuple[str, int], ...],
        Option(
            "--size",
            "Number of tiles of one stratum. Repeat the option for several.",
            metavar="NAME=N",
            parse=parse_sizes,
        ),
    ] = ()
    min_distance: Annotated[
        float,
        Option("--min-distance", "Least distance between the centres of drawn tiles.", metavar="METRES", minimum=0),
    ] = 0.0
    exclude: Annotated[
        str | None,
        Option(
            "--exclude",
            "Draw no tile that shares ground with a feature of this file. Examples of the adapter that the layer "
            "records are never drawn.",
            metavar="FILE[:LAYER]",
        ),
    ] = None
    seed: Annotated[int, Option("--seed", "Seed of the draw.", metavar="N", minimum=0)] = 1
    show_label: Annotated[
        bool, Option("--show-label", "Show the label of the map in the sample, which biases whoever labels.")
    ] = False
    overwrite: Annotated[bool, OVERWRITE] = False

    def check_combination(self) -> None:
        super().check_combination()
        given = {"--target-se": self.target_se, "--tiles": self.tiles, "--per-class": self.per_class}
        used = [name for name, value in given.items() if value is not None]
        if len(used) > 1:
            raise InputError(f"{' and '.join(used)} all say how many tiles to draw", "use one of them")
        if self.design != STRATIFIED:
            strata = {"--by": self.by != "label", "--per-class": self.per_class is not None, "--size": bool(self.size)}
            for name, is_given in strata.items():
                if is_given:
                    raise InputError(f"--design {self.design} has no strata, and {name} needs them", "use one of them")
        if self.design == "systematic" and self.min_distance:
            raise InputError("--design systematic has a distance of its own", "leave out --min-distance")
        if self.file == Path():  # in Python, until the function has the layer
            return
        if any(path.resolve() == self.file.resolve() for path in self.outputs):
            raise InputError(f"{self.file} is the layer itself", "use another name for -o, --csv or --kml")
        if len({path.resolve() for path in self.outputs}) < len(self.outputs):
            raise InputError("two outputs are one file", "use another name for -o, --csv or --kml")

    @property
    def path(self) -> Path:
        """The output file."""
        return self.output or self.file.with_name(f"{self.file.stem}_sample.gpkg")

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that are written, `path` first."""
        return tuple(path for path in (self.path, self.csv, self.kml) if path is not None)

    def sizes(self) -> Mapping[str, int]:
        """Return the given size of each stratum that has one."""
        return dict(self.size)

    def expected(self, strata: Sequence[str]) -> tuple[float, ...]:
        """Return the user's accuracy to expect in each stratum."""
        given = dict(self.expect)
        return tuple(given.get(name, given.get("", DEFAULT_ACCURACY)) for name in strata)
