"""The options of `bimors classify`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bimors_cli.errors import InputError
from bimors_cli.labels import BAR, Labels
from bimors_cli.options.captions import (
    AUTO,
    CAPTION_MODE,
    DEFAULT_DOUBTFUL_BELOW,
    DOUBTFUL,
    DOUBTFUL_BELOW,
    caption_mode,
)
from bimors_cli.options.common import LABELS
from bimors_cli.options.inference import InferenceOptions
from bimors_cli.options.layer import STDOUT
from bimors_cli.options.option import MODEL, NO_EFFECT, OUTPUT, RESOLVED, RUN, TILES, Option, RowKey
from bimors_cli.options.parse import parse_coverage
from bimors_cli.options.priors import read_areas
from bimors_cli.options.shard import Shard
from bimors_cli.options.templates import check_templates
from bimors_cli.options.two_columns import TwoColumns

NO_LABELS = Labels(())
ZERO_SHOT = "zero-shot"
HEADS = {"auto": "the adapter's own", ZERO_SHOT: "plain CLIP, no adapter"}
REFINEMENTS = {"transductive": "by similar tiles", "spatial": "by similar tiles and map neighbours"}
RASTER_RESOLUTIONS = {"tile": "one pixel per tile", "scene": "the pixels of the scene"}


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions(InferenceOptions):
    """The options of `bimors classify`.

    ``head`` ``auto`` is the adapter's own. ``templates`` replace those of the bundle for the zero-shot head.
    ``captions`` may also be True for ``all`` and False for ``none``.
    ``priors`` is what `bimors_cli.options.priors.read_areas` returns.
    """

    labels: Annotated[Labels, LABELS] = NO_LABELS
    raster: Annotated[
        str | None,
        Option(
            "--raster",
            "Also write a Cloud Optimized GeoTIFF: band 1 is the number of the label, from 1, band 2 is the "
            "confidence; colours and class names are in FILE.tif.aux.xml.",
            metavar="FILE.tif",
            panel=OUTPUT,
            rows=NO_EFFECT,
        ),
    ] = None
    raster_res: Annotated[
        str,
        Option(
            "--raster-res",
            "Pixel size of --raster: tile writes one pixel per tile (with --overlap, one per step, centred on the "
            "tile), scene writes the pixels of the scene.",
            panel=OUTPUT,
            rows=NO_EFFECT,
            choices=RASTER_RESOLUTIONS,
        ),
    ] = "tile"
    stac: Annotated[
        bool,
        Option(
            "--stac",
            "Also write a STAC item, the output's name with .stac.json: classes with their colours, footprint and "
            "time of the layer, and of the raster of --raster.",
            panel=OUTPUT,
            rows=NO_EFFECT,
        ),
    ] = False
    min_confidence: Annotated[
        float,
        Option(
            "--min-confidence",
            "Smallest confidence of a label, from 0 to 1. Tiles below it get no label.",
            metavar="P",
            panel=OUTPUT,
            rows=RowKey("min confidence"),
            minimum=0,
            maximum=1,
        ),
    ] = 0.0
    top_k: Annotated[
        int,
        Option(
            "--top-k",
            "Number of labels per row, best first.",
            metavar="N",
            panel=OUTPUT,
            rows=RowKey("top k"),
            minimum=2,
        ),
    ] = 2
    probabilities: Annotated[
        bool,
        Option(
            "--probabilities",
            "Add a column p_LABEL with the probability of every label.",
            panel=OUTPUT,
            rows=RowKey("probabilities"),
        ),
    ] = False
    keep_features: Annotated[
        bool,
        Option(
            "--keep-features",
            "Store the image features of the tiles in the GeoPackage, for bimors search.",
            panel=OUTPUT,
            rows=RowKey("features", only_if_changed=True),
        ),
    ] = False
    novelty: Annotated[
        bool,
        Option(
            "--novelty",
            "Add a column novelty: 0 is a tile like the examples of the adapter, or like the training images of the "
            "model; 1 is unlike all of them.",
            panel=OUTPUT,
            rows=RowKey("novelty", only_if_changed=True),
        ),
    ] = False
    unlike_examples: Annotated[
        float | None,
        Option(
            "--unlike-examples",
            "Leave tiles that are unlike all examples without a label, such as those of a class without examples. RATE "
            "is the largest fraction of the tiles that are like the examples that this may be: 0.05 is one in twenty. "
            "Needs an adapter that classifies by views.",
            metavar="RATE",
            panel=OUTPUT,
            rows=RowKey("unlike examples", only_if_changed=True),
        ),
    ] = None
    coverage: Annotated[
        float | None,
        Option(
            "--coverage",
            "Add a column label_set with the labels that a tile may have: at least this fraction of the sets, such as "
            "90%, has the true label. The set of a tile that is unlike all examples is empty. Needs an adapter that "
            "classifies by views.",
            metavar="SHARE",
            panel=OUTPUT,
            rows=RowKey("coverage", only_if_changed=True),
            parse=parse_coverage,
        ),
    ] = None
    adapter: Annotated[
        str | None,
        Option(
            "--adapter",
            "Folder of a trained adapter. Default: the bundle's own.",
            metavar="DIR",
            panel=MODEL,
            rows=RESOLVED,
            complete="adapters",
        ),
    ] = None
    head: Annotated[
        str,
        Option(
            "--head",
            "Classification head: auto uses the adapter's own, zero-shot uses plain CLIP without an adapter.",
            panel=MODEL,
            rows=RESOLVED,
            choices=HEADS,
        ),
    ] = "auto"
    templates: Annotated[
        tuple[str, ...],
        Option(
            "--template",
            'For --head zero-shot: prompt template with {} in place of the label, such as "an aerial photo of a {}.". '
            "Repeat the option to average several. Default: the bundle's own.",
            metavar="TEXT",
            panel=MODEL,
            rows=RESOLVED,
        ),
    ] = ()
    captions: Annotated[str | bool, CAPTION_MODE] = AUTO
    doubtful_below: Annotated[float, DOUBTFUL_BELOW] = DEFAULT_DOUBTFUL_BELOW
    priors: Annotated[
        TwoColumns | None,
        Option(
            "--priors",
            "CSV with the expected share or area of each label (name,area): the probabilities are adjusted to it. "
            "Default: all labels are equally probable before the image is seen.",
            metavar="FILE",
            panel=MODEL,
            rows=RESOLVED,
            parse=read_areas,
        ),
    ] = None
    refine: Annotated[
        str | None,
        Option(
            "--refine",
            "Refine the labels of all tiles together after inference: transductive uses similar tiles, spatial also "
            "uses neighbours on the map.",
            metavar="METHOD",
            panel=MODEL,
            rows=RowKey("refine", only_if_changed=True),
            choices=REFINEMENTS,
        ),
    ] = None
    vote: Annotated[
        bool,
        Option(
            "--vote",
            "With --overlap: average overlapping tiles, for a map as fine as the step between tiles.",
            panel=TILES,
            rows=RowKey("vote", only_if_changed=True),
        ),
    ] = False
    shard: Annotated[
        str | None,
        Option(
            "--shard",
            "Process only part K of N of the tiles, and keep them in a journal next to the output. See bimors merge.",
            metavar="K/N",
            panel=RUN,
            rows=NO_EFFECT,
            envvar="BIMORS_SHARD",
        ),
    ] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "captions", caption_mode(self.captions))
        super().__post_init__()

    def check_combination(self) -> None:
        super().check_combination()
        if self.head == ZERO_SHOT and self.adapter is not None:
            raise InputError("--adapter has no effect with --head zero-shot", "leave one of them out")
        check_templates(self.templates, "--template")
        if len(self.labels) and self.top_k > len(self.labels):
            raise InputError(f"--top-k {self.top_k}: must be between 2 and the number of labels, {len(self.labels)}")
        if self.raster is None and self.raster_res != "tile":
            raise InputError("--raster-res needs --raster", "add --raster FILE.tif")
        if self.stac and self.output == STDOUT:
            raise InputError("--stac writes its item next to the layer, and a stream has no place", "add -o FILE")
        self._check_captions()
        if self.vote and self.keep_features:
            raise InputError(
                "--keep-features stores features of tiles, but --vote writes cells instead of tiles",
                "leave one of them out",
            )
        if self.unlike_examples is not None and not 0 < self.unlike_examples < 1:
            raise InputError(f"--unlike-examples {self.unlike_examples:g}: must be above 0 and below 1", "try 0.05")
        if self.vote and (self.novelty or self.unlike_examples is not None):
            option = "--novelty" if self.novelty else "--unlike-examples"
            raise InputError(f"{option} is of tiles, but --vote writes cells instead of tiles", "leave one of them out")
        if self.coverage is not None:
            self._check_coverage(self.coverage)
        if self.output == STDOUT and (self.refine or self.vote):
            option = "--refine" if self.refine else "--vote"
            raise InputError(f"{option} needs all tiles before the first row can be written", "add -o FILE")
        if self.shard is not None:
            Shard.parse(self.shard)
            if self.output == STDOUT:
                raise InputError(f"--shard {self.shard} writes a journal, not a stream", "add -o FILE")

    def _check_captions(self) -> None:
        if self.captions != DOUBTFUL:
            if self.doubtful_below != DEFAULT_DOUBTFUL_BELOW:
                raise InputError("--doubtful-below needs --captions doubtful", "add --captions doubtful")
            return
        if self.refine or self.vote:
            option = "--refine" if self.refine else "--vote"
            raise InputError(
                f"--captions doubtful goes by the confidence of single tiles, which {option} changes",
                "use --captions all",
            )

    def _check_coverage(self, coverage: float) -> None:
        if not 0 < coverage < 1:
            raise InputError(f"--coverage {coverage:g}: must be above 0 and below 1", "try 90%")
        if self.head == ZERO_SHOT:
            raise InputError(
                "--coverage needs examples, which --head zero-shot has none of",
                "add --adapter DIR, of an adapter that bimors finetune --head auto wrote, in place of --head zero-shot",
            )
        if self.refine or self.vote:
            option = "--refine" if self.refine else "--vote"
            raise InputError(
                f"--coverage holds for the probabilities of single tiles, which {option} changes",
                "leave one of them out",
            )
        if self.unlike_examples is not None and self.unlike_examples >= 1 - coverage:
            raise InputError(
                f"--coverage {100 * coverage:g}% permits {1 - coverage:.2g} of the sets to lack the true label, and "
                f"--unlike-examples {self.unlike_examples:g} would use all of that",
                f"use --unlike-examples {(1 - coverage) / 4:.2g}, or leave it out",
            )
        barred = [name for name in self.labels.names if BAR in name]
        if barred:
            raise InputError(f"--coverage: {BAR} separates the labels of a set, but the label {barred[0]!r} has one")
