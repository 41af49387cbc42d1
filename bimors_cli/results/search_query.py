"""What tiles are compared with: a text, tiles of the wanted kind and of others, as one vector."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import CLIP, Bundle, open_bundle
from bimors_cli.errors import InputError
from bimors_cli.output.image_features import read_features
from bimors_cli.results.classified_layer import ClassifiedLayer
from bimors_cli.run_warnings import warn
from bimors_cli.steps import LIBRARIES, step

# Weight of the tiles of another kind, see `rocchio`.
UNLIKE_WEIGHT: Final = 0.25
_LIKE: Final = "search by tiles instead of by a text: --like TILE_ID"
_UNKNOWN: Final = "give the tile_id of tiles that have a label"

# The ids of n tiles, and their features, any float [n, E].
Block = tuple[list[str], npt.NDArray[Any]]
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Given:
    """Tiles of the wanted kind, and tiles of other kinds, by their ids."""

    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()


@dataclass(frozen=True)
class Query:
    """The tiles to search in, and what to compare their features with by a dot product: a float32 vector [E]."""

    blocks: Iterator[Block]
    vector: Vector


def match_text(layer: ClassifiedLayer, text: str, model: str | None) -> Query:
    """Compare all tiles with a text: cosine similarity of CLIP's features of both.

    Raises
    ------
    InputError
        The layer has no features, or none that can be compared with a text; the bundle is not found or is another one;
        the text is too long.
    """
    blocks = read_features(layer.path, layer.name)
    first = next(blocks)  # raises for a layer without features before a model is loaded
    return Query(chain([first], blocks), _text_vector(layer, text, model, first[1].shape[1]))


def like_tiles(layer: ClassifiedLayer, given: Given, text: str | None = None, model: str | None = None) -> Query:
    """Compare all tiles but the given ones with these, and with a text if there is one.

    The vector is that of `rocchio`, of features that are `relative` to the mean of all tiles. The part of a text's
    feature that is perpendicular to this mean is added to it, both with length 1.

    Raises
    ------
    InputError
        The layer has no features, or none of a given tile; those of `match_text`.
    """
    with step(f"reading the features of {layer.path.name}"):
        centre, vectors = _survey(layer, frozenset((*given.like, *given.unlike)))
    for tile_id in (*given.like, *given.unlike):
        if tile_id not in vectors:
            raise InputError(f"{layer.path}: layer {layer.name!r} has no features of a tile {tile_id!r}", _UNKNOWN)
    liked, unliked = (
        relative(np.array([vectors[tile_id] for tile_id in ids]).reshape(len(ids), len(centre)), centre)
        for ids in (given.like, given.unlike)
    )
    query = rocchio(liked, unliked)
    if text is not None:
        along = unit(centre)
        words = _text_vector(layer, text, model, len(centre))
        query = unit(query + unit(words - (words @ along) * along))
    return Query(_others(layer, frozenset(vectors), centre), query)


def relative(features: npt.NDArray[Any], centre: npt.NDArray[Any]) -> Vector:
    """Subtract a centre, float [E], from features of length 1, any float [n, E], and make the length 1 again.

    CLIP's features of a scene lie in a narrow cone, so that any two have a high cosine. What distinguishes tiles is
    left after the mean of all of them is subtracted.
    """
    return unit(unit(features) - centre)


def rocchio(like: npt.NDArray[Any], unlike: npt.NDArray[Any]) -> Vector:
    """Return the query of tiles of the wanted kind and of others: float32 [E], of length 1.

    The mean of the wanted ones, minus `UNLIKE_WEIGHT` times that of the others (Rocchio 1971, Relevance feedback in
    information retrieval).

    Parameters
    ----------
    like, unlike : float array [n, E], [m, E]
        Features from `relative`, one row each; at least one is wanted.
    """
    query = like.mean(axis=0)
    return unit(query - UNLIKE_WEIGHT * unlike.mean(axis=0) if len(unlike) else query)


def unit(vectors: npt.NDArray[Any]) -> Vector:
    """Return vectors, any float [..., E], with length 1; a vector of zeros stays one."""
    numbers = vectors.astype(np.float32)
    found: Vector = numbers / np.maximum(np.linalg.norm(numbers, axis=-1, keepdims=True), 1e-12)
    return found


def _survey(layer: ClassifiedLayer, wanted: Collection[str]) -> tuple[Vector, dict[str, Vector]]:
    """Return the mean of the features of all tiles, each of length 1, and the features of some, of length 1."""
    total, count = np.zeros(1), 0
    vectors: dict[str, Vector] = {}
    for ids, features in read_features(layer.path, layer.name):
        units = unit(features)
        total = total + units.sum(axis=0, dtype=np.float64)
        count += len(ids)
        vectors |= {tile_id: units[row] for row, tile_id in enumerate(ids) if tile_id in wanted}
    return np.asarray(total / count, np.float32), vectors


def _others(layer: ClassifiedLayer, tile_ids: Collection[str], centre: Vector) -> Iterator[Block]:
    """Yield the features of all tiles but some, relative to a centre."""
    for ids, features in read_features(layer.path, layer.name):
        rows = [row for row, tile_id in enumerate(ids) if tile_id not in tile_ids]
        yield [ids[row] for row in rows], relative(features[rows], centre)


def _text_vector(layer: ClassifiedLayer, text: str, model: str | None, width: int) -> Vector:
    """Return CLIP's feature of a text, of length 1; its number of values is that of the tiles' features."""
    if not layer.run.compares_texts:
        raise InputError(f"{layer.path}: its tiles were classified without CLIP's image features", _LIKE)
    bundle = _open_bundle(layer, model)
    vector = _encode(bundle, text)
    if len(vector) != width:
        raise InputError(f"{layer.path}: its features do not match the bundle {bundle.name}", _LIKE)
    return vector


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


def _encode(bundle: Bundle, query: str) -> Vector:
    """Return CLIP's normalised feature of a query, float32 [E], encoded as a zero-shot label is."""
    from bimors_cli.labels import Label, Labels

    with step(LIBRARIES):
        from bimors_cli.model.clip import Clip

    words = " ".join(query.split()).rstrip(".")
    unknown = bundle.unknown_words(words)
    if unknown:
        listed = ", ".join(map(repr, unknown))
        warn("low reliability for this query: the model was not trained on %s; use other words, or --like", listed)
    with step(f"loading the model {bundle.name}"):
        clip = Clip.load(bundle.part(CLIP), bundle.bands)
    try:
        clip.name_tokens(Labels((Label(words),)), clip.embed_words(bundle.context).shape[0])
    except InputError as error:
        raise InputError("the query exceeds the context length of the model", "use fewer words") from error
    feature: Vector = clip.encode_text([f"{bundle.context} {words}."])[0].numpy()
    return feature
