"""Read a layer that `classify` wrote: which layer of the file, its run, its scenes, the rows of a scene's tiles."""

from __future__ import annotations

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

from bimors_cli.errors import InputError
from bimors_cli.labels import Label, Labels
from bimors_cli.output.geopackage import pam_disabled, read_layer
from bimors_cli.provenance import RecordedScene, RunProvenance, check_same_raster, read_classify_run
from bimors_cli.results.copy_hint import refuse_copy
from bimors_cli.run_warnings import warn
from bimors_cli.scene.gdal import display_name, file_name, is_local
from bimors_cli.scene.polygons import Polygons
from bimors_cli.scene.raster import Scene, open_scene
from bimors_cli.scene.stac_scene import file_of

_HINT: Final = "give the .gpkg that bimors classify wrote"
_COLUMNS: Final = ("tile_id", "scene", "row", "col", "label", "confidence", "reason", "caption")
_RUNNER_UP: Final = re.compile(r"(?:label|confidence)_[0-9]+")


@dataclass(frozen=True)
class ClassifiedLayer:
    """A layer that `classify` wrote.

    Attributes
    ----------
    path, name : Path, str
        The file, and the name of the layer.
    run : RunProvenance
        What the layer records of its run.
    labels : Labels
        The labels of the run, with the colours that the user gave.
    scenes : tuple of RecordedScene
        In the order of the run.
    columns : tuple of str
        The columns of the layer that `classify` writes.
    """

    path: Path
    name: str
    run: RunProvenance
    labels: Labels
    scenes: tuple[RecordedScene, ...]
    columns: tuple[str, ...]

    @property
    def run_key(self) -> Mapping[str, Any]:
        """What decides the rows, see `Plan.run_key`."""
        return self.run.run_key or {}


def read_classified_layer(path: Path, layer: str | None = None) -> ClassifiedLayer:
    """Find a layer of `classify` in a file, and read its provenance.

    Parameters
    ----------
    path : Path
        A GeoPackage.
    layer : str, optional
        Name of the layer; may be left out where the file holds one layer of `classify`.

    Raises
    ------
    InputError
        The file does not exist, holds no layer of `classify`, several of them and none is named, or no layer of this
        name; or the provenance is invalid.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist", _HINT)
    refuse_copy(path)
    name, columns = _find(path, layer)
    run, scenes = read_classify_run(path, name)
    labels = Labels(tuple(Label(str(label), colour) for label, colour in (run.labels or {}).items()))
    return ClassifiedLayer(path, name, run, labels, scenes, columns)


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
        The text columns; stripped, None for null.
    number : mapping of str to float array [N]
        The confidence columns; nan for null.
    """

    windows: npt.NDArray[np.float64]
    polygons: Polygons
    crs_wkt: str | None
    text: Mapping[str, list[str | None]]
    number: Mapping[str, npt.NDArray[np.float64]]


@contextmanager
def open_recorded_scene(
    layer: ClassifiedLayer, scene: str | None = None, allow_drivers: Sequence[str] = ()
) -> Iterator[tuple[RecordedScene, Scene]]:
    """Open a scene of a layer, and check that it is the raster that the tiles were cut from.

    Parameters
    ----------
    layer : ClassifiedLayer
        The layer.
    scene : str, optional
        The name of one of its scenes, or a path to it. Default: the first scene, at its recorded path or next to the
        layer.
    allow_drivers : sequence of str
        As in `open_scene`.

    Raises
    ------
    InputError
        The layer has no such scene, the file does not exist, or it is not the same raster, see `check_same_raster`.
    """
    recorded, path = _choose(layer, scene)
    with open_scene(
        path,
        assume_crs=recorded.crs_wkt,
        allow_drivers=allow_drivers,
        ignore_alpha=not recorded.nodata.masks,
    ) as opened:
        hint = "give the scene that the layer was made from with --scene"
        check_same_raster(opened.info, recorded, layer.path, hint)
        yield recorded, opened


def check_not_scene(output: Path, scene: Scene) -> None:
    """Raise InputError if an output file is the scene."""
    path = scene.info.path
    if os.path.exists(output) and os.path.exists(path) and os.path.samefile(output, path):
        raise InputError(f"{output} is the scene itself", "choose another file with -o")


