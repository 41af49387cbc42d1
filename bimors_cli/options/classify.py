"""What a user may choose: of a scene for any run, of a layer of its tiles, and for a run that looks at them."""

from __future__ import annotations

from dataclasses import dataclass

from bimors_cli.errors import InputError
from bimors_cli.labels import Labels
from bimors_cli.options.device_names import device_names
from bimors_cli.options.engines import ENGINES, LOCAL, RAY
from bimors_cli.options.shard import Shard
from bimors_cli.options.templates import check_templates

HEADS = ("auto", "zero-shot")
REFINEMENTS = ("transductive", "spatial")
RASTER_RESOLUTIONS = ("tile", "scene")
AOI_RULES = ("centre", "any", "within")
STDOUT = "-"


@dataclass(frozen=True, kw_only=True)
class SceneOptions:
    """How scenes are cut and shown to the model, as text where the scene decides what it means.

    ``tile_size`` and ``overlap`` are pixels (``224``), metres (``500m``) or, for the overlap, per cent of a tile.
    ``min_valid`` is a share of a tile's pixels. ``allow_drivers`` are GDAL's drivers to try beside those of
    `bimors_cli.scene.gdal.DRIVERS`.
    """

    tile_size: str = "224"
    overlap: str = "0"
    bidx: tuple[int, ...] = ()
    stretch: str = "auto"
    nodata: str | None = None
    min_valid: float = 0.5
    assume_crs: str | None = None
    allow_drivers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_share("--min-valid", self.min_valid)


@dataclass(frozen=True, kw_only=True)
class LayerOptions(SceneOptions):
    """Scenes, and where the layer of their tiles goes: the options of `bimors tiles`.

    ``output`` None is ``<scene stem>.gpkg`` in the current folder (``bimors.gpkg`` for several scenes), ``-`` the
    standard output; ``rs`` puts a record separator before each line of a GeoJSON sequence; ``append`` adds the layer to
    a GeoPackage that is there.
    """

    scenes: tuple[str, ...]
    output: str | None = None
    format: str | None = None
    rs: bool = False
    layer: str = "tiles"
    append: bool = False
    aoi: str | None = None
    aoi_rule: str = "centre"
    dst_crs: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scenes:
            raise InputError("no scene given", "name a raster, or several")
        if self.aoi_rule not in AOI_RULES:
            raise InputError(f"--aoi-rule {self.aoi_rule}: unknown", "use centre, any or within")
        if self.overwrite and self.append:
            raise InputError("--overwrite replaces the file and --append keeps what is in it", "give one of them")


