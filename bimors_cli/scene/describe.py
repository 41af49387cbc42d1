"""The properties of a scene, its bands, its masks and its tile grid, as `bimors info` shows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from bimors_cli.errors import InputError
from bimors_cli.options.scene import InfoOptions
from bimors_cli.scene.band_statistics import SampledBands, sample_bands
from bimors_cli.scene.band_table import BandDescription, channel_names, describe_bands
from bimors_cli.scene.bands import Bands
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.location import Location, locate
from bimors_cli.scene.mask import Nodata, mask_rule, parse_nodata
from bimors_cli.scene.mask_sources import MaskSource, mask_sources
from bimors_cli.scene.pixel_warnings import PixelWarning, pixel_warnings
from bimors_cli.scene.raster import Scene, SceneInfo, open_scene
from bimors_cli.scene.sensors import SensorGuess, guess
from bimors_cli.scene.size import ground_scale, make_grid, parse_overlap, parse_tile_size, pixel_size_metres
from bimors_cli.scene.stac_scene import StacScene
from bimors_cli.scene.stretch import Stretch

# Chooses what is read of a scene.
ChoosePixels = Callable[[Scene], tuple[Bands, Stretch]]


@dataclass(frozen=True)
class SceneDescription:
    """A scene, and how it would be read and divided into tiles.

    Attributes
    ----------
    info : SceneInfo
        The scene.
    location : Location
        Where it is.
    grid : Grid
        Its tiles.
    pixel_size_m : tuple of float or None
        Pixel size as tile sizes in metres use it, see `bimors_cli.scene.size.pixel_size_metres`; None if unknown.
    ground_scale : float or None
        Length on the ground of one metre of it; None if unknown.
    bands, stretch, nodata : Bands, Stretch, Nodata
        How its pixels become an image.
    channels : tuple of str
        What each of these bands becomes, such as ``red``.
    band_table : tuple of BandDescription
        All bands.
    sample : SampledBands
        Statistics of the bands, and the fraction of pixels that is left by all masks, then by each used source.
    masks : tuple of MaskSource
        What makes pixels invalid; the sources that are used come first.
    warnings : tuple of PixelWarning
        What makes its pixels suspect.
    """

    info: SceneInfo
    location: Location
    grid: Grid
    pixel_size_m: tuple[float, float] | None
    ground_scale: float | None
    bands: Bands
    stretch: Stretch
    nodata: Nodata
    channels: tuple[str, ...]
    band_table: tuple[BandDescription, ...]
    sample: SampledBands
    masks: tuple[MaskSource, ...]
    warnings: tuple[PixelWarning, ...]

    @property
    def sensor(self) -> SensorGuess | None:
        """The satellite or camera that it seems to be of; None if nothing says so."""
        return guess(self.info)

    @property
    def valid_fraction(self) -> float:
        """Fraction of the pixels that are valid, 0..1."""
        return self.sample.fractions[0]

    def valid_fraction_of(self, source: MaskSource) -> float | None:
        """Return the fraction of the pixels that a source alone leaves, 0..1; None if it is not used."""
        used = [each for each in self.masks if each.applied]
        return self.sample.fractions[1 + used.index(source)] if source.applied else None

    def to_dict(self) -> dict[str, Any]:
        """Return the object of ``bimors info --json``: JSON values, numbers that are not finite are null."""
        info, grid, place = self.info, self.grid, self.location
        pixel = self.pixel_size_m
        return {
            "scene": info.name,
            "driver": info.driver,
            "width": info.width,
            "height": info.height,
            "bands": info.count,
            "dtype": info.dtypes[0],
            "crs": info.crs.to_string(),
            "crs_name": place.crs_name,
            "crs_code": place.crs_code,
            "crs_assumed": info.crs_assumed,
            "unit": place.unit,
            "unit_m": place.unit_m,
            "bounds": list(place.bounds),
            "bounds_lonlat": _list(place.bounds_lonlat),
            "centre_lonlat": _list(place.centre_lonlat),
            "transform": list(info.transform)[:6],
            "rotation": place.rotation,
            "pixel_size": list(place.pixel_size),
            "pixel_size_m": _list(pixel),
            "ground_scale": self.ground_scale,
            "ground_pixel_size_m": _list(place.ground_pixel_m),
            "area_m2": place.area_m2,
            "sensor": None if self.sensor is None else self.sensor.title,
            "sensor_evidence": [] if self.sensor is None else list(self.sensor.evidence),
            "overviews": list(info.overviews),
            "size_bytes": info.size_bytes,
            "nodata": None if info.nodata[0] is None else str(info.nodata[0]),
            "mask": info.mask,
            "masks": [{**asdict(source), "valid_share": self.valid_fraction_of(source)} for source in self.masks],
            "bands_used": list(self.bands.indexes),
            "band_names": [name or "unknown" for name in info.band_names],
            "descriptions": [band.description for band in self.band_table],
            "colour_interpretation": list(info.colorinterp),
            "bands_detail": [
                {
                    **asdict(band),
                    "used_as": list(band.used_as),
                    "scale": _number(band.scale),
                    "offset": _number(band.offset),
                    "nodata": _number_or_word(band.nodata),
                    "statistics": {name: _number(value) for name, value in asdict(statistics).items()},
                }
                for band, statistics in zip(self.band_table, self.sample.bands, strict=True)
            ],
            "statistics": {"exact": self.sample.exact, "pixels": self.sample.pixels},
            "stretch": str(self.stretch),
            "valid_share": self.valid_fraction,
            "tile_size_px": [grid.tile_width, grid.tile_height],
            "tile_size_m": None if pixel is None else [grid.tile_width * pixel[0], grid.tile_height * pixel[1]],
            "stride_px": [grid.stride_x, grid.stride_y],
            "rows": grid.rows,
            "cols": grid.cols,
            "tiles": len(grid),
            **({} if info.stac is None else _stac_facts(info.stac)),
        }


def describe(options: InfoOptions, choose: ChoosePixels, inputs: Sequence[str] = ()) -> SceneDescription:
    """Describe a scene, its bands and its grid.

    Parameters
    ----------
    options : InfoOptions
        The scene, and its grid.
    choose : callable
        Chooses the bands and their stretch.
    inputs : sequence of str
        Names of the bands that the model takes; empty for red, green and blue.

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
        options.scene,
        assume_crs=options.assume_crs,
        allow_drivers=options.allow_drivers,
        ignore_alpha=options.ignore_mask,
        asset=options.asset,
    ) as scene:
        info = scene.info
        grid = make_grid(info, parse_tile_size(options.tile_size), parse_overlap(options.overlap))
        bands, applied = choose(scene)
        warnings = pixel_warnings(scene, bands, applied, rule, bands_given=bool(options.bidx))
        masks = mask_sources(scene, bands, rule)
        decided = mask_rule(scene.dataset, bands, rule)
        alone = [source.alone(decided) for source in masks if source.applied]
        sample = sample_bands(scene.dataset, bands, rule, alone)
        channels = channel_names(bands, inputs)
        table = describe_bands(scene, bands, channels)
    georeference = (info.transform, info.crs, info.width, info.height)
    pixel, scale = None, None
    with suppress(InputError):  # a geographic scene centred at a pole: its tiles have a size in pixels only
        pixel, scale = pixel_size_metres(*georeference), ground_scale(*georeference)
    return SceneDescription(
        info=info,
        location=locate(info),
        grid=grid,
        pixel_size_m=pixel,
        ground_scale=scale,
        bands=bands,
        stretch=applied,
        nodata=rule,
        channels=channels,
        band_table=table,
        sample=sample,
        masks=masks,
        warnings=warnings,
    )


def _list(values: tuple[float, ...] | None) -> list[float] | None:
    return None if values is None else list(values)


def _number_or_word(value: float | None) -> float | str | None:
    """Return a nodata value as gdalinfo writes it: JSON has no NaN."""
    return value if value is None or math.isfinite(value) else str(value)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


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
