"""The command lines and the texts of the plugin, held to the program; without QGIS."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer

from bimors_cli.cli.main import app
from tests.qgis.plugin import FOLDER, described, part

command = part("command")
declared = part("declared")
spec = part("spec")
translate = part("translate")
ALGORITHMS = part("specs").ALGORITHMS
GROUP: Any = typer.main.get_command(app)


def tool(name: str) -> Any:
    """A program next to the plugin, as a module."""
    sys.path.insert(0, str(FOLDER.parent))
    try:
        return __import__(name)
    finally:
        sys.path.remove(str(FOLDER.parent))


def parsed(arguments: list[str]) -> dict[str, Any]:
    """What the program makes of arguments."""
    context = GROUP.commands[arguments[0]].make_context(arguments[0], arguments[1:])
    return {name: value for name, value in context.params.items() if value is not None}


# What no dialog offers, and why: it is entered under Additional command-line parameters.
ELSEWHERE = {
    "of another format: QGIS reads the style and the record of a GeoPackage only": {"format", "rs", "append"},
    "of clusters": {"engine", "ray_address", "workers", "blocks", "shard"},
    "of data sets of labelled images": {
        "protocols", "heads", "shots", "seeds", "images", "epochs", "batch_size", "official_quirks", "evidence",
        "captioner", "verify", "device", "model", "bidx", "stretch", "nodata", "ignore_mask", "resume",
    },
    "of points without a CRS: a layer has one": {"points_crs"},
    "of STAC items: QGIS opens the raster": {"asset", "stac"},
    "of formats that may read other files": {"allow_drivers"},
    "of research": {"freeze_caption_projection"},
    "an image of the scene: QGIS shows it": {"png"},
    "of single tiles, by their tile_id": {"caption_tiles", "model"},
    "written by the plugin": {"overwrite", "output"},
    "of a layer: the plugin takes it from the layer that was selected": {"layer"},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted({one.command for one in ALGORITHMS}))
def test_every_option_is_in_a_dialog_or_left_out_for_a_reason(name: str) -> None:
    shown = {
        option
        for one in ALGORITHMS
        if one.command == name
        for parameter in one.parameters
        for option in (parameter.option, parameter.layer_option)
    }
    missing = declared.options(name).keys() - shown - {"overwrite", "output"}
    reasons = set().union(
        *(options for why, options in ELSEWHERE.items() if name == "evaluate" or "data sets" not in why)
    )
    if name != "evaluate":
        reasons.add("images")  # of a split file
    assert missing <= reasons, missing - reasons
    # What a desktop needs of these is complete.
    if name in ("classify", "finetune"):
        assert not {"model", "device", "captions", "batch_size", "nodata", "overlap"} & missing


def test_the_declarations_are_those_of_the_program() -> None:
    text = tool("make_options").text()
    stored = (FOLDER / "options.json").read_text(encoding="utf-8")
    assert stored == text, "run python examples/qgis/make_options.py, then examples/qgis/make_translations.py"


def test_every_flag_is_one_of_the_program() -> None:
    for name in {one.command for one in ALGORITHMS}:
        parameters = {parameter.name: parameter for parameter in GROUP.commands[name].params}
        for option, about in declared.options(name).items():
            known = [*parameters[option].opts, *parameters[option].secondary_opts]
            assert not about.flag or about.flag in known, (name, option)
            assert not about.off or about.off in known, (name, option)
            assert bool(about.flag) == (parameters[option].param_type_name == "option")


def values(algorithm: Any) -> dict[str, Any]:
    """A value of each option that differs from its default, as a user might set it."""
    found: dict[str, Any] = {}
    for parameter in algorithm.parameters:
        option = algorithm.declared(parameter)
        if option is None:
            continue
        choices = [name for name in algorithm.choices(parameter) if name != option.default]
        if option.kind == "flag":
            value: Any = not option.default
        elif parameter.kind == spec.CHOICES or option.choices:
            value = choices[0]
        elif parameter.percent:
            value = "7%"
        elif option.kind in ("whole", "real"):
            low = parameter.minimum if parameter.minimum is not None else option.minimum or 0
            value = str(int(low) + 3) if option.kind == "whole" else str(low + 0.125)
        elif parameter.option in ("expect", "size"):
            value = [{"expect": "pond=0.7", "size": "pond=80"}[parameter.option]]
        else:
            value = f"a {parameter.name.lower()}"
        found.setdefault(parameter.option, value)
        if parameter.layer_option:
            found[parameter.layer_option] = "a layer"
    return found


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda one: one.name)
def test_the_program_understands_what_every_dialog_sets(algorithm: Any) -> None:
    given = values(algorithm)
    found = parsed(command.arguments(algorithm, given, "--verbose"))
    assert found["verbose"] == 1
    for option, value in given.items():
        wanted = [value] if isinstance(value, str) else value
        read = found[option]
        read = read if isinstance(read, list | bool) else [str(read)]
        assert read == wanted or float(read[0]) == float(value), option


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda one: one.name)
def test_defaults_and_what_is_empty_are_left_to_the_program(algorithm: Any) -> None:
    defaults = {
        parameter.option: option.default if isinstance(option.default, bool) else str(option.default or " ")
        for parameter in algorithm.parameters
        if (option := algorithm.declared(parameter)) is not None and not option.required
    }
    assert command.arguments(algorithm, defaults) == [algorithm.command, *algorithm.words]
    assert command.arguments(algorithm, {}) == [algorithm.command, *algorithm.words]


def test_an_output_that_is_there_is_replaced_but_not_an_unfinished_run(tmp_path: Path) -> None:
    output, raster = str(tmp_path / "out.gpkg"), tmp_path / "labels.tif"
    given = {"scenes": ["a.tif", "b.tif"], "labels": "l.txt", "output": output, "raster": str(raster)}
    plain = ["classify", "a.tif", "b.tif", f"--output={output}", "--labels=l.txt", f"--raster={raster}"]
    assert command.arguments(described("classify"), given) == plain
    raster.touch()
    assert command.arguments(described("classify"), given) == [*plain, "--overwrite"]
    found = parsed(command.arguments(described("classify"), {**given, "resume": True}))
    assert (found["overwrite"], found["resume"]) == (False, True)
    # A sample holds the work of the user: only the user has it replaced.
    Path(output).touch()
    assert "--overwrite" not in command.arguments(described("sample"), {"file": "a.gpkg", "output": output})


def test_values_may_start_with_a_dash() -> None:
    assert (
        parsed(command.arguments(described("classify"), {"scenes": "a.tif", "labels": "l", "stretch": "-20,5"}))[
            "stretch"
        ]
        == "-20,5"
    )
    found = parsed(command.arguments(described("search"), {"file": "a.gpkg", "query": "-- a road"}, "--top 3"))
    assert (found["query"], found["top"]) == ("-- a road", 3)


def test_what_a_user_adds_is_read_as_in_a_shell() -> None:
    found = parsed(command.arguments(described("tiles"), {"scenes": "a", "output": "o"}, "--layer 'my tiles'"))
    assert found["layer"] == "my tiles"


def test_tips_are_in_the_words_of_the_dialog() -> None:
    for one in ALGORITHMS:
        flags = {option.flag for parameter in one.parameters if (option := one.declared(parameter)) and option.flag}
        for parameter in one.parameters:
            tip = one.tip(parameter)
            assert "Repeat" not in tip and parameter.label, (one.name, parameter.name)
            own = [flag for flag in re.findall(r"--[a-z-]+", tip) if flag in flags]
            assert not own or "bimors " in tip, (one.name, parameter.name, own)
            assert tip or parameter.kind in (*spec.OUTPUTS, spec.TABLE), (one.name, parameter.name)
    assert described("classify").tip(described("classify").parameter("VOTE")).startswith("With 'Tile overlap': ")


def test_an_error_names_the_fields_of_the_dialog() -> None:
    text = "--keep-features stores features of tiles, but --vote writes cells\nHint: bimors classify --vote"
    assert described("classify").in_words_of_the_dialog(text, "'{label}' ({flag})") == (
        "'Keep image features' (--keep-features) stores features of tiles, but 'Average overlapping tiles' (--vote) "
        "writes cells\nHint: bimors classify --vote"
    )


def test_names_are_unique_and_groups_are_few() -> None:
    assert len({one.name for one in ALGORITHMS}) == len({one.label for one in ALGORITHMS}) == len(ALGORITHMS)
    for one in ALGORITHMS:
        names = [parameter.name for parameter in one.parameters]
        assert len(set(names)) == len(names) and "EXTRA" in names and one.tags and one.help
        assert all(parameter.parent in names for parameter in one.parameters if parameter.parent)
        assert set(one.one_of) <= set(names)
    assert len({one.group for one in ALGORITHMS}) == 5


def test_the_help_page_has_every_algorithm_and_parameter() -> None:
    root = ElementTree.fromstring(part("help").page().replace('<meta charset="utf-8">', ""))
    assert root.get("lang") == "en"
    assert [head.get("id") for head in root.iter("h2")] == [one.name for one in ALGORITHMS]
    assert len(list(root.iter("dt"))) == sum(len(one.parameters) for one in ALGORITHMS)


def test_the_catalogues_are_complete() -> None:
    maker = tool("make_translations")
    texts = maker.sources()
    assert maker.languages() == ["de"] and len(texts) > 200
    found = translate.read(FOLDER / "i18n" / "bimors_de.ts")
    hint = "run python examples/qgis/make_translations.py, and translate what is unfinished"
    assert [text for text in texts if text not in found] == [], hint
    assert (FOLDER / "i18n" / "bimors_de.ts").read_text(encoding="utf-8") == maker.catalogue("de", found), hint
    for text, translation in found.items():
        assert sorted(re.findall(r"\{\w*\}", text)) == sorted(re.findall(r"\{\w*\}", translation)), translation
        assert text.count("\n\n") == translation.count("\n\n"), translation
        assert set(re.findall(r"--[a-z-]+", text)) == set(re.findall(r"--[a-z-]+", translation)), translation


def test_quoted_names_in_german_are_those_of_the_german_dialogs() -> None:
    german = translate.read(FOLDER / "i18n" / "bimors_de.ts")
    names = {one.label for one in ALGORITHMS} | {p.label for one in ALGORITHMS for p in one.parameters}
    names &= german.keys()
    quoted = 0
    for text, translation in german.items():
        for name in re.findall(r"'([A-Z][^']+)'", text):
            if name in names:
                quoted += 1
                assert f"'{german[name]}'" in translation, (name, translation)
    assert quoted > 40


def test_qt_reads_the_catalogue(tmp_path: Path) -> None:
    lrelease = shutil.which("lrelease")
    if lrelease is None:
        pytest.skip("no lrelease: apt-get install qttools5-dev-tools")
    command = [lrelease, str(FOLDER / "i18n" / "bimors_de.ts"), "-qm", str(tmp_path / "de.qm")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(r"\((\d+) finished and 0 unfinished\)", done.stdout + done.stderr)


def test_texts_are_those_of_the_language_and_english_without_one() -> None:
    try:
        translate.use("de_AT")
        assert translate.tr("Classify scene") == "Szene klassifizieren" and translate.tr("never") == "never"
        assert '<html lang="de">' in part("help").page() and "Szene klassifizieren" in part("help").page()
        translate.use("fr")
        assert translate.tr("Classify scene") == "Classify scene" and translate.language() == "en"
    finally:
        translate.use("en")
