"""Which bands of a scene the views of a tile are made of, and whether they are those of an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from bimors_cli.bundle.adapter_views import AdapterViews, BandIdentity
from bimors_cli.errors import InputError
from bimors_cli.scene.added_offset import added_offset
from bimors_cli.scene.bands import Bands
from bimors_cli.scene.raster import SceneInfo, open_scene
from bimors_cli.scene.statistics import StatisticsSpec
from bimors_cli.scene.stretch import Stretch, compute_stretch, parse_stretch
from bimors_cli.scene.tile_views import AROUND, BANDS, BANDS_AROUND, FALSE_COLOUR, IMAGE, ViewInputs

if TYPE_CHECKING:  # the plan imports geopandas, which `bimors info` does without
    from bimors_cli.pipeline.plan import ScenePlan

_NUMBERS = (BANDS, BANDS_AROUND)
_IMAGES = (IMAGE, FALSE_COLOUR, AROUND)


def data_bands(info: SceneInfo) -> tuple[BandIdentity, ...]:
    """Return the bands of a scene that hold data; empty for one with a palette, whose values are indices."""
    if info.is_palette:
        return ()
    names = info.band_names or (None,) * info.count
    return tuple(
        BandIdentity(index, name)
        for index, (name, colour) in enumerate(zip(names, info.colorinterp, strict=True), 1)
        if colour != "alpha"
    )


def raise_missing_bands(
    info: SceneInfo, own: Sequence[BandIdentity], missing: Sequence[str], needed: str, advice: str = ""
) -> NoReturn:
    """Raise an error about bands that a scene lacks.

    Parameters
    ----------
    info : SceneInfo
        The scene.
    own : sequence of BandIdentity
        Its bands.
    missing : sequence of str
        Names of bands.
    needed : str
        What needs them: ``the adapter NAME was trained on``.
    advice : str
        Appended to the hint.

    Raises
    ------
    InputError
        Always.
    """
    listed = ", ".join(map(str, own)) or "colours of a palette"
    raise InputError(f"{info.name} has no band {', '.join(missing)}, which {needed}", f"its bands are {listed}{advice}")


def false_colour_bands(bands: Sequence[BandIdentity], shown: Sequence[int]) -> tuple[int, ...]:
    """Return the positions in ``bands`` of a false-colour image; empty if there are no more bands than are shown.

    Near infrared, red and green, if the scene says which these are; else the first band that is not shown, and the
    first two that are.

    Parameters
    ----------
    bands : sequence of BandIdentity
        The bands with data.
    shown : sequence of int
        The bands of the natural image, numbered from 1.
    """
    hidden = [position for position, band in enumerate(bands) if band.index not in shown]
    if not hidden or len(bands) <= 3:
        return ()
    at = {band.name: position for position, band in enumerate(bands)}
    near_infrared = at.get("nir", at.get("nir narrow"))
    if near_infrared is not None and "red" in at and "green" in at:
        return near_infrared, at["red"], at["green"]
    position = {band.index: number for number, band in enumerate(bands)}
    return hidden[0], *[position[index] for index in (*shown, *shown)[:2] if index in position]


def adapter_views(names: Sequence[str], scenes: Sequence[ScenePlan], pixel_size_m: float | None = None) -> AdapterViews:
    """Return the description of views of these scenes, all of which have the bands of the first.

    Raises
    ------
    InputError
        A scene lacks a band of the first.
    """
    first = scenes[0]
    bands = data_bands(first.info) if set(names) & {*_NUMBERS, FALSE_COLOUR} else ()
    false = false_colour_bands(bands, first.bands.indexes) if FALSE_COLOUR in names else ()
    added = added_offset(first.info) if bands else None
    found = AdapterViews(tuple(names), bands, false, pixel_size_m, None if added is None else added[0])
    for scene in scenes[1:] if bands else ():
        match_bands(scene.info, found, f"{first.info.name}")
    return found


def available_views(scenes: Sequence[ScenePlan]) -> tuple[str, ...]:
    """Return the views of pixels that scenes have: of images, and of bands if no scene has a palette."""
    decisive = next((scene for scene in scenes if scene.info.is_palette), scenes[0])
    return views_of_scene(decisive.info, decisive.bands)


def views_of_scene(info: SceneInfo, shown: Bands) -> tuple[str, ...]:
    """Return the views of pixels that a scene has, whose bands ``shown`` are those of the natural image."""
    if info.is_palette:
        return (IMAGE, AROUND)
    false = (FALSE_COLOUR,) if len(false_colour_bands(data_bands(info), shown.indexes)) == 3 else ()
    return (BANDS, BANDS_AROUND, IMAGE, *false, AROUND)


def with_views(scene: ScenePlan, views: AdapterViews, owner: str, false_colour_stretch: str = "auto") -> ScenePlan:
    """Return a scene that is read with what views need, see `ViewInputs`.

    Parameters
    ----------
    scene : ScenePlan
        The scene.
    views : AdapterViews
        The views.
    owner : str
        Whose bands these are, for messages: the name of the adapter, or of a scene.
    false_colour_stretch : str
        Stretch of a false-colour image, as for ``--stretch``.

    Raises
    ------
    InputError
        The scene lacks a band; the message names it.
    ReadError
        The pixels for the stretch of a false-colour image cannot be read.
    """
    numbers = tuple(name for name in views.names if name in _NUMBERS)
    images = tuple(name for name in views.names if name in _IMAGES and name != IMAGE)
    if not numbers and not images:
        return scene
    statistics = statistics_spec(scene.info, views, owner) if numbers else None
    false_colour = _false_colour(scene, views, owner, false_colour_stretch) if FALSE_COLOUR in images else None
    return replace(scene, view_inputs=ViewInputs(statistics, numbers, images, false_colour))


def statistics_spec(info: SceneInfo, views: AdapterViews, owner: str) -> StatisticsSpec:
    """Return the bands of a scene whose statistics views need; raises as `match_bands`."""
    indexes = match_bands(info, views, owner)
    scales, offsets = info.scales or (1.0,) * info.count, info.offsets or (0.0,) * info.count
    return StatisticsSpec(
        indexes,
        tuple(band.name for band in views.bands),
        tuple(scales[index - 1] for index in indexes),
        tuple(offsets[index - 1] for index in indexes),
    )


def _false_colour(scene: ScenePlan, views: AdapterViews, owner: str, stretch: str) -> tuple[Bands, Stretch]:
    """Return bands and stretch of a false-colour image."""
    info, indexes = scene.info, match_bands(scene.info, views, owner)
    bands = Bands(tuple(indexes[position] for position in views.false_colour))
    with open_scene(info.path, assume_crs=info.crs.to_wkt(), allow_drivers=info.allowed) as opened:
        return bands, compute_stretch(opened.dataset, bands, parse_stretch(stretch), scene.nodata)


def match_bands(info: SceneInfo, views: AdapterViews, owner: str) -> tuple[int, ...]:
    """Return the number of each band of the views in a scene.

    Bands are found by what they are, where both sides know that of every band; else by their order, which needs the
    same number of bands, and no band that is known to be another one.

    Raises
    ------
    InputError
        A band is missing, the scene has another number of bands, or they are in another order.
    """
    own = data_bands(info)
    at = {band.name: band.index for band in own if band.name is not None}
    if at and all(band.name is not None for band in views.bands):
        missing = [str(band) for band in views.bands if band.name not in at]
        if missing and (len(at) == len(own) or len(own) != len(views.bands)):
            raise_missing_bands(info, own, missing, f"{owner} was trained on")
        if not missing:
            return tuple(at[band.name] for band in views.bands if band.name is not None)
    if len(own) != len(views.bands):
        raise InputError(
            f"{info.name} has {len(own)} bands, but {owner} was trained on {len(views.bands)}: "
            f"{', '.join(str(band) for band in views.bands)}",
            "give a scene with these bands in this order: gdal_translate -b N -b N ... selects bands",
        )
    for mine, trained in zip(own, views.bands, strict=True):
        if mine.name is not None and trained.name is not None and mine.name != trained.name:
            raise InputError(
                f"band {mine.index} of {info.name} is {mine.name}, but {owner} was trained on {trained.name} there",
                "give a scene with the bands in the same order, or describe all of its bands",
            )
    return tuple(band.index for band in own)
