"""Accuracy and areas of a map from a probability sample whose references were filled in."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.answers import with_answers
from bimors_cli.evaluation.areas.design import CANNOT_TELL, SampleDesign
from bimors_cli.evaluation.areas.estimators import Estimate, estimate_areas
from bimors_cli.evaluation.areas.sample_file import Sample, read_sample
from bimors_cli.labels import match_names, normalized_name


@dataclass(frozen=True)
class ClassEstimates:
    """What a sample says of a class.

    Attributes
    ----------
    label : str
        Its name.
    mapped_ha : float
        Area that the map gives it, in hectares on the ground.
    area_ha : Estimate
        Its estimated area, in hectares on the ground.
    users, producers : Estimate
        User's and producer's accuracy, 0..1.
    """

    label: str
    mapped_ha: float
    area_ha: Estimate
    users: Estimate
    producers: Estimate


@dataclass(frozen=True)
class SampleAssessment:
    """What a sample says of its map.

    Attributes
    ----------
    path : Path
        The file of the sample.
    design : SampleDesign
        How it was drawn.
    overall : Estimate
        Overall accuracy, by area, 0..1.
    classes : tuple of ClassEstimates
        In the order of the labels.
    confusion : tuple of tuple of int
        [K + 1, K], numbers of tiles: rows are classes of the map, the last one tiles without a label; columns are
        classes of the reference.
    finished, unfinished, cannot_tell, deleted : int
        Numbers of drawn tiles with a class, without a reference, with the reference ``cannot tell``, and that were
        deleted from the layer. Only the first are used.
    alone : tuple of str
        Strata of several tiles with one finished tile: no standard error is known.
    """

    path: Path
    design: SampleDesign
    overall: Estimate
    classes: tuple[ClassEstimates, ...]
    confusion: tuple[tuple[int, ...], ...]
    finished: int
    unfinished: int
    cannot_tell: int
    deleted: int
    alone: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file; an unknown number is null."""
        return {
            "overall": {"accuracy": _number(self.overall.value), "se": _number(self.overall.se)},
            "classes": {
                one.label: {
                    "mapped_ha": one.mapped_ha,
                    "area_ha": _number(one.area_ha.value),
                    "area_se_ha": _number(one.area_ha.se),
                    "users": _number(one.users.value),
                    "users_se": _number(one.users.se),
                    "producers": _number(one.producers.value),
                    "producers_se": _number(one.producers.se),
                }
                for one in self.classes
            },
            "confusion": {"labels": [one.label for one in self.classes], "rows": [list(row) for row in self.confusion]},
            "tiles": {
                "finished": self.finished,
                "unfinished": self.unfinished,
                "cannot_tell": self.cannot_tell,
                "deleted": self.deleted,
            },
            "strata_without_variance": list(self.alone),
            "design": self.design.to_json(),
        }


def assess_sample(path: Path, answers: tuple[Path, ...] = ()) -> SampleAssessment:
    """Estimate accuracy and areas from a sample that `bimors sample` drew, with the references in files of answers.

    Tiles without a class in the reference are left out: the estimates hold if they are not harder than the others.

    Raises
    ------
    InputError
        As `read_sample` and `with_answers`; a reference is not a label; no tile is finished, or none of a stratum.
    """
    sample = with_answers(read_sample(path), answers)
    labels = sample.labels
    reference = _classes(sample)
    finished = reference >= 0
    names = [one.name for one in sample.design.strata]
    strata = np.array([names.index(name) for name in sample.strata], np.intp)[finished]
    counts = np.bincount(strata, minlength=len(names))
    sizes = [one.tiles for one in sample.design.strata]
    _check_strata(sample, counts.tolist(), sizes)
    at = {label: index for index, label in enumerate(labels)}
    mapped = np.array([at.get(name, -1) if name is not None else -1 for name in sample.mapped], np.intp)[finished]
    truth, count = reference[finished], len(labels)
    found = estimate_areas(mapped, truth, sample.hectares[finished], strata, sizes, count)
    hectares = sum(one.hectares for one in sample.design.strata)
    of_map = {one.label: one.hectares for one in sample.design.mapped}
    pairs = Counter(zip(np.where(mapped < 0, count, mapped).tolist(), truth.tolist(), strict=True))
    unsure = sum(_is_cannot_tell(text) for text in sample.references)
    return SampleAssessment(
        path,
        sample.design,
        found.overall,
        tuple(
            ClassEstimates(
                label,
                of_map.get(label, 0.0),
                found.proportions[index].scaled(hectares),
                found.users[index],
                found.producers[index],
            )
            for index, label in enumerate(labels)
        ),
        tuple(tuple(pairs[row, col] for col in range(count)) for row in range(count + 1)),
        int(finished.sum()),
        sum(text is None for text in sample.references),
        unsure,
        len(sample.missing),
        tuple(name for name, n, size in zip(names, counts.tolist(), sizes, strict=True) if n == 1 < size),
    )


def _is_cannot_tell(text: str | None) -> bool:
    return text is not None and normalized_name(text) == normalized_name(CANNOT_TELL)


def _classes(sample: Sample) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the index of each reference among the labels [n]; -1 for none and for `CANNOT_TELL`."""
    given = [None if _is_cannot_tell(text) else text for text in sample.references]
    different = list(dict.fromkeys(text for text in given if text is not None))
    found = dict(zip(different, match_names(different, sample.labels), strict=True))
    unknown = [text for text in different if found[text] is None]
    if unknown:
        raise InputError(
            f"{sample.path}: the reference {unknown[0]!r} is not a label of the map",
            f"use one of {', '.join(sample.labels[:20])} or {CANNOT_TELL}",
        )
    indices = [-1 if text is None else found[text] for text in given]
    return np.array([-1 if index is None else index for index in indices], np.intp)


def _check_strata(sample: Sample, counts: list[int], sizes: list[int]) -> None:
    if not sum(counts):
        raise InputError(f"{sample.path}: no tile has a reference", "fill in the column reference, in QGIS for example")
    for stratum, count, size in zip(sample.design.strata, counts, sizes, strict=True):
        if size and not count:
            raise InputError(
                f"{sample.path}: no tile of the stratum {stratum.name!r} ({size:,} tiles) has a reference: "
                "the areas cannot be estimated",
                "fill in the reference of at least two of its tiles, or draw another sample with bimors sample",
            )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
