"""What makes pixels of a raster invalid, in words and by the rule, for the tests of this room."""

from __future__ import annotations

import numpy as np
from rasterio.windows import Window

from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.mask import mask_rule, parse_nodata, valid_by_rule
from bimors_cli.scene.mask_sources import MaskSource, mask_sources
from bimors_cli.scene.pixels import sample_window
from bimors_cli.scene.raster import open_scene


def sources_and_fraction(
    path: str, nodata: str | None = None, *, masks: bool = True, bidx: tuple[int, ...] | None = None
) -> tuple[tuple[MaskSource, ...], float]:
    """Return the sources, and the fraction of valid pixels.

    Sources that are used must leave together what the rule leaves, and those that are not must say why.
    """
    rule = parse_nodata(nodata, masks=masks)
    with open_scene(path, ignore_alpha=not masks) as scene:
        bands = choose_bands(scene.info, bidx)
        found = mask_sources(scene, bands, rule)
        window = Window(0, 0, scene.info.width, scene.info.height)
        _, valid = sample_window(scene.dataset, bands, rule, window, scene.dataset.shape)
        data = scene.dataset.read(list(bands.indexes))
        together = np.ones(data.shape[1:], np.bool_)
        decided = mask_rule(scene.dataset, bands, rule)
        for source in found:
            if source.applied:
                together &= valid_by_rule(scene.dataset, bands, source.alone(decided), data, window)
        np.testing.assert_array_equal(together, valid)
    assert list(found) == sorted(found, key=lambda source: not source.applied)
    assert all(source.applied == (source.reason == "") for source in found)
    return found, float(valid.mean())


def sources(
    path: str, nodata: str | None = None, *, masks: bool = True, bidx: tuple[int, ...] | None = None
) -> tuple[MaskSource, ...]:
    """Return the sources, which are checked as in `sources_and_fraction`."""
    return sources_and_fraction(path, nodata, masks=masks, bidx=bidx)[0]


def in_words(found: tuple[MaskSource, ...]) -> list[str]:
    """Return each source with the reason why it is not used."""
    return [f"{source.text}: {source.reason}".removesuffix(": ") for source in found]


def shown(
    path: str, nodata: str | None = None, *, masks: bool = True, bidx: tuple[int, ...] | None = None
) -> list[str]:
    """Return the sources in words."""
    return in_words(sources(path, nodata, masks=masks, bidx=bidx))
