"""The options of `bimors bench`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from bimors_cli.errors import InputError
from bimors_cli.options.common import BATCH_SIZE, CAPTIONER, DEVICE, MODEL_NAME, VERIFY
from bimors_cli.options.option import Option, Options


@dataclass(frozen=True, kw_only=True)
class BenchOptions(Options):
    """The options of `bimors bench`."""

    model: Annotated[str, MODEL_NAME] = "mini"
    captioner: Annotated[str | None, CAPTIONER] = None
    verify: Annotated[bool, VERIFY] = False
    device: Annotated[str, DEVICE] = "auto"
    labels: Annotated[int, Option("--labels", "Number of labels.", metavar="N", minimum=2)] = 45
    tiles: Annotated[
        int | None,
        Option("--tiles", "Number of images. Default: as many as take a few seconds.", metavar="N", minimum=1),
    ] = None
    batch_size: Annotated[int | None, BATCH_SIZE] = None
    scene_size: Annotated[
        str, Option("--scene-size", "Size in pixels of a scene whose run time is estimated.", metavar="WxH")
    ] = "40000x40000"
    tile_size: Annotated[
        int, Option("--tile-size", "Side of the tiles of that scene, in pixels.", metavar="N", minimum=1)
    ] = 224

    def check_combination(self) -> None:
        super().check_combination()
        self.scene_pixels()

    def scene_pixels(self) -> tuple[int, int]:
        """Return width and height of the scene. Raises InputError for another text than WIDTHxHEIGHT."""
        match = re.fullmatch(r"(\d+)x(\d+)", self.scene_size.strip(), flags=re.ASCII)
        if match is None:
            raise InputError(f"--scene-size {self.scene_size}: not a size", "write it in pixels as 40000x40000")
        width, height = int(match[1]), int(match[2])
        if not (width and height):
            raise InputError(f"--scene-size {self.scene_size}: the scene has no pixels")
        return width, height
