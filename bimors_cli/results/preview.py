"""Preview of a layer: the scene, its tiles in the colours of their labels, a legend."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import OutputError
from bimors_cli.options.view import PreviewOptions
from bimors_cli.output.atomic import replacing
from bimors_cli.provenance import warnings_of_layer
from bimors_cli.results.layer_view import LayerView, check_suffix, open_view, output_path
from bimors_cli.results.overview import EMPTY, place
from bimors_cli.results.preview_image import MapNotes, draw_preview
from bimors_cli.run_warnings import keeps_warnings, warn
from bimors_cli.steps import step

LONGEST_SIDE = 1600


@keeps_warnings
def preview(options: PreviewOptions) -> Path:
    """Draw a layer that `classify` wrote over its scene, as a PNG, and return its path.

    Raises
    ------
    InputError
        The output does not end in .png; as `open_view`.
    OutputError
        The image cannot be written.
    """
    output = output_path(options, ".png")
    check_suffix(output, (".png",), "the preview is a PNG image")
    with open_view(options, output, side=LONGEST_SIDE) as view:
        for text in warnings_of_layer(view.layer.path, view.layer.run):
            warn(text)
        with step(f"reading {view.recorded.name}"):
            background = _read_background(view)
    left, top, right, bottom = view.overview.boxes(view.tiles.windows).T
    rings = np.stack([left, top, right, top, right, bottom, left, bottom, left, top], axis=1).reshape(-1, 5, 2)
    with step(f"drawing {output.name}"):
        image = draw_preview(
            background,
            list(rings),
            view.tiles.text["label"],
            view.layer.labels,
            title=view.recorded.name,
            notes=MapNotes(view.ground.metres, view.ground.north, view.crs_name),
        )
    with step(f"writing {output.name}"), replacing(output, overwrite=options.overwrite) as built:
        try:
            image.save(built, format="PNG")
        except OSError as error:
            raise OutputError(f"{output}: {error.strerror or error}", "check the free disk space") from error
    return output


def _read_background(view: LayerView) -> npt.NDArray[np.uint8]:
    """Read the whole overview, uint8 [h, w, 3]."""
    width, height = (math.ceil(side) for side in view.overview.size)
    background = np.full((height, width, 3), EMPTY, np.uint8)
    for piece in view.pieces():
        place(piece.image, piece.box, background)
    return background
