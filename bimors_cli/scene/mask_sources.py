"""What makes pixels of a scene invalid: alpha band, mask, nodata values; which of them is used, in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags

from bimors_cli.scene.bands import Bands
from bimors_cli.scene.mask import Nodata
from bimors_cli.scene.raster import Scene

Kind = Literal["alpha", "mask", "nodata", "nan"]


@dataclass(frozen=True)
class MaskSource:
    """One source of invalid pixels.

    Attributes
    ----------
    kind : str
        ``alpha`` band, ``mask`` of the dataset, ``nodata`` values, ``nan``: NaN and infinite values.
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

    def alone(self, nodata: Nodata) -> Nodata:
        """Return the rule by which this source alone is applied; ``nodata`` is the rule of all sources."""
        if self.kind == "nodata":
            return replace(nodata, masks=False)
        if self.kind == "mask":  # a band with a mask has no nodata value; a mask of NODATA_VALUES needs this rule
            return Nodata("file")
        return Nodata("none", masks=self.kind != "nan")


def mask_sources(scene: Scene, bands: Bands, nodata: Nodata) -> tuple[MaskSource, ...]:
    """Return the sources that a scene has, by the rules of `bimors_cli.scene.mask.valid_mask`, those used first.

    Parameters
    ----------
    scene : Scene
        The open scene.
    bands, nodata : Bands, Nodata
        The bands of the image, and the nodata rule.
    """
    found = [*_alpha(scene, bands, nodata), *_mask(scene, bands, nodata), *_values(scene, bands, nodata)]
    if any(np.dtype(scene.info.dtypes[index - 1]).kind == "f" for index in bands.indexes):
        found.append(MaskSource("nan", "NaN and infinite values"))
    return tuple(sorted(found, key=lambda source: not source.applied))


def _alpha(scene: Scene, bands: Bands, nodata: Nodata) -> Iterator[MaskSource]:
    if ColorInterp.alpha.name not in scene.info.colorinterp:
        return
    index = scene.info.colorinterp.index(ColorInterp.alpha.name) + 1
    text = f"band {index} (alpha)"
    if index in bands.indexes:
        yield MaskSource("alpha", text, False, "it is one of the bands that are used")
    elif not nodata.masks:
        yield MaskSource("alpha", text, False, "--ignore-mask")
    else:
        yield MaskSource("alpha", text)


def _mask(scene: Scene, bands: Bands, nodata: Nodata) -> Iterator[MaskSource]:
    all_flags = scene.dataset.mask_flag_enums
    flags = [all_flags[index - 1] for index in bands.indexes]
    masked = [flag for flag in flags if MaskFlags.per_dataset in flag and MaskFlags.alpha not in flag]
    if not masked:
        return
    by_value = MaskFlags.nodata in masked[0]
    text = _mask_text(scene, by_value)
    if not nodata.masks:
        yield MaskSource("mask", text, False, "--ignore-mask")
    elif by_value and nodata.kind != "file":
        yield MaskSource("mask", text, False, f"--nodata {nodata}")
    else:
        yield MaskSource("mask", text)


def _mask_text(scene: Scene, by_value: bool) -> str:
    if by_value:
        return f"tag NODATA_VALUES ({scene.dataset.tags().get('NODATA_VALUES', '')})"
    files = [os.path.basename(path) for path in scene.dataset.files if path.lower().endswith(".msk")]
    if files:
        return f"mask file {files[0]}"
    return "internal mask" if scene.info.driver == "GTiff" else "mask band of the file"


def _values(scene: Scene, bands: Bands, nodata: Nodata) -> Iterator[MaskSource]:
    tags = [scene.info.nodata[index - 1] for index in bands.indexes]
    if nodata.kind == "value":
        yield MaskSource("nodata", f"nodata value {nodata.value:.9g} of --nodata")
    if all(tag is None for tag in tags):
        return
    text = _tag_text(bands, tags)
    flags = scene.dataset.mask_flag_enums
    used = [MaskFlags.nodata in flags[index - 1] for index in bands.indexes]
    if nodata.kind == "value":
        yield MaskSource("nodata", text, False, "--nodata takes precedence")
    elif nodata.kind == "none":
        yield MaskSource("nodata", text, False, "--nodata none")
    elif not any(used):
        yield MaskSource("nodata", text, False, "the mask of the file takes precedence")
    elif None in tags:
        index = bands.indexes[tags.index(None)]
        yield MaskSource("nodata", text, False, f"band {index} has none, and a pixel is nodata in all bands or in none")
    else:
        yield MaskSource("nodata", text)


def _tag_text(bands: Bands, tags: list[float | None]) -> str:
    known = {index: tag for index, tag in zip(bands.indexes, tags, strict=True) if tag is not None}
    shown = {index: f"{tag:.9g}" for index, tag in known.items()}
    if len(set(shown.values())) == 1:
        return f"nodata value {next(iter(shown.values()))} of the file"
    return "nodata values of the file: " + ", ".join(f"{text} in band {index}" for index, text in shown.items())
