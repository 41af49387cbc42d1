"""The properties of a scene and of its tile grid, as `bimors info` shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bimors_cli.options.scene import InfoOptions
from bimors_cli.scene.bands import Bands
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.mask import parse_nodata
from bimors_cli.scene.pixel_warnings import PixelWarning, pixel_warnings
from bimors_cli.scene.raster import Scene, SceneInfo, open_scene
from bimors_cli.scene.sample import sample_scene
from bimors_cli.scene.size import ground_scale, make_grid, parse_overlap, parse_tile_size, pixel_size_metres
from bimors_cli.scene.stac_scene import StacScene
from bimors_cli.scene.stretch import Stretch

# Chooses what is read of a scene.
ChoosePixels = Callable[[Scene], tuple[Bands, Stretch]]


def describe(
    options: InfoOptions, choose: ChoosePixels
) -> tuple[SceneInfo, Grid, dict[str, Any], tuple[PixelWarning, ...]]:
    """Return a scene, its grid, the facts about both as JSON values, and what makes its pixels suspect.

    Parameters
    ----------
    options : InfoOptions
        The scene, and its grid.
    choose : callable
        Chooses the bands and their stretch.

    Raises
    ------
    InputError
        The scene or an option is invalid.
    ReadError
        The pixels cannot be read.
    """
    options.check_required()
    rule = parse_nodata(options.nodata, masks=not options.ignore_mask)
    with open_scene(
        options.scene, assume_crs=options.assume_crs, allow_drivers=options.allow_drivers, asset=options.asset
    ) as scene:
        info = scene.info
        grid = make_grid(info, parse_tile_size(options.tile_size), parse_overlap(options.overlap))
        bands, applied = choose(scene)
        warnings = pixel_warnings(scene, bands, applied, rule, bands_given=bool(options.bidx))
        descriptions = scene.dataset.descriptions
        valid_fraction = sample_scene(scene.dataset, bands, rule).valid_fraction
    georeference = (info.transform, info.crs, info.width, info.height)
    pixel = pixel_size_metres(*georeference)
    scale = ground_scale(*georeference)
    corners = [
        info.transform @ corner for corner in ((0, 0), (info.width, 0), (info.width, info.height), (0, info.height))
    ]
    xs, ys = zip(*corners, strict=True)
    facts: dict[str, Any] = {
        "scene": info.name,
        "driver": info.driver,
        "width": info.width,
        "height": info.height,
        "bands": info.count,
        "dtype": info.dtypes[0],
        "crs": info.crs.to_string(),
        "bounds": [min(xs), min(ys), max(xs), max(ys)],
        "pixel_size_m": list(pixel),
        "ground_scale": scale,
        "nodata": None if info.nodata[0] is None else str(info.nodata[0]),
        "mask": info.mask,
        "bands_used": list(bands.indexes),
        "band_names": [name or "unknown" for name in info.band_names],
        "descriptions": [text or "" for text in descriptions],
        "colour_interpretation": list(info.colorinterp),
        "stretch": str(applied),
        "valid_share": valid_fraction,
        "tile_size_px": [grid.tile_width, grid.tile_height],
        "tile_size_m": [grid.tile_width * pixel[0], grid.tile_height * pixel[1]],
        "stride_px": [grid.stride_x, grid.stride_y],
        "rows": grid.rows,
        "cols": grid.cols,
        "tiles": len(grid),
    }
    if info.stac is not None:
        facts |= _stac_facts(info.stac)
    return info, grid, facts, warnings


def _stac_facts(stac: StacScene) -> dict[str, Any]:
    """Return what the item says; scale and offset are not applied."""
    return {
        "stac_item": stac.item.id,
        "stac_assets": list(stac.assets),
        "stac_datetime": stac.item.acquired,
        "stac_bands": [band.common_name or band.name or "" for band in stac.bands],
        "stac_nodata": [None if band.nodata is None else str(band.nodata) for band in stac.bands],
        "stac_scale": [band.scale for band in stac.bands],
        "stac_offset": [band.offset for band in stac.bands],
    }
