"""Which bands of a scene become the images of a run, and how."""

from __future__ import annotations

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError
from bimors_cli.options.scene import PixelOptions
from bimors_cli.pipeline.scene_views import data_bands, raise_missing_bands
from bimors_cli.scene.bands import Bands, check_indexes, choose_bands
from bimors_cli.scene.mask import parse_nodata
from bimors_cli.scene.raster import Scene, SceneInfo
from bimors_cli.scene.stretch import Stretch, compute_stretch, parse_stretch


def choose_pixels(scene: Scene, options: PixelOptions, bundle: Bundle | None = None) -> tuple[Bands, Stretch]:
    """Choose bands and stretch: those of the options, or for a bundle with bands these, unchanged.

    Raises
    ------
    InputError
        A band or the stretch cannot be used; the scene lacks a band of the bundle, which the message names.
    ReadError
        The pixels for the stretch cannot be read.
    """
    if bundle is None or bundle.bands is None:
        bands = choose_bands(scene.info, options.bidx or None)
        nodata = parse_nodata(options.nodata, masks=not options.ignore_mask)
        return bands, compute_stretch(scene.dataset, bands, parse_stretch(options.stretch), nodata)
    if options.stretch != "auto":
        raise InputError(
            f"--stretch {options.stretch} is not supported with {bundle.name}, which takes pixel values unchanged",
            "leave out --stretch",
        )
    return Bands(_band_numbers(scene.info, options.bidx, bundle.name, bundle.bands.names)), Stretch("raw")


def _band_numbers(info: SceneInfo, bidx: tuple[int, ...], owner: str, names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the number of each band that the bundle ``owner`` takes: as given, else by name."""
    if bidx:
        if len(bidx) != len(names):
            raise InputError(
                f"{len(bidx)} bands were given, but {owner} takes {len(names)}",
                f"give them in this order: {', '.join(names)}",
            )
        check_indexes(info, bidx)
        return bidx
    own = data_bands(info)
    at = {band.name: band.index for band in own}
    missing = [name for name in names if name not in at]
    if missing:
        order = f"give all bands with -b in the order {', '.join(names)}"
        raise_missing_bands(info, own, missing, f"{owner} takes", f"; if they are there, {order}")
    return tuple(at[name] for name in names)
