"""Whether the bands that were chosen as red, green and blue may be others."""

from __future__ import annotations

from bimors_cli.scene.band_names import COLOURS
from bimors_cli.scene.band_text import read_text
from bimors_cli.scene.bands import Bands, colours_are_known, data_indexes
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.sensors import guess

_FIRST_THREE = (1, 2, 3)


def band_doubt(info: SceneInfo, bands: Bands) -> tuple[str, str] | None:
    """Return what is doubtful about bands that were chosen without the user, and what to do.

    Parameters
    ----------
    info : SceneInfo
        The scene.
    bands : Bands
        The choice of `choose_bands`.

    Returns
    -------
    (str, str) or None
        None if names or colours say which bands are red, green and blue, or there is no choice.
    """
    data, indexes = data_indexes(info), bands.indexes
    used = ", ".join(map(str, indexes))
    if len(indexes) == 1:
        return _one_of_several(info, bands, data)
    as_colours = f"bands {used} are used as red, green and blue"
    names = [info.band_names[index - 1] if info.band_names else None for index in indexes]
    if info.repeated_colours:
        return (
            f"several bands are red, green or blue, as in a stack of several dates: {as_colours}",
            "choose another date with -b; bimors info shows the names of the bands",
        )
    if any(name not in (None, colour) for name, colour in zip(names, COLOURS, strict=True)):
        shown = ", ".join(name or "unknown" for name in names)
        advice = "choose others with -b if that is not intended"
        return f"{as_colours}, but they are {shown}", advice
    sensor = guess(info)
    if info.named_by_order and sensor is not None and indexes != _FIRST_THREE:
        said = sensor.evidence[0]
        return f"{as_colours}, the order of {sensor.sensor.title} ({said})", "if they are others, choose them with -b"
    if sensor is None and _ascending_codes(info, indexes):
        order = ",".join(map(str, reversed(indexes)))
        return (
            f"{as_colours}, because nothing says which satellite their numbers are of",
            f"of Sentinel-2 and Landsat 8 and 9 choose them with -b {order}",
        )
    if len(data) <= 3 or colours_are_known(info):
        return None
    advice = "choose them with -b, such as -b 4,3,2; bimors info shows the names"
    if sensor is not None and len(data) in sensor.sensor.stacks:
        order, stack = sensor.sensor.stacks[len(data)]
        advice = f"choose them with -b, such as -b {order} if the bands are {stack} of {sensor.sensor.title}"
    return f"{as_colours}, because neither names nor colours say which these are", advice


def _one_of_several(info: SceneInfo, bands: Bands, data: tuple[int, ...]) -> tuple[str, str] | None:
    index = bands.indexes[0]
    others = [other for other in data if other != index]
    if not others:
        dtype = info.dtypes[index - 1]
        if bands.palette is None and not dtype.startswith("uint"):
            return (
                f"its only band is {dtype}, as of an elevation model or an index, and is used as grey",
                "labels are reliable for images only: give an image, or ignore this if it is one",
            )
        return None
    if bands.palette is not None:
        advice = f"choose others with -b, such as -b {others[0]}"
        if len(others) >= 3:
            advice = f"choose red, green and blue with -b, such as -b {','.join(map(str, others[:3]))}"
        return f"only band {index}, which has a palette, of {info.count} bands is used", advice
    return (
        f"only band {index} of {info.count} bands is used, as grey",
        f"choose another with -b, such as -b {others[0]}",
    )


def _ascending_codes(info: SceneInfo, indexes: tuple[int, ...]) -> bool:
    """Tell whether the bands have ascending numbers, such as B2, B3, B4, that no satellite explains."""
    texts = [read_text(info.descriptions[index - 1]) if info.descriptions else read_text(None) for index in indexes]
    numbers = [int(text.code[1]) for text in texts if text.code is not None and text.code[1].isdecimal()]
    # 1, 2, 3 only counts the bands.
    return len(numbers) == 3 and numbers[0] > 1 and numbers == sorted(set(numbers))
