"""Search for tiles by text or by tiles like them: cosine similarity of a query and the features that a run saved."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import CLIP, Bundle, open_bundle
from bimors_cli.errors import InputError
from bimors_cli.options.search import SearchOptions
from bimors_cli.output.classified_schema import INTEGER, REAL, TEXT, make_frame
from bimors_cli.output.formats import STDOUT, WGS84, Format, check_layer, guess_format, write_layer
from bimors_cli.output.geopackage import read_layer
from bimors_cli.output.image_features import read_features
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.sequence import write_sequence
from bimors_cli.output.style import Style, score_qml
from bimors_cli.provenance import RunProvenance
from bimors_cli.results.classified_layer import ClassifiedLayer, read_classified_layer
from bimors_cli.scene.polygons import Polygons, reproject, tile_polygons

if TYPE_CHECKING:
    import geopandas

SCORE_DECIMALS: Final = 4
# So many ids stay far below SQLite's limit on the length of a statement.
IDS_PER_STATEMENT: Final = 500
_LIKE: Final = "search by tiles instead of by a text: --like TILE_ID"

log = logging.getLogger("bimors")

# The ids of n tiles, and their features, any float [n, E].
Block = tuple[list[str], npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Hit:
    """A tile that was found: ``rank`` from 1, ``score`` its cosine similarity; the other fields as in the layer."""

    rank: int
    score: float
    tile_id: str
    scene: str
    row: int
    col: int
    label: str | None
    caption: str | None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)


def search(options: SearchOptions, command: Sequence[str] = ("bimors_cli.search",)) -> list[Hit]:
    """Find the tiles of a layer most similar to a text or to tiles, and write them as a layer if an output is given.

    The score is the cosine similarity of a query and the tile's feature. The query of a text is CLIP's text feature of
    "a photo of a QUERY." (with the bundle's own context words); that of tiles is the mean of their features, and these
    tiles are left out. Of equal scores the earlier tile comes first. Tiles that were deleted from the layer are left
    out. Scenes are not opened: polygons come from the recorded grid and transform.

    Returns
    -------
    list of Hit
        At most ``options.top``, best first.

    Raises
    ------
    InputError
        The file was not written by `classify`, or holds no features (of the given tiles); its features cannot be
        compared with a text, or the bundle that encoded them is not found; the query is too long; the output exists.
    BundleError
        The bundle is damaged.
    OutputError
        The output cannot be written.
    """
    options.check_required()
    layer = read_classified_layer(options.file, options.layer)
    output = None if options.output is None else _Output(layer, options, command)
    if output is not None:
        output.check()
    hits = _find_hits(layer, options)
    if output is not None:
        output.write(hits)
    return hits


def _find_hits(layer: ClassifiedLayer, options: SearchOptions) -> list[Hit]:
    """Rank the tiles of a layer by their features."""
    if options.query is None:
        blocks, query = _like(layer, options.like)
    else:
        blocks, query = _matching(layer, options.query, options.model)
    ids, scores = best_tiles(blocks, query, options.top)
    rows = _read_rows(layer, ids)
    found = [(score, tile_id) for score, tile_id in zip(scores.tolist(), ids, strict=True) if tile_id in rows]
    return [
        Hit(rank, round(score, SCORE_DECIMALS), tile_id, **rows[tile_id])
        for rank, (score, tile_id) in enumerate(found, start=1)
    ]


def _matching(layer: ClassifiedLayer, text: str, model: str | None) -> tuple[Iterator[Block], npt.NDArray[np.float32]]:
    """Return the features of all tiles, and that of a text."""
    blocks = read_features(layer.path, layer.name)
    first = next(blocks)  # raises for a layer without features before a model is loaded
    if not layer.run.compares_texts:
        raise InputError(f"{layer.path}: its tiles were classified without CLIP's image features", _LIKE)
    bundle = _open_bundle(layer, model)
    query = _encode_query(bundle, text)
    if first[1].shape[1] != len(query):
        raise InputError(f"{layer.path}: its features do not match the bundle {bundle.name}", _LIKE)
    return chain([first], blocks), query


def _like(layer: ClassifiedLayer, tile_ids: Sequence[str]) -> tuple[Iterator[Block], npt.NDArray[np.float32]]:
    """Return the features of all tiles but some, of length 1, and the mean of those of these tiles, of length 1."""
    wanted = frozenset(tile_ids)
    given: dict[str, npt.NDArray[np.float32]] = {}
    for ids, vectors in read_features(layer.path, layer.name):
        given |= {tile_id: _unit(vectors[row]) for row, tile_id in enumerate(ids) if tile_id in wanted}
    unknown = [tile_id for tile_id in tile_ids if tile_id not in given]
    if unknown:
        raise InputError(
            f"{layer.path}: layer {layer.name!r} has no features of a tile {unknown[0]!r}",
            "give the tile_id of tiles that have a label, separated by commas",
        )
    return _others(layer, wanted), _unit(np.mean(list(given.values()), axis=0))


def _others(layer: ClassifiedLayer, tile_ids: frozenset[str]) -> Iterator[Block]:
    """Yield the features of all tiles but some, of length 1."""
    for ids, vectors in read_features(layer.path, layer.name):
        rows = [row for row, tile_id in enumerate(ids) if tile_id not in tile_ids]
        yield [ids[row] for row in rows], _unit(vectors[rows])


def _unit(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return vectors [..., E] with a length of 1, which half precision loses; a vector of zeros stays one."""
    numbers = vectors.astype(np.float32)
    found: npt.NDArray[np.float32] = numbers / np.maximum(np.linalg.norm(numbers, axis=-1, keepdims=True), 1e-12)
    return found


def best_tiles(
    blocks: Iterable[Block], query: npt.NDArray[np.float32], count: int
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Find the tiles whose features have the largest dot product with a query, one block in memory at a time.

    Parameters
    ----------
    blocks : iterable of (ids, features)
        Features are any float [n, E].
    query : float32 array [E]
        Feature of the query.
    count : int
        How many tiles to return.

    Returns
    -------
    ids, scores : list of str, float32 array
        Best first; of equal scores the earlier tile comes first.
    """
    best: list[str] = []
    scores = np.empty(0, np.float32)
    for ids, features in blocks:
        candidates = [*best, *ids]
        products = np.concatenate([scores, features.astype(np.float32) @ query])
        order = np.argsort(-products, kind="stable")[:count]
        best, scores = [candidates[index] for index in order.tolist()], products[order]
    return best, scores


def _open_bundle(layer: ClassifiedLayer, model: str | None) -> Bundle:
    """Open the bundle that encoded the features."""
    recorded = layer.run.bundle
    try:
        bundle = open_bundle(find_bundle(model or str(recorded["name"])))
    except InputError as error:
        raise InputError(
            f"{layer.path}: its image features need the bundle {recorded['name']}: {error.message}",
            "give that bundle with --model DIR",
        ) from error
    if bundle.sha256 != recorded["sha256"]:
        raise InputError(
            f"{layer.path}: its image features were made with another bundle {recorded['name']} "
            f"({str(recorded['sha256'])[:12]}) than {bundle.folder} ({bundle.sha256[:12]})",
            "give that bundle with --model DIR, or run bimors classify --keep-features again",
        )
    return bundle


def _encode_query(bundle: Bundle, query: str) -> npt.NDArray[np.float32]:
    """Return CLIP's normalised feature of a query, float32 [E], encoded as a zero-shot label is."""
    from bimors_cli.labels import Label, Labels
    from bimors_cli.model.clip import Clip

    words = " ".join(query.split()).rstrip(".")
    unknown = bundle.unknown_words(words)
    if unknown:
        listed = ", ".join(map(repr, unknown))
        log.warning("low reliability for this query: the model was not trained on %s", listed)
    clip = Clip.load(bundle.part(CLIP), bundle.bands)
    try:
        clip.name_tokens(Labels((Label(words),)), clip.embed_words(bundle.context).shape[0])
    except InputError as error:
        raise InputError("the query exceeds the context length of the model", "use fewer words") from error
    feature: npt.NDArray[np.float32] = clip.encode_text([f"{bundle.context} {words}."])[0].numpy()
    return feature


def _read_rows(layer: ClassifiedLayer, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read scene, row, col, label and caption of tiles, by their ids; deleted tiles are missing."""
    rows: dict[str, dict[str, Any]] = {}
    names = ["scene", "row", "col", "label", "caption"]
    for start in range(0, len(ids), IDS_PER_STATEMENT):
        listed = ", ".join("'" + tile_id.replace("'", "''") + "'" for tile_id in ids[start : start + IDS_PER_STATEMENT])
        frame = read_layer(layer.path, layer.name, ["tile_id", *names], where=f"tile_id IN ({listed})")
        for tile_id, *values in zip(*(frame[column].tolist() for column in ["tile_id", *names]), strict=True):
            rows[tile_id] = {
                name: None if value != value else value  # a null text is read as NaN
                for name, value in zip(names, values, strict=True)
            }
    return rows


class _Output:
    """The layer of the tiles that were found."""

    def __init__(self, layer: ClassifiedLayer, options: SearchOptions, command: Sequence[str]) -> None:
        self._layer, self._options, self._command = layer, options, command
        self._path = Path(str(options.output))
        self._format: Format = guess_format(self._path, options.format)

    def check(self) -> None:
        """Check that the layer can be written, before anything is computed."""
        if self._path != STDOUT:
            check_layer(self._path, self._format, self._schema([]), overwrite=self._options.overwrite)

    def write(self, hits: Sequence[Hit]) -> None:
        """Write the layer to the file or to standard output."""
        schema = self._schema(hits)
        chunks = [self._frame(hits, schema)]
        if self._path == STDOUT:
            write_sequence(sys.stdout, chunks, schema, rs=self._format.rs)
        else:
            write_layer(self._path, chunks, self._format, schema, overwrite=self._options.overwrite)

    def _schema(self, hits: Sequence[Hit]) -> TileSchema:
        run = replace(
            RunProvenance.of_command(self._command),
            query=self._options.query,
            like=self._options.like or None,
            query_bundle=self._layer.run.bundle,
        )
        crs = CRS.from_user_input(WGS84 if self._format.wgs84 else self._layer.run_key["crs"])
        scores = [hit.score for hit in hits] or [0.0]
        return TileSchema(
            self._options.output_layer,
            crs.to_wkt(),
            {**TILE_COLUMNS, "rank": INTEGER, "score": REAL, "label": TEXT, "caption": TEXT},
            Style("score", score_qml(min(scores), max(scores)), "similarity to the query, by bimors"),
            run.to_metadata(),
            crs.is_geographic,
        )

    def _frame(self, hits: Sequence[Hit], schema: TileSchema) -> geopandas.GeoDataFrame:
        scenes = {recorded.name: recorded for recorded in self._layer.scenes}
        crs = CRS.from_wkt(schema.crs_wkt)
        polygons: Polygons = np.full(len(hits), None, object)
        for index, hit in enumerate(hits):
            scene = scenes[hit.scene]
            tile = scene.grid.tile(hit.row, hit.col)
            polygons[index] = reproject(tile_polygons([tile], scene.transform), CRS.from_wkt(scene.crs_wkt), crs)[0]
        return make_frame({name: [getattr(hit, name) for hit in hits] for name in schema.columns()}, polygons, schema)
