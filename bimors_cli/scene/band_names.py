"""What the bands of a scene are, by their descriptions, wavelengths, sensor and colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bimors_cli.scene.band_text import BandText, only_counted, read_text
from bimors_cli.scene.sensor_table import Sensor

# Range of central wavelengths in nanometres (Sentinel-2, Landsat, and cameras between them), and the centre: it decides
# between several bands in it.
_WAVELENGTHS: Final[dict[str, tuple[float, float, float]]] = {
    "coastal": (400, 455, 443),
    "blue": (455, 520, 485),
    "green": (520, 600, 560),
    "red": (620, 690, 665),
    "rededge1": (690, 722, 705),
    "rededge2": (722, 758, 740),
    "rededge3": (758, 790, 783),
    "nir": (790, 845, 842),
    "nir narrow": (845, 900, 865),
    "water vapour": (900, 970, 945),
    "cirrus": (1350, 1400, 1375),
    "swir1": (1500, 1800, 1610),
    "swir2": (2050, 2400, 2200),
}
# Same in Sentinel-2, Landsat 8 and 9, and HLS.
_COMMON: Final = {"2": "blue", "3": "green", "4": "red"}
COLOURS: Final = ("red", "green", "blue")
# How sure a name is: by description, by wavelength, by the order of the sensor's products or the colour.
_BY_TEXT, _BY_WAVELENGTH, _BY_ORDER = range(3)
# Colour interpretations of GDAL 3.10 that name one band.
_BY_COLOUR: Final = {"red": "red", "green": "green", "blue": "blue", "nir": "nir", "coastal": "coastal"}


@dataclass(frozen=True, slots=True)
class BandIdentities:
    """What the bands of a scene are.

    Attributes
    ----------
    names : tuple of str or None
        The name of each band, such as ``red``, ``nir``, ``swir1``; None where nothing says so, or several say the same.
    repeated : tuple of int
        If several bands are red, green or blue, as in a stack of several dates: the bands of the first image that has
        all three, numbered from 1. Empty else.
    by_order : bool
        Whether only the order of the bands in the products of the sensor says which are red, green and blue.
    """

    names: tuple[str | None, ...]
    repeated: tuple[int, ...] = ()
    by_order: bool = False


@dataclass(frozen=True, slots=True)
class _Said:
    """What is said of one band, from the surest to the least sure."""

    names: tuple[str | None, str | None, str | None]
    nanometres: float | None
    image: str

    @property
    def sure(self) -> int | None:
        return next((tier for tier, name in enumerate(self.names) if name is not None), None)

    @property
    def name(self) -> str | None:
        return None if self.sure is None else self.names[self.sure]


def identify_bands(
    descriptions: Sequence[str | None],
    wavelengths: Sequence[float | None],
    colours: Sequence[str],
    sensor: Sensor | None = None,
) -> BandIdentities:
    """Tell which band of the spectrum each band is.

    Words in the descriptions decide, then codes of the sensor, wavelengths, and last the order of the sensor's products
    or the colour interpretation. Of several bands with the same name, that nearest to the usual wavelength has it.

    Parameters
    ----------
    descriptions : sequence of str or None
        Description of each band.
    wavelengths : sequence of float or None
        Central wavelength of each band, in nanometres.
    colours : sequence of str
        GDAL colour interpretation of each band.
    sensor : Sensor, optional
        The satellite or camera, if it is known.
    """
    texts = [read_text(description) for description in descriptions]
    codes = _codes(texts, sensor)
    orders = _order(colours, sensor)
    said = []
    for text, wavelength, colour, ordered in zip(texts, wavelengths, colours, orders, strict=True):
        nanometres = text.nanometres if wavelength is None else wavelength
        by_text = text.word or (codes.get(text.code[1]) if text.code is not None else None)
        by_order = ordered or _BY_COLOUR.get(colour)
        said.append(_Said((by_text, _by_wavelength(nanometres), by_order), nanometres, text.rest))
    known = any(one.sure in (_BY_TEXT, _BY_WAVELENGTH) for one in said)
    if known:
        # What is known of some bands excludes a guess by the order, but not the colours of the file.
        said = [
            _Said((*one.names[:2], _BY_COLOUR.get(colour)), one.nanometres, one.image)
            for one, colour in zip(said, colours, strict=True)
        ]
    names = [one.name for one in said]
    if "nir" not in names:
        # One near infrared is one name: that of Landsat 8 is "nir" by its code and narrow by its wavelength.
        names = ["nir" if name == "nir narrow" else name for name in names]
    best = {name: _bearers(name, names, said) for name in dict.fromkeys(names) if name is not None}
    owners = tuple(name if name is not None and best[name] == [at] else None for at, name in enumerate(names))
    ordered_only = not known and any(orders) and not all(colour in colours for colour in COLOURS)
    return BandIdentities(owners, _first_image(best, said), ordered_only)


def _bearers(name: str, names: Sequence[str | None], said: Sequence[_Said]) -> list[int]:
    """Return the positions of the bands that have a name with equal right."""
    having = [at for at, own in enumerate(names) if own == name]
    surest = min(said[at].sure or 0 for at in having)
    having = [at for at in having if (said[at].sure or 0) == surest]
    lengths = [said[at].nanometres for at in having]
    if len(having) > 1 and None not in lengths and len(set(lengths)) == len(lengths):
        centre = _WAVELENGTHS[name][2]
        return [min(having, key=lambda at: abs((said[at].nanometres or 0) - centre))]
    return having


def _first_image(best: Mapping[str, list[int]], said: Sequence[_Said]) -> tuple[int, ...]:
    """Return red, green and blue of the first image, from 1, where one of them is there several times."""
    if not all(best.get(colour) for colour in COLOURS) or all(len(best[colour]) == 1 for colour in COLOURS):
        return ()
    for image in dict.fromkeys(one.image for one in said):
        own = [next((at for at in best[colour] if said[at].image == image), None) for colour in COLOURS]
        if None not in own:
            return tuple(at + 1 for at in own if at is not None)
    return tuple(best[colour][0] + 1 for colour in COLOURS)


def _codes(texts: Sequence[BandText], sensor: Sensor | None) -> Mapping[str, str]:
    """Return what the numbers of band codes mean; empty where that is ambiguous."""
    if only_counted(texts):
        return {}
    if sensor is not None:
        return sensor.codes
    codes = [text.code for text in texts if text.code is not None]
    numbers = [number for _, number in codes]
    if any(number.isdecimal() and int(number) > 12 for number in numbers):
        return {}
    padded = any(text.padded and text.code is not None and text.code[0] == "b" for text in texts)
    return _COMMON if padded or any(code in codes for code in (("b", "9"), ("b", "10"), ("b", "11"))) else {}


def _order(colours: Sequence[str], sensor: Sensor | None) -> Sequence[str | None]:
    """Return what bands are by their order in the products of a sensor, unless their colours say otherwise."""
    data = [at for at, colour in enumerate(colours) if colour != "alpha"]
    order = None if sensor is None else sensor.orders.get(len(data))
    if order is None or any(
        colours[at] in COLOURS and colours[at] != name for at, name in zip(data, order, strict=True)
    ):
        return [None] * len(colours)
    names = dict(zip(data, order, strict=True))
    return [names.get(at) for at in range(len(colours))]


def _by_wavelength(nanometres: float | None) -> str | None:
    if nanometres is None:
        return None
    return next((name for name, (low, high, _) in _WAVELENGTHS.items() if low <= nanometres < high), None)
