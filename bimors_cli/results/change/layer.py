"""The layer of changes: its columns, styles and provenance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from bimors_cli.labels import Label, Labels
from bimors_cli.output.classified_schema import REAL, TEXT, make_frame
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.style import Style, change_probability_qml, change_qml
from bimors_cli.provenance import RunProvenance
from bimors_cli.refine.transitions import Transitions
from bimors_cli.results.change.answers import NONE, Answers
from bimors_cli.results.change.judge import Compared, Verdicts, parts
from bimors_cli.results.change.summary import ARROW, CHANGE, NO_CHANGE, STRATA, ChangeSummary
from bimors_cli.results.classified_layer import ClassifiedLayer

if TYPE_CHECKING:
    import geopandas

LAYER: Final = "change"
COLUMNS: Final = {
    **TILE_COLUMNS,
    "label": TEXT,
    "confidence": REAL,
    "reason": TEXT,
    "stratum": TEXT,
    "change_probability": REAL,
    "transition": TEXT,
    "label_before": TEXT,
    "confidence_before": REAL,
    "label_after": TEXT,
    "confidence_after": REAL,
    "caption": TEXT,
}
_DECIMALS: Final = 4
_COLOURS: Final = {CHANGE: "#d55e00", NO_CHANGE: "#d9d9d9"}
# What the record of a run says of columns that the layer of changes does not have.
_NOT_OF_CHANGE: Final = ("probabilities", "features", "novelty", "unlike examples", "top k", "synonyms", "priors")


def change_schema(
    compared: Compared, model: Transitions, summary: ChangeSummary, crs: CRS, command: Sequence[str]
) -> TileSchema:
    """Return the schema of the layer of changes, which `sample` and `evaluate` read as a layer of two labels."""
    before, after = compared.before, compared.after
    run_key = {key: value for key, value in before.run_key.items() if key not in _NOT_OF_CHANGE}
    run = replace(
        RunProvenance.of_command(command),
        run_key={**run_key, "labels": [CHANGE, NO_CHANGE], "layer": LAYER},
        scene_paths=before.run.scene_paths,
        labels=_COLOURS,
        warnings=summary.warnings or None,
        change={
            "labels": list(summary.labels),
            "before": _record(before),
            "after": _record(after),
            "max_false": summary.max_false,
            "shared_errors": model.shared,
            "frequency": model.frequency.tolist(),
            "shift": [list(placement.shift) for placement in compared.placements],
        },
    )
    legend = [(one + ARROW + two, one, two) for one, two, _ in summary.transitions(summary.called)]
    colours = Labels(tuple(Label(item.name, item.colour) for item in before.labels.items))
    return TileSchema(
        LAYER,
        crs.to_wkt(),
        COLUMNS,
        Style("changes", change_qml(colours, legend), "changes, by bimors"),
        run.to_metadata(),
        multipart=crs.is_geographic,
        other_styles=(Style("change probability", change_probability_qml(), "probability of change, by bimors"),),
    )


def _record(layer: ClassifiedLayer) -> dict[str, Any]:
    return {
        "path": str(layer.path.resolve()),
        "layer": layer.name,
        "created": layer.run.created,
        "scenes": [scene.name for scene in layer.scenes],
        "model": layer.run_key.get("model"),
        "adapter": layer.run_key.get("adapter"),
    }


def change_frames(
    compared: Compared, verdicts: Verdicts, schema: TileSchema, crs: CRS
) -> Iterator[geopandas.GeoDataFrame]:
    """Yield the rows of the layer, one block at a time."""
    matches, names = compared.matches, compared.before.labels.names
    stems = [Path(scene.name).stem for scene in compared.before.scenes]
    for part in parts(len(matches)):
        scene, row, col = (values[part].tolist() for values in (matches.scene, matches.row, matches.col))
        first = _side(compared.first, matches.before[part], names)
        second = _side(compared.second, matches.after[part], names)
        stratum, change = verdicts.stratum[part].tolist(), verdicts.change[part].astype(np.float64)
        kinds = [None if one == NONE else STRATA[one] for one in stratum]
        differs = change >= 0.5
        pairs = zip(verdicts.first[part].tolist(), verdicts.second[part].tolist(), strict=True)
        data: dict[str, Sequence[Any]] = {
            "tile_id": [f"{stems[one]}/{r}/{c}" for one, r, c in zip(scene, row, col, strict=True)],
            "scene": [compared.before.scenes[one].name for one in scene],
            "row": row,
            "col": col,
            "label": [
                None if kind is None else CHANGE if changed else NO_CHANGE
                for kind, changed in zip(kinds, differs.tolist(), strict=True)
            ],
            "confidence": np.round(np.where(differs, change, 1 - change), _DECIMALS).tolist(),
            "reason": [
                None if kind is not None else one or two or "nodata"
                for kind, one, two in zip(kinds, first.reasons, second.reasons, strict=True)
            ],
            "stratum": kinds,
            "change_probability": np.round(change, _DECIMALS).tolist(),
            "transition": [
                names[a] + ARROW + names[b] if kind == CHANGE else None
                for kind, (a, b) in zip(kinds, pairs, strict=True)
            ],
            "label_before": first.labels,
            "confidence_before": first.confidence,
            "label_after": second.labels,
            "confidence_after": second.confidence,
            "caption": [a + ARROW + b for a, b in zip(first.texts(), second.texts(), strict=True)],
        }
        yield make_frame(data, compared.polygons(part, crs), schema)


@dataclass(frozen=True)
class _Side:
    """What a layer shows at some places."""

    labels: list[str | None]
    confidence: list[float]
    reasons: list[str | None]

    def texts(self) -> list[str]:
        return [
            "no label" if label is None else label if sure != sure else f"{label} {100 * sure:.0f} %"
            for label, sure in zip(self.labels, self.confidence, strict=True)
        ]


def _side(answers: Answers, rows: npt.NDArray[np.int64], names: Sequence[str]) -> _Side:
    there = rows != NONE
    label = np.where(there, answers.label[rows], NONE)
    confidence = np.where(there & ~answers.corrected[rows], answers.confidence[rows], np.nan).astype(np.float64)
    reasons = answers.reason[rows]
    return _Side(
        [None if one == NONE else names[one] for one in label.tolist()],
        np.round(confidence, _DECIMALS).tolist(),
        [reason if is_there else "nodata" for reason, is_there in zip(reasons.tolist(), there.tolist(), strict=True)],
    )
