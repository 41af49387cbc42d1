"""Which templates, and which way to join them and the names of a label, the zero-shot head should have by default.

Run from the root of the repository: ``python -m tests.benchmarks.zero_shot_defaults SHARED``. Prints tables. Everything
is measured on the features of WHU-RS19 that real CLIPs made, and a choice is tested on the models that it was not made
on. Differences have 95 % intervals from resampled classes, not pictures: other data sets have other classes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from scipy.special import log_softmax, logsumexp

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]

# The files do not have the models' own scale; both were trained with CLIP's, which ends at its limit.
SCALE: Final = 100.0
RESAMPLES: Final = 4000
DRAWS: Final = 50
# More templates than the default had when this was measured are shown, but not chosen: each encodes all names again.
MOST_TEMPLATES: Final = 12

IMAGES: Final = ("an aerial image of", "a satellite image of", "a remote sensing image of")
_THINGS: Final = ("cool", "hard to see", "large", "nice", "small", "weird")
_QUALITIES: Final = (
    "bad", "black and white", "blurry", "bright", "close-up", "cropped", "dark", "good", "jpeg corrupted",
    "low resolution",
)  # fmt: skip


def _images_of(*phrases: str) -> tuple[str, ...]:
    return tuple(f"{image} {phrase}" for phrase in phrases for image in IMAGES)


def _qualities(article: str) -> tuple[str, ...]:
    kinds = (image.partition(" ")[2] for image in IMAGES)
    return tuple(f"a {quality} {kind} {article}" for kind in kinds for quality in _QUALITIES)


def _things(article: str) -> tuple[str, ...]:
    return _images_of(*(f"{article} {thing}" for thing in _THINGS))


# Former default: four of its twelve templates have features.
FORMER: Final = "former default, 4 of 12"
CHOSEN: Final = "a, the, many"
# Templates by their kind, without the name of the class and the full stop.
SETS: Final[Mapping[str, tuple[str, ...]]] = {
    FORMER: ("a satellite photo of a", *_images_of("a")),
    "one": ("a satellite photo of a",),
    "a": _images_of("a"),
    "the": _images_of("the"),
    "many": _images_of("many"),
    "a, the": _images_of("a", "the"),
    CHOSEN: _images_of("a", "the", "many"),
    "a THING": _things("a"),
    "the THING": _things("the"),
    "a QUALITY image of a": _qualities("a"),
    "a QUALITY image of the": _qualities("the"),
    "all": (
        "a satellite photo of a", *_images_of("a", "the", "many"), *_things("a"), *_things("the"), *_qualities("a"),
        *_qualities("the"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Model:
    """Features of a model, normalised: ``image`` [N, E] with ``labels`` [N], ``text`` [T, K, E] of ``templates``."""

    name: str
    image: Array
    labels: Labels
    text: Array
    templates: tuple[str, ...]

    def of(self, templates: Sequence[str]) -> Array:
        """Return the text features of some templates, [t, K, E]."""
        return self.text[[self.templates.index(template) for template in templates]]


@dataclass(frozen=True)
class Measured:
    """``correct`` (0 or 1) and ``loss`` (cross-entropy) of each picture, [N], with its class ``labels`` [N]."""

    correct: Array
    loss: Array
    labels: Labels


def read_models(features: Path) -> tuple[Model, ...]:
    """Read all models of a folder."""
    templates = tuple(json.loads((features / "whurs19.json").read_text())["templates"])
    found = []
    for path in sorted(features.glob("whurs19_*.safetensors")):
        stored = load_file(path)
        image, text = (unit(stored[name].astype(np.float64)) for name in ("image_features", "text_features"))
        found.append(Model(path.stem.split("_")[1], image, stored["labels"].astype(np.intp), text, templates))
    return tuple(found)


def unit(values: Array) -> Array:
    """Divide vectors [..., E] by their length."""
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def mean_feature(image: Array, text: Array) -> Array:
    """As the zero-shot head does: logits [N, K] from the mean of the text features [T, K, E], normalised."""
    return SCALE * image @ unit(text.mean(axis=0)).T


def mean_cosine(image: Array, text: Array) -> Array:
    """Logits [N, K] from the mean of the cosines with each template."""
    return SCALE * image @ text.mean(axis=0).T


def mean_probability(image: Array, text: Array) -> Array:
    """Logarithms [N, K] of the mean of the probabilities by each template."""
    return logsumexp(log_softmax(SCALE * np.einsum("ne,tke->tnk", image, text), axis=2), axis=0) - np.log(len(text))


def best_template(image: Array, text: Array) -> Array:
    """Logits [N, K] from the largest cosine of the templates."""
    return SCALE * np.einsum("ne,tke->tnk", image, text).max(axis=0)


Rule = Callable[[Array, Array], Array]
MEAN_FEATURE: Final = "mean feature"
RULES: Final[Mapping[str, Rule]] = {
    MEAN_FEATURE: mean_feature,
    "mean cosine": mean_cosine,
    "mean probability": mean_probability,
    "best template": best_template,
}


def measure(logits: Array, labels: Labels) -> Measured:
    """Compare logits [N, K] with the labels [N]."""
    log_p = log_softmax(logits, axis=1)
    return Measured((log_p.argmax(axis=1) == labels).astype(float), -log_p[np.arange(len(labels)), labels], labels)


def interval(values: Array, labels: Labels) -> tuple[float, float, float]:
    """Return the mean over classes of values [N], and its 95 % interval by resampled classes."""
    by_class = np.array([values[labels == label].mean() for label in np.unique(labels)])
    weights = np.random.default_rng(0).multinomial(len(by_class), np.full(len(by_class), 1 / len(by_class)), RESAMPLES)
    means = weights @ by_class / len(by_class)
    return float(by_class.mean()), float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


Table = Mapping[tuple[str, str, str], Measured]


def all_measured(models: Sequence[Model]) -> Table:
    """Measure every set with every rule, by model, set and rule."""
    return {
        (model.name, name, rule): measure(join(model.image, model.of(templates)), model.labels)
        for model in models
        for name, templates in SETS.items()
        for rule, join in RULES.items()
    }


def choose(table: Table, models: Sequence[str]) -> tuple[str, str]:
    """Return the set and the rule with the lowest mean loss on some models."""

    def loss(choice: tuple[str, str]) -> float:
        return float(np.mean([table[model, *choice].loss.mean() for model in models]))

    small = (name for name, templates in SETS.items() if len(templates) <= MOST_TEMPLATES)
    return min(((name, rule) for name in small for rule in RULES), key=loss)


# How several names of a label are joined; logits [N, names] to [N, labels] by the labels of the names.
def by_largest(logits: Array, label_of_name: Labels) -> Array:
    """As the heads do: the largest logit of the names."""
    return np.stack([logits[:, label_of_name == label].max(axis=1) for label in np.unique(label_of_name)], axis=1)


def by_sum(logits: Array, label_of_name: Labels) -> Array:
    """The sum of the probabilities of the names."""
    return np.stack([logsumexp(logits[:, label_of_name == k], axis=1) for k in np.unique(label_of_name)], axis=1)


def by_mean(image: Array, text: Array, label_of_name: Labels) -> Array:
    """The mean of the text features [names, E] of the names."""
    means = np.stack([text[label_of_name == label].mean(axis=0) for label in np.unique(label_of_name)])
    return SCALE * image @ unit(means).T


def joined(model: Model, sizes: Sequence[int], draws: int = DRAWS) -> Mapping[str, tuple[float, float]]:
    """Join classes to labels with so many names, drawn by chance: accuracy and loss by the way of joining."""
    text = unit(model.of(SETS[CHOSEN]).mean(axis=0))
    logits = SCALE * model.image @ text.T
    found: dict[str, list[tuple[float, float]]] = {}
    for draw in range(draws):
        label_of_name = np.empty(sum(sizes), np.intp)
        label_of_name[np.random.default_rng(draw).permutation(sum(sizes))] = np.repeat(np.arange(len(sizes)), sizes)
        ways = {
            "largest": by_largest(logits, label_of_name),
            "mean feature": by_mean(model.image, text, label_of_name),
            "sum of probabilities": by_sum(logits, label_of_name),
        }
        for way, answer in ways.items():
            each = measure(answer, label_of_name[model.labels])
            found.setdefault(way, []).append((float(each.correct.mean()), float(each.loss.mean())))
    return {way: (float(np.mean([a for a, _ in rows])), float(np.mean([b for _, b in rows]))) for way, rows in
            found.items()}  # fmt: skip


JOINED: Final = {
    "7 labels of 2 or 3": (3, 3, 3, 3, 3, 2, 2),
    "4 of 4, 3 of 1": (4, 4, 4, 4, 1, 1, 1),
}


def set_rows(models: Sequence[Model], table: Table) -> Iterator[str]:
    """Say what each set does with the rule of the zero-shot head, against the former default."""
    yield "| templates | number |" + "".join(f" {m.name} % | against former | loss | against former |" for m in models)
    yield "|---|---:|" + "---:|---|---:|---|" * len(models)
    for name, templates in SETS.items():
        cells = []
        for model in models:
            own, former = (table[model.name, which, MEAN_FEATURE] for which in (name, FORMER))
            gain = interval(100 * (own.correct - former.correct), model.labels)
            less = interval(own.loss - former.loss, model.labels)
            cells += [f"{100 * own.correct.mean():.1f}", shown(gain, 1), f"{own.loss.mean():.3f}", shown(less, 3)]
        yield f"| {name} | {len(templates)} | {' | '.join(cells)} |"


def both_rows(models: Sequence[Model], table: Table) -> Iterator[str]:
    """Say how the mean over all models differs from the former default; the models have the same pictures."""
    labels = models[0].labels
    for name in SETS:
        pairs = [(table[m.name, name, MEAN_FEATURE], table[m.name, FORMER, MEAN_FEATURE]) for m in models]
        gain = interval(100 * np.mean([own.correct - former.correct for own, former in pairs], axis=0), labels)
        less = interval(np.mean([own.loss - former.loss for own, former in pairs], axis=0), labels)
        yield f"| {name} | {shown(gain, 1)} | {shown(less, 3)} |"


def rule_rows(models: Sequence[Model], table: Table) -> Iterator[str]:
    """Say what each rule does with some of the sets."""
    for name in (FORMER, CHOSEN, "all"):
        for rule in RULES:
            own = [table[model.name, name, rule] for model in models]
            cells = [f"{100 * each.correct.mean():.1f} | {each.loss.mean():.3f}" for each in own]
            yield f"| {name} | {rule} | {' | '.join(cells)} |"


def left_out_rows(models: Sequence[Model], table: Table) -> Iterator[str]:
    """Choose on all models but one, and say what the choice does on that one."""
    for model in models:
        choice = choose(table, [other.name for other in models if other is not model])
        own, former = table[model.name, *choice], table[model.name, FORMER, MEAN_FEATURE]
        gain = interval(100 * (own.correct - former.correct), model.labels)
        less = interval(own.loss - former.loss, model.labels)
        yield f"| {model.name} | {choice[0]}; {choice[1]} | {shown(gain, 1)} | {shown(less, 3)} |"


def joined_rows(models: Sequence[Model]) -> Iterator[str]:
    """Say what each way to join the names of a label does."""
    for title, sizes in JOINED.items():
        found = [joined(model, sizes) for model in models]
        for way in found[0]:
            cells = [f"{100 * each[way][0]:.1f} | {each[way][1]:.3f}" for each in found]
            yield f"| {title} | {way} | {' | '.join(cells)} |"


def shown(found: tuple[float, float, float], digits: int) -> str:
    """Format a mean and its interval."""
    mean, low, high = (f"{value:+.{digits}f}" for value in found)
    return f"{mean} ({low} to {high})"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="zero_shot_defaults", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shared", type=Path, help="folder that holds features")
    models = read_models(parser.parse_args(arguments).shared / "features")
    table = all_measured(models)
    names = " | ".join(f"{model.name} % | loss" for model in models)
    line = "---:|---:|" * len(models)
    print("\n".join(set_rows(models, table)), end="\n\n")
    print("\n".join(("| mean of the models | points | loss |", "|---|---|---|", *both_rows(models, table))), end="\n\n")
    print("\n".join((f"| templates | rule | {names} |", f"|---|---|{line}", *rule_rows(models, table))), end="\n\n")
    head = ("| left out | chosen on the others | against former, points | loss |", "|---|---|---|---|")
    print("\n".join((*head, *left_out_rows(models, table))), end="\n\n")
    print("\n".join((f"| labels of several names | joined by | {names} |", f"|---|---|{line}", *joined_rows(models))))
    print(f"\nchosen on all models: {'; '.join(choose(table, [model.name for model in models]))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