def read_tiles(layer: ClassifiedLayer, recorded: RecordedScene) -> ClassifiedTiles:
    """Read the rows of a scene's tiles.

    Raises
    ------
    InputError
        The layer holds no tile of the scene.
    """
    frame = read_layer(layer.path, layer.name, layer.columns)
    frame = frame[frame["scene"] == recorded.name]
    row, col = (np.array(frame[name].tolist(), np.float64) for name in ("row", "col"))
    with np.errstate(invalid="ignore"):
        in_grid = (row >= 0) & (row < recorded.grid.rows) & (col >= 0) & (col < recorded.grid.cols)
    if not in_grid.all():
        warn(
            "%s: skipped %d features without a row and column of the grid: they are not tiles of the run",
            layer.path,
            int((~in_grid).sum()),
        )
    frame, row, col = frame[in_grid], row[in_grid].astype(np.intp), col[in_grid].astype(np.intp)
    if not len(frame):
        raise InputError(f"{layer.path}: layer {layer.name} holds no tile of {recorded.name}", _other(layer, recorded))
    tiles = [recorded.grid.tile(*position) for position in zip(row.tolist(), col.tolist(), strict=True)]
    numbers = [name for name in layer.columns if name.startswith("confidence")]
    texts = [name for name in layer.columns if name not in ("row", "col", *numbers)]
    return ClassifiedTiles(
        windows=np.array([(t.x, t.y, t.x + t.width, t.y + t.height) for t in tiles], np.float64),
        polygons=frame.geometry.to_numpy(),
        crs_wkt=frame.crs.to_wkt() if frame.crs else None,
        text={name: [_text(value) for value in frame[name].tolist()] for name in texts},
        number={name: np.array(frame[name].tolist(), np.float64) for name in numbers},  # None becomes nan
    )


def _find(path: Path, layer: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the name of the layer and its columns."""
    import pyogrio
    import pyogrio.errors

    with pam_disabled():
        try:
            names = [str(name) for name, geometry in pyogrio.list_layers(path) if geometry is not None]
            fields = {name: [str(f) for f in pyogrio.read_info(path, layer=name)["fields"]] for name in names}
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise InputError(f"{path}: cannot be read as a vector file", _HINT) from error
    ours = [name for name in names if set(_COLUMNS) <= set(fields[name])]
    if not ours:
        raise InputError(f"{path} holds no layer of bimors classify", _HINT)
    hint = f"choose one with --layer: {', '.join(ours)}"
    if layer is None and len(ours) > 1:
        raise InputError(f"{path} holds several layers of bimors classify", hint)
    chosen = ours[0] if layer is None else layer
    if chosen not in names:
        raise InputError(f"{path}: layer {chosen!r} not found", hint)
    if chosen not in ours:
        raise InputError(f"{path}: layer {chosen!r} was not written by bimors classify", hint)
    return chosen, (*_COLUMNS, *(field for field in fields[chosen] if _RUNNER_UP.fullmatch(field)))


def _choose(layer: ClassifiedLayer, scene: str | None) -> tuple[RecordedScene, str]:
    """Return the recorded scene and the path to open."""
    names = [recorded.name for recorded in layer.scenes]
    if scene is None:
        recorded = layer.scenes[0]
        if len(names) > 1:
            warn("%s has %d scenes, showing %s: choose another with --scene", layer.path, len(names), recorded.name)
        return recorded, _scene_path(layer, recorded)
    if file_name(scene) in names:
        recorded = layer.scenes[names.index(file_name(scene))]
        is_name = scene == recorded.name and not Path(scene).exists()
        return recorded, _scene_path(layer, recorded) if is_name else scene
    if len(names) > 1:
        raise InputError(
            f"{layer.path} has no scene named {file_name(scene)}", f"choose one with --scene: {', '.join(names)}"
        )
    return layer.scenes[0], scene  # another name: it is compared with the recorded raster once it is open


def _scene_path(layer: ClassifiedLayer, recorded: RecordedScene) -> str:
    if not is_local(file_of(recorded.path)):
        raise InputError(
            f"{layer.path}: its scene {display_name(recorded.path)} is not a local file",
            "give its address with --scene",
        )
    path = recorded.find(layer.path)
    if path is None:
        raise InputError(f"{layer.path}: its scene {recorded.path} does not exist", "give its path with --scene")
    return path


def _other(layer: ClassifiedLayer, recorded: RecordedScene) -> str:
    others = [other.name for other in layer.scenes if other.name != recorded.name]
    if others:
        return f"choose another scene with --scene: {', '.join(others)}"
    return "check whether all rows were deleted, or classify with --keep-empty"


def _text(value: Any) -> str | None:
    return unicodedata.normalize("NFC", value.strip()) or None if isinstance(value, str) else None
