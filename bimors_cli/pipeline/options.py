"""What a user may choose for a run of classify, and of a scene for any run."""

from __future__ import annotations

from dataclasses import dataclass

from bimors_cli.errors import InputError
from bimors_cli.labels import Labels

HEADS = ("auto", "zero-shot")
STDOUT = "-"


@dataclass(frozen=True, kw_only=True)
class SceneOptions:
    """How scenes are cut and shown to the model, as text where the scene decides what it means.

    ``tile_size`` and ``overlap`` are pixels (``224``), metres (``500m``) or, for the overlap, per cent of a tile.
    ``min_valid`` is a share of a tile's pixels.
    """

    tile_size: str = "224"
    overlap: str = "0"
    bidx: tuple[int, ...] = ()
    stretch: str = "auto"
    nodata: str | None = None
    min_valid: float = 0.5
    assume_crs: str | None = None

    def __post_init__(self) -> None:
        _check_share("--min-valid", self.min_valid)


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions(SceneOptions):
    """The options of `bimors classify`.

    ``output`` None is ``<scene stem>.gpkg`` in the current folder (``bimors.gpkg`` for several scenes), ``-`` the
    standard output. ``head`` ``auto`` is the adapter's own, ``zero-shot`` uses no adapter. Without ``captions`` the
    model goes by the picture alone: every caption is taken for empty. Without ``caption_cache`` the captions of other
    runs are neither used nor added to. ``min_confidence`` is a probability.
    """

    scenes: tuple[str, ...]
    labels: Labels
    output: str | None = None
    format: str | None = None
    layer: str = "tiles"
    model: str = "mini"
    adapter: str | None = None
    head: str = "auto"
    captions: bool = True
    caption_cache: bool = True
    aoi: str | None = None
    aoi_rule: str = "centre"
    dst_crs: str | None = None
    min_confidence: float = 0.0
    top_k: int = 2
    probabilities: bool = False
    keep_empty: bool = False
    batch_size: int | None = None
    device: str = "auto"
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scenes:
            raise InputError("no scene given", "bimors classify scene.tif --labels labels.txt")
        if self.head not in HEADS:
            raise InputError(f"--head {self.head}: unknown", f"use one of {', '.join(HEADS)}")
        if self.head == "zero-shot" and self.adapter is not None:
            raise InputError("--adapter has no part in --head zero-shot", "leave one of them out")
        _check_share("--min-confidence", self.min_confidence)
        if not 2 <= self.top_k <= len(self.labels):
            raise InputError(f"--top-k {self.top_k}: between 2 and the number of labels, {len(self.labels)}")
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"--batch-size {self.batch_size}: at least 1")
        if self.overwrite and self.resume:
            raise InputError("--overwrite starts anew and --resume goes on", "give one of them")
        if self.output == STDOUT and self.resume:
            raise InputError("--resume needs a file: what went to standard output cannot be taken up again", "-o FILE")


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"{name} {value}: not between 0 and 1")
