"""Options of every run that gives tiles to models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bimors_cli.errors import InputError
from bimors_cli.options.common import (
    BATCH_SIZE,
    CAPTION_CACHE,
    CAPTIONER,
    DEVICE,
    GIVEN_OUTPUT_FILE,
    LAYER,
    MODEL_NAME,
    RESUME,
    VERIFY,
)
from bimors_cli.options.device_names import device_names
from bimors_cli.options.engines import ENGINES, LOCAL
from bimors_cli.options.layer import STDOUT, LayerOptions
from bimors_cli.options.option import CLUSTER, NO_EFFECT, OUTPUT, Option, RowKey
from bimors_cli.options.scene import SceneOptions


@dataclass(frozen=True, kw_only=True)
class InferenceOptions(LayerOptions, SceneOptions):
    """What `bimors classify` and `bimors caption` have in common. ``device`` may name several: ``cuda:0,1``."""

    model: Annotated[str, MODEL_NAME] = "mini"
    captioner: Annotated[str | None, CAPTIONER] = None
    verify: Annotated[bool, VERIFY] = False
    caption_cache: Annotated[bool, CAPTION_CACHE] = True
    keep_empty: Annotated[
        bool,
        Option(
            "--keep-empty",
            "Write rows for tiles without data or outside the AOI as well.",
            panel=OUTPUT,
            rows=RowKey("keep empty"),
        ),
    ] = False
    batch_size: Annotated[int | None, BATCH_SIZE] = None
    device: Annotated[str, DEVICE] = "auto"
    engine: Annotated[
        str,
        Option(
            "--engine",
            "Where tiles are processed: local is this machine, ray the workers of a Ray cluster. The rows are the "
            "same.",
            panel=CLUSTER,
            rows=NO_EFFECT,
            choices=ENGINES,
        ),
    ] = LOCAL
    ray_address: Annotated[
        str | None,
        Option(
            "--ray-address",
            "Address of a running Ray cluster: auto, or HOST:PORT. Default: a cluster is started on this machine.",
            metavar="ADDRESS",
            panel=CLUSTER,
            rows=NO_EFFECT,
        ),
    ] = None
    workers: Annotated[
        int | None,
        Option(
            "--workers",
            "Number of Ray workers, each of which loads the model. Default: one per GPU, else one per machine.",
            metavar="N",
            panel=CLUSTER,
            rows=NO_EFFECT,
            minimum=1,
        ),
    ] = None
    blocks: Annotated[
        str | None,
        Option(
            "--blocks",
            "Where Ray workers write finished tiles until the layer is written, such as s3://bucket/run. Default: "
            "next to the output, on a disk that all machines share.",
            metavar="DIR|URL",
            panel=CLUSTER,
            rows=NO_EFFECT,
        ),
    ] = None
    resume: Annotated[bool, RESUME] = False

    def check_combination(self) -> None:
        super().check_combination()
        if self.overwrite and self.resume:
            raise InputError("--overwrite starts from scratch and --resume continues", "use one of them")
        if self.output == STDOUT and self.resume:
            raise InputError("--resume needs an output file: a stream cannot be resumed", "add -o FILE")
        device_names(self.device)


@dataclass(frozen=True, kw_only=True)
class CaptionOptions(InferenceOptions):
    """The options of `bimors caption`."""

    output: Annotated[str | None, GIVEN_OUTPUT_FILE] = None
    layer: Annotated[str, LAYER] = "captions"
