"""`finetune --head auto` against a random forest on scenes with labels, and on the features of two real models.

Run from the root of the repository: ``python -m tests.benchmarks.own_scenes SHARED --cache FOLDER``. Prints tables.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from scipy.special import log_softmax
from sklearn.ensemble import RandomForestClassifier

from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import open_bundle
from bimors_cli.fewshot.expected_accuracy import ExpectedAccuracy
from bimors_cli.fewshot.probabilities import class_weights
from bimors_cli.fewshot.scaling import Scaling
from bimors_cli.fewshot.view_classifier import fit_view
from bimors_cli.options.class_names import ClassNames
from bimors_cli.options.scene import SceneOptions
from bimors_cli.options.views import IMAGE_START, SCENE_START, VIEWS
from bimors_cli.pipeline.inference.load import load_models
from bimors_cli.pipeline.inference.view_encoder import ViewEncoder
from bimors_cli.pipeline.scene_views import adapter_views, available_views, data_bands
from bimors_cli.scene.statistics import OF_BAND
from bimors_cli.training.examples.base import Example, Examples
from bimors_cli.training.examples.label_raster import from_label_raster
from bimors_cli.training.examples.polygons import from_polygons
from bimors_cli.training.examples.scene_tiles import tiles_of
from bimors_cli.training.views.collect import Values, collect_views, sample_statistics
from bimors_cli.training.views.learn import Learned, learn

SHOTS: Final = (3, 5, 16, 50)
WHU_SHOTS: Final = (1, 2, 5, 16)
DRAWS: Final = 5
TREES: Final = 500
BINS: Final = 15
ROUNDING: Final = 1e-9
WHU_MODELS: Final = {"CLIP": "whurs19_clip_vit_b_32", "RemoteCLIP": "whurs19_remoteclip_vit_b_32"}

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]
Learn = Callable[..., Learned]


@dataclass(frozen=True)
class Scene:
    """A scene with labels.

    ``examples`` makes its labelled tiles of a folder, a tile size and the input size of the model. ``block`` is the
    side of a block of the checkerboard in tiles; None for a sixth of the shorter side of the scene. ``all_classes``:
    only numbers of examples that every class has in both halves.
    """

    name: str
    tile_sizes: tuple[int, ...]
    examples: Callable[[Path, int, int], Examples]
    block: int | None = None
    all_classes: bool = False


@dataclass(frozen=True)
class Tiles:
    """The labelled tiles of a scene, what is known of each, and what is usual on the scene.

    ``half`` is the half of the checkerboard, 0 or 1; ``plain`` is how many of the numbers of the view ``bands``
    describe one band.
    """

    labels: Labels
    groups: npt.NDArray[np.str_]
    half: Labels
    plain: int
    classes: int
    views: Mapping[str, Values]
    usual: Mapping[str, Values]


@dataclass(frozen=True)
class Answers:
    """What was answered for the test examples of one draw: probabilities [n, K] of both, and the rest of a row."""

    labels: Labels
    auto: Array
    other: Array
    single: Mapping[str, float]
    chosen: tuple[str, ...]
    expected: ExpectedAccuracy | None
    classes: int


@dataclass(frozen=True)
class Row:
    """The draws of a scene, a tile size and a number of examples; accuracies are fractions, means over the draws."""

    scene: str
    tile_size: int
    shots: int
    draws: tuple[Answers, ...]

    @property
    def auto(self) -> float:
        return float(np.mean([accuracy(draw.auto, draw.labels) for draw in self.draws]))

    @property
    def other(self) -> float:
        """Of the random forest, or without examples."""
        return float(np.mean([accuracy(draw.other, draw.labels) for draw in self.draws]))

    @property
    def difference(self) -> float:
        return self.auto - self.other

    @property
    def half_a_tile(self) -> float:
        """Half a tile of a mean test set."""
        return 0.5 / float(np.mean([len(draw.labels) for draw in self.draws]))

    @property
    def best_single(self) -> tuple[str, float]:
        """The single view with the best mean, which only the test examples know."""
        names = self.draws[0].single
        means = {name: float(np.mean([draw.single[name] for draw in self.draws])) for name in names}
        best = max(means, key=lambda name: means[name])
        return best, means[best]

    @property
    def chosen(self) -> tuple[str, int]:
        ((views, count),) = Counter(draw.chosen for draw in self.draws).most_common(1)
        return " + ".join(views), count

    @property
    def expected(self) -> float:
        return float(np.mean([draw.expected.value for draw in self.draws if draw.expected is not None] or [np.nan]))

    def held(self, balanced: bool) -> tuple[int, int]:
        """How many intervals hold the accuracy on the test examples (every class the same, or every tile), of all."""
        measure = balanced_accuracy if balanced else accuracy
        known = [draw for draw in self.draws if draw.expected is not None]
        measured = [(draw.expected, measure(draw.auto, draw.labels)) for draw in known]
        held = [expected.low - ROUNDING <= value <= expected.high + ROUNDING for expected, value in measured]
        return sum(held), len(held)

    def ece(self, auto: bool = True) -> float:
        """Of the answers of all draws together: the few tiles of one draw would give the noise of their bins."""
        p = np.concatenate([draw.auto if auto else draw.other for draw in self.draws])
        return calibration_error(p, np.concatenate([draw.labels for draw in self.draws]))


def accuracy(p: Array, labels: Labels) -> float:
    return float((p.argmax(axis=1) == labels).mean())


def balanced_accuracy(p: Array, labels: Labels) -> float:
    correct = p.argmax(axis=1) == labels
    return float(np.mean([correct[labels == label].mean() for label in np.unique(labels)]))


def calibration_error(p: Array, labels: Labels) -> float:
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == labels
    part = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(part, correct - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def zion(folder: Path, size: int, image_size: int) -> Examples:
    names = ClassNames.of({31: "barren land", 41: "deciduous forest", 42: "evergreen forest", 52: "shrubland"})
    return from_label_raster(
        [str(folder / "zion" / "zion_landsat8.tif")],
        str(folder / "zion" / "zion_nlcd2011.tif"),
        image_size=image_size,
        options=SceneOptions(tile_size=str(size), bidx=(3, 2, 1)),
        min_overlap=0.6,
        names=names,
    )


def rondonia(folder: Path, size: int, image_size: int) -> Examples:
    return from_polygons(
        [str(folder / "rondonia" / "LC08_232066_20190727.tif")],
        str(folder / "rondonia" / "endmembers.shp"),
        "class",
        image_size=image_size,
        options=SceneOptions(tile_size=str(size), bidx=(3, 2, 1)),
        names=ClassNames.of({0: "water", 1: "town", 2: "forest", 3: "pasture"}),
    )


def redfox(folder: Path, size: int, image_size: int) -> Examples:
    return from_polygons(
        [str(folder / "redfox" / "river_subset.tif")],
        str(folder / "redfox" / "training_data.shp"),
        "label",
        image_size=image_size,
        options=SceneOptions(tile_size=str(size)),
    )


SCENES: Final = (
    Scene("zion", (16,), zion, block=8, all_classes=True),
    Scene("rondonia", (4, 8), rondonia),
    Scene("redfox", (8, 16), redfox),
)


def collect(scene: Scene, size: int, shared: Path, cache: Path | None) -> Tiles:
    """Compute the views of all labelled tiles of a scene, or read them from the cache."""
    path = None if cache is None else cache / f"{scene.name}_{size}.npz"
    if path is not None and path.is_file():
        with np.load(path) as stored:
            return _unpack(dict(stored))
    bundle = open_bundle(find_bundle("mini"))
    examples = scene.examples(shared / "scenes" / "labelled", size, bundle.image_size)
    tiles = tiles_of(examples)
    assert tiles is not None
    plan = tiles.scenes[0]
    available = {*available_views(tiles.scenes), "names"}
    views = adapter_views(tuple(name for name in VIEWS if name in available), tiles.scenes)
    models = load_models(bundle, "cpu", captions=False)
    encoder = ViewEncoder.create(models, views.names, examples.labels)
    found = collect_views(examples, tiles, views, encoder, lambda count: None)
    usual = sample_statistics(tiles, views, 0.5)
    kept = [examples.examples[row] for row in found.rows]
    cells = [plan.grid[tiles.tiles[row].index] for row in found.rows]
    side = min(plan.info.width, plan.info.height) / 6 if scene.block is None else scene.block * size
    half = [int(((t.x + t.width / 2) // side + (t.y + t.height / 2) // side) % 2) for t in cells]
    packed = {
        "labels": np.array([example.label for example in kept], np.intp),
        "groups": np.array([example.group or example.source_id for example in kept]),
        "half": np.array(half, np.intp),
        "plain": np.array(len(OF_BAND) * len(data_bands(plan.info))),
        "classes": np.array(len(examples.labels)),
        **{f"view {name}": values for name, values in found.views.items()},
        **{f"usual {name}": values for name, values in usual.items()},
    }
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **packed)
    return _unpack(packed)


def _unpack(packed: Mapping[str, npt.NDArray[Any]]) -> Tiles:
    def part(prefix: str) -> dict[str, Values]:
        return {name.removeprefix(prefix): values for name, values in packed.items() if name.startswith(prefix)}

    single = int(packed["plain"]), int(packed["classes"])
    return Tiles(packed["labels"], packed["groups"], packed["half"], *single, part("view "), part("usual "))


def numbers_of_examples(scene: Scene, tiles: Tiles) -> tuple[int, ...]:
    """Return the numbers of examples a class that the halves allow, without those that would draw the same again."""
    counts = np.array([np.bincount(tiles.labels[tiles.half == half], minlength=tiles.classes) for half in (0, 1)])
    if scene.all_classes:
        return tuple(shots for shots in SHOTS if shots <= counts.min())
    return tuple(shots for before, shots in zip((0, *SHOTS), SHOTS, strict=False) if counts.max() > before)


def draw(labels: Labels, rows: Labels, shots: int, seed: Sequence[int]) -> Labels:
    """Draw so many of the rows of each class, or what there is."""
    random = np.random.default_rng(seed)
    drawn = [random.permutation(rows[labels[rows] == label])[:shots] for label in np.unique(labels[rows])]
    return np.sort(np.concatenate(drawn))


def examples_of(labels: Labels, groups: Sequence[str]) -> tuple[Example, ...]:
    return tuple(
        Example(int(label), str(row), group=str(group))
        for row, (label, group) in enumerate(zip(labels, groups, strict=True))
    )


def compare(tiles: Tiles, shots: int, number: int, learner: Learn = learn, stored: Path | None = None) -> Answers:
    """Learn from examples of one half, and classify all labelled tiles of the other.

    ``stored`` is the file that keeps the answers of the forest: it takes longer than all else.
    """
    own = np.flatnonzero(tiles.half == number % 2)
    test = np.flatnonzero(tiles.half != number % 2)
    train = draw(tiles.labels, own, shots, (shots, number))
    views = {name: values[train] for name, values in tiles.views.items()}
    tested = {name: values[test] for name, values in tiles.views.items()}
    examples = examples_of(tiles.labels[train], tiles.groups[train].tolist())
    start = tuple(name for name in SCENE_START if name in views)
    learned = learner(views, examples, tiles.classes, start, tiles.usual, seed=number)
    other = _forest(tiles, train, test, number, stored)
    return Answers(
        tiles.labels[test],
        np.exp(learned.ensemble.log_probabilities(tested)),
        other,
        _singles(views, tested, tiles.labels[train], tiles.labels[test], tiles.classes, learned, tiles.usual),
        learned.selection.chosen.views,
        learned.expected,
        tiles.classes,
    )


def _forest(tiles: Tiles, train: Labels, test: Labels, number: int, stored: Path | None) -> Array:
    """Return the probabilities [n, K] of a random forest on means, deviations and deciles of the bands."""
    if stored is not None and stored.is_file():
        kept: Array = np.load(stored)
        return kept
    numbers = tiles.views["bands"][:, : tiles.plain]
    forest = RandomForestClassifier(TREES, random_state=number).fit(numbers[train], tiles.labels[train])
    found = np.zeros((len(test), tiles.classes))
    found[:, forest.classes_] = forest.predict_proba(numbers[test])
    if stored is not None:
        np.save(stored, found)
    return found


def _singles(
    views: Mapping[str, Values],
    tested: Mapping[str, Values],
    labels: Labels,
    truth: Labels,
    classes: int,
    learned: Learned,
    usual: Mapping[str, Values],
) -> dict[str, float]:
    """Return the accuracy of each view alone, fitted as `learn` fits it."""
    weights = class_weights(labels, np.ones(len(labels)), classes)
    found = {}
    for name, values in views.items():
        scaling = Scaling.of(usual[name].astype(np.float64)) if name in usual else None
        fitted = fit_view(VIEWS[name].kind, values, labels, weights, classes, learned.folds, scaling)
        found[name] = accuracy(fitted.classifier.log_probabilities(tested[name]), truth)
    return found


def scene_rows(shared: Path, cache: Path | None, draws: int = DRAWS, learner: Learn = learn) -> Iterator[Row]:
    """Compare on all scenes."""
    for scene in SCENES:
        for size in scene.tile_sizes:
            tiles = collect(scene, size, shared, cache)
            halves = [np.bincount(tiles.labels[tiles.half == half], minlength=tiles.classes) for half in (0, 1)]
            say(f"{scene.name}, {size} px: tiles by class in each half {halves[0].tolist()}, {halves[1].tolist()}")
            for shots in numbers_of_examples(scene, tiles):
                clock = time.perf_counter()
                forests = [
                    None if cache is None else cache / f"{scene.name}_{size}_forest_{shots}_{number}.npy"
                    for number in range(draws)
                ]
                answers = [compare(tiles, shots, number, learner, path) for number, path in enumerate(forests)]
                yield Row(scene.name, size, shots, tuple(answers))
                say(f"  {shots} examples a class: {time.perf_counter() - clock:.1f} s")


def whu_rows(shared: Path, draws: int = DRAWS, learner: Learn = learn) -> Iterator[Row]:
    """Compare with the zero-shot answer on the features of WHU-RS19; what is not drawn is tested."""
    for model, file in WHU_MODELS.items():
        stored = load_file(shared / "features" / f"{file}.safetensors")
        image = _normalised(stored["image_features"].astype(np.float64))
        names = _normalised(_normalised(stored["text_features"].astype(np.float64)).mean(axis=0))
        views = {
            "image": image.astype(np.float32),
            "names": log_softmax(100 * image @ names.T, axis=1).astype(np.float32),
        }
        labels = stored["labels"].astype(np.intp)
        everything = np.arange(len(labels))
        say(f"{model}: zero-shot {100 * accuracy(views['names'], labels):.2f} % of all {len(labels)}")
        for shots in WHU_SHOTS:
            yield Row(
                model,
                0,
                shots,
                tuple(_whu(views, labels, everything, len(names), shots, each, learner) for each in range(draws)),
            )


def _whu(
    views: Mapping[str, Values], labels: Labels, rows: Labels, classes: int, shots: int, number: int, learner: Learn
) -> Answers:
    train = draw(labels, rows, shots, (shots, number))
    test = np.setdiff1d(rows, train)
    own = {name: values[train] for name, values in views.items()}
    tested = {name: values[test] for name, values in views.items()}
    examples = examples_of(labels[train], [""] * len(train))
    learned = learner(own, examples, classes, IMAGE_START, {}, seed=number)
    return Answers(
        labels[test],
        np.exp(learned.ensemble.log_probabilities(tested)),
        np.exp(tested["names"].astype(np.float64)),
        _singles(own, tested, labels[train], labels[test], classes, learned, {}),
        learned.selection.chosen.views,
        learned.expected,
        classes,
    )


def _normalised(values: Array) -> Array:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def table(rows: Sequence[Row], other: str) -> Iterator[str]:
    """Format rows as a table in Markdown, with the means of its columns."""
    sized = any(row.tile_size for row in rows)
    yield (
        f"| {'scene | tile, px' if sized else 'model'} | examples a class | {other} % | auto % | difference | "
        f"best single view % | ECE of auto | ECE of the {other} | chosen most often | expected % | held |"
    )
    yield "|---|" + ("---:|" if sized else "") + "---:|" * 4 + "---|---:|---:|---|---:|---|"
    for row in rows:
        single, best = row.best_single
        views, count = row.chosen
        balanced, of = row.held(balanced=True)
        held = f"{balanced} / {row.held(balanced=False)[0]} of {of}"
        yield (
            f"| {row.scene} |{f' {row.tile_size} |' if sized else ''} {row.shots} | {100 * row.other:.1f} | "
            f"{100 * row.auto:.1f} | {100 * row.difference:+.2f} | {single} {100 * best:.1f} | {100 * row.ece():.1f} | "
            f"{100 * row.ece(auto=False):.1f} | {views} ({count}) | {100 * row.expected:.1f} | {held} |"
        )
    mean = {
        name: 100 * float(np.nanmean([get(row) for row in rows]))
        for name, get in {
            "other": lambda row: row.other,
            "auto": lambda row: row.auto,
            "difference": lambda row: row.difference,
            "single": lambda row: row.best_single[1],
            "ece": lambda row: row.ece(),
            "ece other": lambda row: row.ece(auto=False),
            "expected": lambda row: row.expected,
        }.items()
    }
    balanced, plain, of = np.sum([(*row.held(True), *row.held(False)) for row in rows], axis=0)[[0, 2, 1]]
    yield (
        f"| mean |{' |' if sized else ''} | {mean['other']:.1f} | {mean['auto']:.1f} | {mean['difference']:+.2f} | "
        f"{mean['single']:.1f} | {mean['ece']:.1f} | {mean['ece other']:.1f} | | {mean['expected']:.1f} | "
        f"{balanced} / {plain} of {of} |"
    )


def misses(rows: Sequence[Row]) -> Iterator[str]:
    """Say which goals the scenes miss."""
    for row in rows:
        where = f"{row.scene}, {row.tile_size} px, {row.shots} examples a class"
        if row.difference < -row.half_a_tile:
            yield f"{where}: {-100 * row.difference:.2f} points less than the forest"
        single, best = row.best_single
        if row.auto < best - 0.01:
            yield f"{where}: {100 * (best - row.auto):.2f} points less than {single} alone"
        if row.shots >= 5 and row.ece() > 0.06:
            yield f"{where}: ECE {100 * row.ece():.2f} points"


# With 5 examples a class of WHU-RS19.
WHU_GOALS: Final = {"CLIP": 0.963, "RemoteCLIP": 0.977}


def whu_misses(rows: Sequence[Row]) -> Iterator[str]:
    """Say which goals the features miss."""
    for row in rows:
        if row.shots == 5 and row.auto < WHU_GOALS[row.scene]:
            yield f"{row.scene}, 5 examples a class: {100 * row.auto:.2f} %, the goal is {100 * WHU_GOALS[row.scene]} %"
        if row.shots == 1:
            for number, each in enumerate(row.draws):
                lost = accuracy(each.other, each.labels) - accuracy(each.auto, each.labels)
                if lost > 0:
                    yield f"{row.scene}, 1 example a class, draw {number}: {100 * lost:.2f} points less than zero-shot"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="own_scenes", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("shared", type=Path, help="folder that holds scenes/labelled and features")
    parser.add_argument("--cache", type=Path, help="folder for views and forests; empty it after a change of these")
    parser.add_argument("--draws", type=int, default=DRAWS)
    given = parser.parse_args(arguments)
    logging.getLogger("bimors").setLevel(logging.ERROR)
    rows = list(scene_rows(given.shared, given.cache, given.draws))
    print("\n".join(table(rows, "forest")), end="\n\n")
    features = list(whu_rows(given.shared, given.draws))
    print("\n".join(table(features, "zero-shot")), end="\n\n")
    missed = [*misses(rows), *whu_misses(features)]
    print("\n".join(f"missed: {miss}" for miss in missed) or "all goals are reached")
    return 0


if __name__ == "__main__":
    sys.exit(main())
