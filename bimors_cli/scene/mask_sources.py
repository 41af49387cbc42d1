"""What makes pixels of a scene invalid, in words: `bimors_cli.scene.mask.mask_rule` decides."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from rasterio.enums import ColorInterp

from bimors_cli.scene.bands import Bands
from bimors_cli.scene.mask import MaskRule, Nodata, mask_band, mask_rule
from bimors_cli.scene.nodata_tags import declared_nodata, impossible_nodata
from bimors_cli.scene.raster import Scene

Kind = Literal["alpha", "mask", "nodata", "nan", "palette"]

# The attribute of a rule that applies a source.
_ATTRIBUTES: Final[dict[Kind, str]] = {
    "alpha": "alpha",
    "mask": "mask",
    "nodata": "values",
    "nan": "finite",
    "palette": "palette",
}


@dataclass(frozen=True)
class MaskSource:
    """One source of invalid pixels.

    Attributes
    ----------
    kind : str
        ``alpha`` band, ``mask`` of the dataset, ``nodata`` values, ``nan``: NaN and infinite values, ``palette``:
        transparent colours.
    text : str
        What it is, for display: ``band 4 (alpha)``.
    applied : bool
        Whether it is used.
    reason : str
        Why it is not used; empty if it is.
    """

    kind: Kind
    text: str
    applied: bool = True
    reason: str = ""

    def alone(self, rule: MaskRule) -> MaskRule:
        """Return the rule by which this source alone is applied; ``rule`` is that of all sources."""
        nothing = MaskRule(None, None, (None,) * len(rule.values), finite=False, palette=False)
        own: dict[str, Any] = {_ATTRIBUTES[self.kind]: getattr(rule, _ATTRIBUTES[self.kind])}
        return replace(nothing, **own)


def mask_sources(scene: Scene, bands: Bands, nodata: Nodata) -> tuple[MaskSource, ...]:
    """Return the sources that a scene has, those that are used first; those that are not say why.

    Parameters
    ----------
    scene : Scene
        The open scene.
    bands, nodata : Bands, Nodata
        The bands of the image, and the nodata rule.
    """
    rule = mask_rule(scene.dataset, bands, nodata)
    found = [
        *_alpha(scene, bands, rule),
        *_mask(scene, bands, rule, nodata),
        *_values(scene, bands, rule, nodata),
    ]
    if rule.finite:
        found.append(MaskSource("nan", "NaN and infinite values"))
    if rule.palette and _has_transparent(scene, bands):
        found.append(MaskSource("palette", "transparent colours of the palette"))
    return tuple(sorted(found, key=lambda source: not source.applied))


def _alpha(scene: Scene, bands: Bands, rule: MaskRule) -> Iterator[MaskSource]:
    colours = scene.dataset.colorinterp  # in the properties of the scene, an alpha band that is ignored is one of data
    if ColorInterp.alpha not in colours:
        return
    index = colours.index(ColorInterp.alpha) + 1
    text = f"band {index} (alpha)"
    if rule.alpha is not None:
        yield MaskSource("alpha", text)
    elif index in bands.indexes:
        yield MaskSource("alpha", text, False, "it is one of the bands that are used")
    else:
        yield MaskSource("alpha", text, False, "--ignore-mask")


def _mask(scene: Scene, bands: Bands, rule: MaskRule, nodata: Nodata) -> Iterator[MaskSource]:
    mask = mask_band(scene.dataset, bands)
    if mask is None:
        return
    text = _mask_text(scene, mask.of_values)
    if mask.of_values:
        text += f" ({scene.dataset.tags().get('NODATA_VALUES', '')})"
    if rule.mask is not None:
        yield MaskSource("mask", text)
    else:
        yield MaskSource("mask", text, False, _option(nodata) if mask.of_values else "--ignore-mask")


def _mask_text(scene: Scene, of_values: bool) -> str:
    if of_values:
        return "tag NODATA_VALUES"
    files = [os.path.basename(path) for path in scene.dataset.files if path.lower().endswith(".msk")]
    if files:
        return f"mask file {files[0]}"
    return "internal mask" if scene.info.driver == "GTiff" else "mask band of the file"


def _values(scene: Scene, bands: Bands, rule: MaskRule, nodata: Nodata) -> Iterator[MaskSource]:
    if nodata.kind == "value":
        yield MaskSource("nodata", f"nodata value {nodata.value:.9g} of --nodata")
    declared = declared_nodata(scene.dataset, bands.indexes)
    if not declared:
        return
    impossible = impossible_nodata(scene.dataset, bands.indexes)
    mask = mask_band(scene.dataset, bands)
    reason = ""
    if nodata.kind == "value":
        reason = "--nodata takes precedence"
    elif nodata.kind == "none":
        reason = _option(nodata)
    elif mask is not None and rule.mask is not None:
        reason = f"the {_mask_text(scene, mask.of_values)} takes precedence"
    elif impossible is not None:
        reason = f"{impossible[2]} has no value {impossible[1]:.9g}"
    elif None in rule.values:
        index = bands.indexes[rule.values.index(None)]
        reason = f"band {index} has none, and a pixel is nodata in all bands or in none"
    yield MaskSource("nodata", _tag_text(declared), not reason, reason)


def _option(nodata: Nodata) -> str:
    return "--nodata none" if nodata.kind == "none" else f"--nodata {nodata.value:.9g}"


def _tag_text(declared: dict[int, float]) -> str:
    shown = {index: f"{tag:.9g}" for index, tag in declared.items()}
    if len(set(shown.values())) == 1:
        return f"nodata value {next(iter(shown.values()))} of the file"
    return "nodata values of the file: " + ", ".join(f"{text} in band {index}" for index, text in shown.items())


def _has_transparent(scene: Scene, bands: Bands) -> bool:
    """Tell whether a value of the band can be transparent: by its colour, or because it has none."""
    lut = bands.lut()
    (index,) = bands.indexes
    return bool((lut[:, 3] == 0).any()) or len(lut) <= np.iinfo(scene.info.dtypes[index - 1]).max
