"""A finished layer, read back: which layer of the file, how its run saw each scene, what it says of each tile."""

from __future__ import annotations

import json
import logging
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyogrio
import pyogrio.errors
from rasterio.crs import CRS
from rasterio.errors import CRSError

from bimors_cli.errors import InputError, SceneError
from bimors_cli.labels import Label, Labels
from bimors_cli.output.geopackage import pam_disabled, read_layer, read_provenance
from bimors_cli.provenance import RecordedScene, recorded_scene
from bimors_cli.scene.gdal import display_name, file_name, is_local
from bimors_cli.scene.polygons import Polygons
from bimors_cli.scene.raster import Scene, SceneInfo, open_scene

log = logging.getLogger("bimors")

_HINT: Final = "give the .gpkg that bimors classify wrote"
_COLUMNS: Final = ("tile_id", "scene", "row", "col", "label", "confidence", "reason", "caption")
_RUNNER_UP: Final = re.compile(r"(?:label|confidence)_[0-9]+")
_NEAR: Final = 0.5  # pixels that a corner may lie off: formats round a transform


@dataclass(frozen=True)
class ClassifiedLayer:
    """A layer that `classify` wrote.

    Attributes
    ----------
    path, layer : Path, str
        The file, and its layer.
    provenance : dict of str to str
        As it was written.
    run : dict
        What decided the rows.
    labels : Labels
        With the colours that the user gave.
    scenes : tuple of UsedScene
        In the order of the run.
    columns : tuple of str
        Of the layer, those that `classify` writes.
    """

    path: Path
    layer: str
    provenance: dict[str, str]
    run: dict[str, Any]
    labels: Labels
    scenes: tuple[RecordedScene, ...]
    columns: tuple[str, ...]


def read_classified_layer(path: Path, layer: str | None = None) -> ClassifiedLayer:
    """Find the layer that is meant, and what its file says of the run.

    Parameters
    ----------
    path : Path
        A GeoPackage.
    layer : str, optional
        Its layer; may be left out where one layer only is of `classify`.

    Raises
    ------
    InputError
        Not there, not of `classify`, no such layer, several to choose from, or a provenance that cannot be read.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there", _HINT)
    name, columns = _find(path, layer)
    provenance = read_provenance(path, name)
    if not {"run", "labels", "scenes"} <= set(provenance):
        raise InputError(f"{path}: does not say how it was made: not written by bimors classify", _HINT)
    try:
        run = json.loads(provenance["run"])
        labels = Labels(tuple(Label(str(name), colour) for name, colour in json.loads(provenance["labels"]).items()))
        paths = json.loads(provenance["scenes"])
        scenes = tuple(
            recorded_scene(run, entry, str(where)) for entry, where in zip(run["scenes"], paths, strict=True)
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: what it says of its run cannot be read: {error!r}", _HINT) from error
    return ClassifiedLayer(path, name, provenance, run, labels, scenes, columns)


@dataclass(frozen=True)
class ClassifiedTiles:
    """N tiles of a scene, as the layer has them now.

    Attributes
    ----------
    windows : float array [N, 4]
        Left, top, right, bottom in pixels of the scene.
    polygons : object array [N] of Polygon, MultiPolygon or None
        In the layer's CRS.
    crs_wkt : str or None
        That CRS.
    text : mapping of str to list of str or None
        The columns of text; stripped, None where there is none.
    number : mapping of str to float array [N]
        The columns of confidences; nan where there is none.
    """

    windows: npt.NDArray[np.float64]
    polygons: Polygons
    crs_wkt: str | None
    text: Mapping[str, list[str | None]]
    number: Mapping[str, npt.NDArray[np.float64]]


@contextmanager
def open_used(
    result: ClassifiedLayer, scene: str | None = None, allow_drivers: Sequence[str] = ()
) -> Iterator[tuple[RecordedScene, Scene]]:
    """Open a scene of a layer, and check that it is the one that the tiles were cut from.

    Parameters
    ----------
    result : Result
        The layer.
    scene : str, optional
        The name of one of its scenes, or a path: where it is now. Default: the first one, where it was, or beside the
        layer.
    allow_drivers : sequence of str
        As in `open_scene`.

    Raises
    ------
    InputError
        None of the layer's scenes, not there, or not the same raster.
    """
    used, path = _choose(result, scene)
    with open_scene(path, assume_crs=used.crs_wkt, allow_drivers=allow_drivers) as opened:
        _check_same(opened.info, used, result.path)
        yield used, opened


def check_not_scene(output: Path, scene: Scene) -> None:
    """Refuse an output that is the scene. Raises InputError."""
    path = scene.info.path
    if os.path.exists(output) and os.path.exists(path) and os.path.samefile(output, path):
        raise InputError(f"{output} is the scene itself", "choose another name with -o")


def read_tiles(result: ClassifiedLayer, used: RecordedScene) -> ClassifiedTiles:
    """Read the rows of a scene's tiles.

    Raises
    ------
    InputError
        There is none.
    """
    frame = read_layer(result.path, result.layer, result.columns)
    frame = frame[frame["scene"] == used.name]
    row, col = (np.array(frame[name].tolist(), np.float64) for name in ("row", "col"))
    with np.errstate(invalid="ignore"):
        placed = (row >= 0) & (row < used.grid.rows) & (col >= 0) & (col < used.grid.cols)
    if not placed.all():
        log.warning("%s: %d features have no place in the grid: left out", result.path, int((~placed).sum()))
    frame, row, col = frame[placed], row[placed].astype(np.intp), col[placed].astype(np.intp)
    if not len(frame):
        raise InputError(f"{result.path}: {result.layer} holds no tile of {used.name}", _other(result, used))
    cells = [used.grid.tile(*place) for place in zip(row.tolist(), col.tolist(), strict=True)]
    numbers = [name for name in result.columns if name.startswith("confidence")]
    texts = [name for name in result.columns if name not in ("row", "col", *numbers)]
    return ClassifiedTiles(
        windows=np.array([(t.x, t.y, t.x + t.width, t.y + t.height) for t in cells], np.float64),
        polygons=frame.geometry.to_numpy(),
        crs_wkt=frame.crs.to_wkt() if frame.crs else None,
        text={name: [_text(value) for value in frame[name].tolist()] for name in texts},
        number={name: np.array(frame[name].tolist(), np.float64) for name in numbers},  # None becomes nan
    )


def _find(path: Path, layer: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the layer that is meant and its columns."""
    with pam_disabled():
        try:
            names = [str(name) for name, geometry in pyogrio.list_layers(path) if geometry is not None]
            fields = {name: [str(f) for f in pyogrio.read_info(path, layer=name)["fields"]] for name in names}
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise InputError(f"{path}: no layer can be read from it", _HINT) from error
    ours = [name for name in names if set(_COLUMNS) <= set(fields[name])]
    if not ours:
        raise InputError(f"{path}: no layer of bimors classify is in it", _HINT)
    if layer is None and len(ours) > 1:
        raise InputError(f"{path} has several layers", f"name one with --layer; there are: {', '.join(ours)}")
    chosen = ours[0] if layer is None else layer
    if chosen not in ours:
        what = "is not of bimors classify" if chosen in names else "is not in it"
        raise InputError(f"{path}: the layer {chosen!r} {what}", f"name one with --layer; there are: {', '.join(ours)}")
    return chosen, (*_COLUMNS, *(field for field in fields[chosen] if _RUNNER_UP.fullmatch(field)))