@dataclass(frozen=True, kw_only=True)
class InferenceOptions(LayerOptions):
    """The options of every run that shows tiles to models, and all those of `bimors caption`.

    Without ``caption_cache`` the captions of other runs are neither used nor added to. ``keep_empty`` keeps tiles
    without data, or outside the AOI, as rows. ``device`` may name several, ``cuda:0,1``: they share the tiles.
    ``engine`` ``ray`` has the ``workers`` of a Ray cluster look at tiles, that at ``ray_address`` (``auto``,
    ``HOST:PORT``) or one on this machine, and write what they have done to ``blocks``: a folder or URL, beside the
    output if None.
    """

    model: str = "mini"
    caption_cache: bool = True
    keep_empty: bool = False
    batch_size: int | None = None
    device: str = "auto"
    engine: str = LOCAL
    ray_address: str | None = None
    workers: int | None = None
    blocks: str | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"--batch-size {self.batch_size}: at least 1")
        if self.overwrite and self.resume:
            raise InputError("--overwrite starts anew and --resume goes on", "give one of them")
        if self.output == STDOUT and self.resume:
            raise InputError("--resume needs a file: what went to standard output cannot be taken up again", "-o FILE")
        if len(device_names(self.device)) > 1 and self.output == STDOUT:
            raise InputError(
                f"--device {self.device}: the rows of several devices come in no order to stream", "-o FILE"
            )
        self._check_engine()

    def _check_engine(self) -> None:
        if self.engine not in ENGINES:
            raise InputError(f"--engine {self.engine}: unknown", f"use one of {', '.join(ENGINES)}")
        if self.engine == LOCAL:
            given = {"--ray-address": self.ray_address, "--workers": self.workers, "--blocks": self.blocks}
            for option, value in given.items():
                if value is not None:
                    raise InputError(f"{option} is for the engine Ray", "add --engine ray, or leave it out")
            return
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers {self.workers}: at least 1")
        if self.output == STDOUT:
            raise InputError("--engine ray finishes tiles in no order to stream", "-o FILE")
        if self.device not in ("auto", "cpu", "cuda"):
            raise InputError(
                f"--device {self.device}: with --engine ray each worker has what Ray gives it",
                "use auto, cpu or cuda: a GPU for each worker",
            )


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions(InferenceOptions):
    """The options of `bimors classify`.

    ``raster`` is a GeoTIFF of the labels that is written as well, ``raster_res`` the size of its pixels: ``tile`` or
    ``scene``. ``head`` ``auto`` is the adapter's own, ``zero-shot`` uses no adapter. ``templates`` are those of the
    zero-shot head, each with one ``{}`` where the label goes, instead of the bundle's. Without ``captions`` the model
    goes by the picture alone: every caption is taken for empty. ``min_confidence`` is a probability. ``keep_features``
    keeps each tile's image feature in the GeoPackage, for `bimors search`. ``refine`` lets all tiles of the run settle
    their labels together, ``spatial`` with their neighbours on the map as well. ``vote`` averages overlapping tiles:
    rows are the cells that the tiles' steps cut the scene into. ``shard`` is a part of the run's tiles such as
    ``3/16``, which goes into a journal of its own for `bimors merge`.
    """

    labels: Labels
    raster: str | None = None
    raster_res: str = "tile"
    adapter: str | None = None
    head: str = "auto"
    templates: tuple[str, ...] = ()
    captions: bool = True
    refine: str | None = None
    vote: bool = False
    min_confidence: float = 0.0
    top_k: int = 2
    probabilities: bool = False
    keep_features: bool = False
    shard: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head not in HEADS:
            raise InputError(f"--head {self.head}: unknown", f"use one of {', '.join(HEADS)}")
        if self.head == "zero-shot" and self.adapter is not None:
            raise InputError("--adapter has no part in --head zero-shot", "leave one of them out")
        check_templates(self.templates, "--template")
        _check_share("--min-confidence", self.min_confidence)
        if not 2 <= self.top_k <= len(self.labels):
            raise InputError(f"--top-k {self.top_k}: between 2 and the number of labels, {len(self.labels)}")
        if self.raster_res not in RASTER_RESOLUTIONS:
            raise InputError(f"--raster-res {self.raster_res}: unknown", f"use one of {', '.join(RASTER_RESOLUTIONS)}")
        if self.raster is None and self.raster_res != RASTER_RESOLUTIONS[0]:
            raise InputError("--raster-res is about --raster, which is not given", "add --raster FILE.tif")
        self._check_settling()
        if self.shard is not None:
            Shard.parse(self.shard)
            if self.engine == RAY:
                raise InputError(f"--shard {self.shard}: Ray parts the tiles itself", "leave out --shard or --engine")
            if self.output == STDOUT:
                raise InputError(f"--shard {self.shard} keeps its tiles in a file: nothing to stream", "-o FILE")

    def _check_settling(self) -> None:
        if self.refine is not None and self.refine not in REFINEMENTS:
            raise InputError(f"--refine {self.refine}: unknown", f"use one of {', '.join(REFINEMENTS)}")
        if self.vote and self.keep_features:
            raise InputError(
                "--keep-features keeps tiles, and --vote gives cells in their place", "leave one of them out"
            )
        if self.output == STDOUT and (self.refine or self.vote):
            option = "--refine" if self.refine else "--vote"
            raise InputError(f"{option} needs all tiles before the first row: nothing to stream", "-o FILE")


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"{name} {value}: not between 0 and 1")
