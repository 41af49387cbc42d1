"""A small image of a scene: as the model gets it, or in natural colours for a model of other bands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from bimors_cli.errors import InputError, OutputError
from bimors_cli.options.scene import InfoOptions
from bimors_cli.output.atomic import check_target, replacing
from bimors_cli.provenance import RecordedScene
from bimors_cli.results.overview import Overview
from bimors_cli.scene.describe import SceneDescription
from bimors_cli.scene.raster import open_scene
from bimors_cli.scene.sample import DECIMATE_UP_TO

LONGEST_SIDE: Final = 1024


def read_image(described: SceneDescription, longest_side: int) -> npt.NDArray[np.uint8]:
    """Read a small image of a scene, north at the top, uint8 [h, w, 4]: red, green, blue and 0 where it is not valid.

    Parameters
    ----------
    described : SceneDescription
        The scene, its bands and stretch.
    longest_side : int
        Most pixels a side; a scene is never enlarged.

    Raises
    ------
    SceneError
        The scene cannot be opened any more.
    ReadError
        The pixels for the stretch cannot be read.
    """
    info = described.info
    with open_scene(info.path, assume_crs=info.crs.to_wkt(), allow_drivers=info.allowed) as scene:
        return Overview.within(info, side=longest_side).image(scene, _recorded(described))


def is_quick(described: SceneDescription) -> bool:
    """Tell whether an image of a scene is read without decoding a large file."""
    info = described.info
    return bool(info.overviews) or info.width * info.height <= DECIMATE_UP_TO


def check_image_output(output: Path, options: InfoOptions, *, overwrite: bool) -> None:
    """Check, without reading pixels, that an image of a scene can be written.

    Raises
    ------
    InputError
        The output does not end in .png, or is a file of the scene.
    OutputError
        As `bimors_cli.output.atomic.check_target`.
    SceneError
        The scene cannot be opened.
    """
    if output.suffix.lower() != ".png":
        raise InputError(f"{output}: the image is a PNG", f"use --png {output.with_suffix('.png')}")
    check_target(output, overwrite=overwrite)
    if not output.exists():
        return
    with open_scene(options.scene, assume_crs=options.assume_crs, allow_drivers=options.allow_drivers) as scene:
        files = {options.scene, *scene.dataset.files}  # with the sources of a VRT
    if any(os.path.exists(file) and os.path.samefile(file, output) for file in files):
        raise InputError(f"{output} is a file of the scene itself", "choose another file with --png")


def write_image(described: SceneDescription, output: Path, *, overwrite: bool) -> None:
    """Write a small image of a scene as a PNG; raises as `read_image` and `bimors_cli.output.atomic.replacing`."""
    image = Image.fromarray(read_image(described, LONGEST_SIDE), "RGBA")
    with replacing(output, overwrite=overwrite) as built:
        try:
            image.save(built, format="PNG")
        except OSError as error:
            raise OutputError(f"{output}: {error.strerror or error}", "check the free disk space") from error


def _recorded(described: SceneDescription) -> RecordedScene:
    info = described.info
    return RecordedScene(
        name=info.name,
        path=info.path,
        grid=described.grid,
        crs_wkt=info.crs.to_wkt(),
        transform=info.transform,
        bands=described.bands.indexes,
        stretch=described.stretch,
        nodata=described.nodata,
    )