def _choose(result: ClassifiedLayer, scene: str | None) -> tuple[RecordedScene, str]:
    """Return the scene that is meant and where it is."""
    names = [used.name for used in result.scenes]
    if scene is None:
        used = result.scenes[0]
        if len(names) > 1:
            log.warning("%s is of %d scenes; this shows %s: choose with --scene", result.path, len(names), used.name)
        return used, _where(result, used)
    if file_name(scene) in names:
        used = result.scenes[names.index(file_name(scene))]
        named = scene == used.name and not Path(scene).exists()
        return used, _where(result, used) if named else scene
    if len(names) > 1:
        raise InputError(
            f"{result.path}: no scene of the layer is called {file_name(scene)}", f"there are: {', '.join(names)}"
        )
    return result.scenes[0], scene  # another name: whether it is the same raster is checked when it is open


def _where(result: ClassifiedLayer, used: RecordedScene) -> str:
    if not is_local(used.path):
        raise InputError(
            f"{result.path}: its scene {display_name(used.path)} is no local file", "give its address with --scene"
        )
    for candidate in (used.path, str(result.path.parent / used.name)):
        if Path(candidate).exists():
            return candidate
    raise InputError(f"{result.path}: its scene {used.path} is not there", "say where it is with --scene")


def _check_same(info: SceneInfo, used: RecordedScene, layer: Path) -> None:
    hint = "give the scene that the layer was made from with --scene"
    then = (used.grid.scene_width, used.grid.scene_height)
    if (info.width, info.height) != then:
        raise SceneError(
            f"{info.path} has {info.width} x {info.height} pixels, the scene of {layer} had {then[0]} x {then[1]}", hint
        )
    off = ~info.transform @ used.transform
    corners = [off @ corner for corner in ((0, 0), then, (then[0], 0), (0, then[1]))]
    wanted = [(0, 0), then, (then[0], 0), (0, then[1])]
    if not np.allclose(corners, wanted, rtol=0, atol=_NEAR):
        raise SceneError(f"{info.path} lies elsewhere than the scene of {layer} did", hint)
    try:
        same = info.crs == CRS.from_wkt(used.crs_wkt)
    except CRSError as error:
        raise InputError(f"{layer}: the CRS of its scene cannot be read", _HINT) from error
    if not same:
        raise SceneError(f"{info.path} has another CRS than the scene of {layer} had", hint)


def _other(result: ClassifiedLayer, used: RecordedScene) -> str:
    others = [other.name for other in result.scenes if other.name != used.name]
    return f"choose another with --scene: {', '.join(others)}" if others else "was every tile left out, or deleted?"


def _text(value: Any) -> str | None:
    return unicodedata.normalize("NFC", value.strip()) or None if isinstance(value, str) else None
