"""The scenes of an earlier run, opened again exactly as that run cut and showed them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bimors_cli.errors import InputError, SceneError
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.pipeline.result import grid_of_rows
from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.gdal import file_name, is_local
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.mask import parse_nodata
from bimors_cli.scene.raster import scene_info
from bimors_cli.scene.stretch import Stretch

log = logging.getLogger("bimors")


def reopen(run: Mapping[str, Any], paths: Sequence[str], layer: Path) -> tuple[ScenePlan, ...]:
    """Open the scenes of a run again, by what the provenance of its layer says of them.

    A scene that is no longer where it was is looked for beside the layer.

    Parameters
    ----------
    run : mapping
        ``run`` of the provenance, see `Plan.decides_rows`.
    paths : sequence of str
        Where they were.
    layer : Path
        The file of the layer.

    Raises
    ------
    InputError
        A scene is in neither place, cannot be opened, or has another size or position now.
    """
    return tuple(
        _reopen(scene, grid_of_rows(run, scene), path, layer) for scene, path in zip(run["scenes"], paths, strict=True)
    )


def _reopen(written: Mapping[str, Any], grid: Grid, path: str, layer: Path) -> ScenePlan:
    beside = layer.parent / file_name(path)
    if is_local(path) and not Path(path).exists():
        if not beside.exists():
            raise InputError(
                f"{path}: the scene of {layer} is not there any more", f"put it back, or beside the layer as {beside}"
            )
        path = str(beside)
    try:
        # The CRS that the run took, where the file has none; the file's own wins.
        info = scene_info(path, assume_crs=written["crs"])
    except SceneError as error:
        raise InputError(f"the scene of {layer} cannot be opened: {error.message}", error.hint) from error
    width, height = written["pixels"]
    if (info.width, info.height) != (width, height) or list(info.transform)[:6] != written["transform"]:
        raise InputError(
            f"{path} is not the scene that {layer} was made of: its size or its place differs",
            "put the former one there, or classify this one first",
        )
    if info.size_bytes != written["size"]:
        log.warning("%s has another file size than when %s was made", path, layer)
    kind, low, high = written["stretch"]
    return ScenePlan(
        info,
        grid,
        bands=choose_bands(info, tuple(written["bands"])),
        stretch=Stretch(kind, tuple(low), tuple(high)),
        nodata=parse_nodata(None if written["nodata"] == "file" else written["nodata"]),
    )
