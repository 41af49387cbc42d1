"""Options of every command that writes a layer of a scene's tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bimors_cli.errors import InputError
from bimors_cli.options.common import FORMAT, GIVEN_OUTPUT_FILE, LAYER, OUTPUT_FILE, OVERWRITE, SCENES
from bimors_cli.options.option import NO_EFFECT, OUTPUT, RESOLVED, TILES, Option, RowKey
from bimors_cli.options.scene import GridOptions

AOI_RULES = {"centre": "its centre is inside", "any": "any part is inside", "within": "all of it is inside"}
STDOUT = "-"


@dataclass(frozen=True, kw_only=True)
class LayerOptions(GridOptions):
    """Scenes, and where the layer of their tiles goes.

    ``output`` None is ``<scene stem>.gpkg`` in the current folder (``bimors.gpkg`` for several scenes), ``-`` is
    standard output.
    """

    scenes: Annotated[tuple[str, ...], SCENES] = ()
    output: Annotated[str | None, OUTPUT_FILE] = None
    format: Annotated[str | None, FORMAT] = None
    rs: Annotated[
        bool,
        Option(
            "--rs",
            "Start each line of GeoJSONSeq with the record separator of RFC 8142.",
            panel=OUTPUT,
            rows=NO_EFFECT,
        ),
    ] = False
    layer: Annotated[str, LAYER] = "tiles"
    append: Annotated[
        bool,
        Option(
            "--append",
            "Add the layer to an existing GeoPackage. Name it with --layer.",
            panel=OUTPUT,
            rows=NO_EFFECT,
        ),
    ] = False
    aoi: Annotated[
        str | None,
        Option(
            "--aoi",
            "Area of interest: only tiles in these polygons are processed.",
            metavar="FILE[:LAYER]",
            panel=TILES,
            rows=RESOLVED,
        ),
    ] = None
    aoi_rule: Annotated[
        str,
        Option(
            "--aoi-rule",
            "Which tiles belong to the AOI: those whose centre is inside, with any part inside, or entirely within.",
            panel=TILES,
            rows=RowKey("aoi rule"),
            choices=AOI_RULES,
        ),
    ] = "centre"
    dst_crs: Annotated[
        str | None,
        Option(
            "--dst-crs",
            "CRS of the output layer. Default: the scene's.",
            metavar="CRS",
            panel=OUTPUT,
            rows=RESOLVED,
        ),
    ] = None
    overwrite: Annotated[bool, OVERWRITE] = False

    def check_combination(self) -> None:
        super().check_combination()
        if self.overwrite and self.append:
            raise InputError("--overwrite replaces the file and --append adds to it", "use one of them")


@dataclass(frozen=True, kw_only=True)
class TilesOptions(LayerOptions):
    """The options of `bimors tiles`."""

    output: Annotated[str | None, GIVEN_OUTPUT_FILE] = None
