"""The folder of an assessment by a sample: JSON, CSV tables, a chart, and a page with all of them."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from bimors_cli.evaluation.areas.assessment import SampleAssessment
from bimors_cli.evaluation.areas.report import AREA_COLUMNS, area_rows, confusion_rows, facts
from bimors_cli.metrics.area_chart import AreaBar, area_chart
from bimors_cli.output.atomic import replacing_folder
from bimors_cli.output.style import NO_LABEL_NAME

FIGURES: Final = "sample_check.json"
METHOD: Final = (
    "Areas and accuracies are estimated from the sample by Stehman 2014 (International Journal of Remote Sensing 35), "
    "which includes Olofsson et al. 2014 (Remote Sensing of Environment 148) if the strata are the classes of the map. "
    "The mapped area is a count of tiles, and biased by the errors of the map.",
    "The 95 % intervals combine mid-P intervals of the strata (Zou and Donner 2008; Donner and Zou 2012). They need "
    "not be symmetric, and are wider than 1.96 standard errors where errors are few.",
    "Areas are hectares on the ground: on the ellipsoid where the CRS of the layer does not preserve areas.",
)


def save_folder(path: Path, found: SampleAssessment, *, overwrite: bool) -> None:
    """Write ``sample_check.json``, ``areas.csv``, ``confusion.csv``, ``areas.png`` and ``report.html``, whole or not.

    Raises
    ------
    OutputExistsError, InputError
        As `check_folder`.
    OutputError
        The folder cannot be written.
    """
    with replacing_folder(path, marker=FIGURES, overwrite=overwrite) as folder:
        text = json.dumps(found.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / FIGURES).write_text(text + "\n", encoding="utf-8")
        _write_csv(folder / "areas.csv", *_area_table(found))
        _write_csv(folder / "confusion.csv", ("map", "reference", "tiles", "proportion"), _pairs(found))
        bars = [
            AreaBar(one.label, one.mapped_ha, one.area_ha.value, one.area_ha.low, one.area_ha.high)
            for one in found.classes
        ]
        area_chart(folder / "areas.png", bars, "hectares")
        (folder / "report.html").write_text(_page(found, (folder / "areas.png").read_bytes()), encoding="utf-8")


def _area_table(found: SampleAssessment) -> tuple[Sequence[str], list[list[Any]]]:
    """Return names and rows with the numbers of `SampleAssessment.as_json`."""
    classes: dict[str, dict[str, float | None]] = found.as_json()["classes"]
    names = list(dict.fromkeys(name for row in classes.values() for name in row))
    return ("class", *names), [[label, *row.values()] for label, row in classes.items()]


def _pairs(found: SampleAssessment) -> Iterable[Sequence[Any]]:
    labels = [one.label for one in found.classes]
    for of_map, counts, parts in zip([*labels, NO_LABEL_NAME], found.confusion, found.proportions, strict=True):
        for reference, tiles, part in zip(labels, counts, parts, strict=True):
            yield of_map, reference, tiles, part


def _write_csv(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows)


def _page(found: SampleAssessment, chart: bytes) -> str:
    folder = files("bimors_cli.results") / "page"
    style = "\n".join((folder / name).read_text(encoding="utf-8") for name in ("colours.css", "areas.css"))
    environment = Environment(
        loader=PackageLoader("bimors_cli.results", "page"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True,
    )  # fmt: skip
    confusion = confusion_rows(found)
    strata = [
        (one.stratum.name, f"{one.stratum.tiles:,}", f"{one.stratum.hectares:,.1f}", f"{one.stratum.drawn:,}",
         f"{one.finished:,}")
        for one in found.strata
    ]  # fmt: skip
    return environment.get_template("areas.html.j2").render(
        title=(found.layer_file or found.path).name,
        facts=list(facts(found)),
        warnings=found.warnings,
        areas={"head": AREA_COLUMNS, "rows": area_rows(found)},
        confusion={"head": confusion[0], "rows": confusion[1:]},
        strata={"head": ("stratum", "tiles", "hectares", "drawn", "finished"), "rows": strata},
        chart=base64.b64encode(chart).decode("ascii"),
        method=METHOD,
        style=style,
        style_hash="sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii"),
    )
