"""The bands of a scene one by one: what the file says of each, and how it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bimors_cli.scene.bands import Bands
from bimors_cli.scene.raster import Scene

COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class BandDescription:
    """A band.

    Attributes
    ----------
    index : int
        Number, from 1.
    name : str or None
        What it is, see `bimors_cli.scene.band_names.band_names`; None if nothing says so.
    description : str
        Description in the file; may be empty.
    colour : str
        GDAL's colour interpretation.
    dtype : str
        Numpy dtype of the stored values.
    wavelength_nm : float or None
        Central wavelength in nanometres.
    scale, offset : float
        value = stored value * scale + offset.
    unit : str
        Unit of the values; may be empty.
    nodata : float or None
        Nodata value of the file.
    used_as : tuple of str
        The channels that it becomes: ``red``, ``grey``, ``palette``, or the name of an input of the model.
    """

    index: int
    name: str | None
    description: str
    colour: str
    dtype: str
    wavelength_nm: float | None
    scale: float
    offset: float
    unit: str
    nodata: float | None
    used_as: tuple[str, ...]


def describe_bands(scene: Scene, bands: Bands, channels: Sequence[str]) -> tuple[BandDescription, ...]:
    """Describe all bands of a scene.

    Parameters
    ----------
    scene : Scene
        The open scene.
    bands : Bands
        The bands that are used.
    channels : sequence of str
        What each of these becomes, see `channel_names`.
    """
    info, dataset = scene.info, scene.dataset
    names = info.band_names or (None,) * info.count
    return tuple(
        BandDescription(
            index=index,
            name=names[index - 1],
            description=info.descriptions[index - 1] or "",
            colour=info.colorinterp[index - 1],
            dtype=info.dtypes[index - 1],
            wavelength_nm=info.wavelengths[index - 1],
            scale=info.scales[index - 1] if info.scales else 1.0,
            offset=info.offsets[index - 1] if info.offsets else 0.0,
            unit=dataset.units[index - 1] or "",
            nodata=info.nodata[index - 1],
            used_as=tuple(channel for used, channel in zip(bands.indexes, channels, strict=True) if used == index),
        )
        for index in range(1, info.count + 1)
    )


def channel_names(bands: Bands, inputs: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what the bands become: inputs of a model of bands, colours, grey, or the colours of a palette."""
    if inputs:
        return tuple(inputs)
    if len(bands.indexes) == len(COLOURS):
        return COLOURS
    return ("grey",) if bands.palette is None else ("palette",)
