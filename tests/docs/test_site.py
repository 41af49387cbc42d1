"""The site, without its builder: every page is in the navigation, links and anchors resolve, nothing is left out."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import bimors_cli
from bimors_cli import errors
from bimors_cli.bundle.catalog import entries
from bimors_cli.options.option import Options, option_fields
from bimors_cli.output.classified_schema import REASONS
from bimors_cli.provenance import RunProvenance
from docs.reference import columns, links, messages, navigation, provenance
from docs.reference.api import api_page
from docs.reference.commands import FOLDER, Command, program, signature_names, walk
from docs.reference.markdown import code, prose, table
from docs.reference.site import Site, assemble

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {each.name: each for each in (program(), *walk(program()))}


@pytest.fixture(scope="module")
def site() -> Site:
    return assemble()


def test_every_page_of_the_folder_is_in_the_navigation() -> None:
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    readmes = {
        path.relative_to(ROOT).as_posix()
        for folder in ("examples", "weights")
        for path in (ROOT / folder).rglob("*.md")
    }
    assert pages | readmes <= set(navigation.SOURCES.values())


def test_every_page_is_in_one_section(site: Site) -> None:
    listed = [path for section in navigation.SECTIONS for path in section.pages]
    assert len(listed) == len(set(listed))
    below = {path.removesuffix("index.md") for path in listed if path.endswith("/index.md")}
    own = {f"{section.name}/index.md" for section in navigation.SECTIONS} | {navigation.HOME}
    for path in set(site.pages) - set(listed) - own:
        assert any(path.startswith(folder) for folder in below), path


def test_links_and_anchors_lead_somewhere(site: Site) -> None:
    assert links.broken(site.pages, set(site.files.values())) == []
    assert all((ROOT / source).is_file() for source in site.files)


def test_links_that_lead_nowhere_are_found() -> None:
    pages = {
        "a.md": "# A\n\n[b](b/c.md#two-words) [gone](gone.md) ![image](x.png) [self](#a) [no](#none) `[code](n.md)`\n",
        "b/c.md": "## Two words\n\n```sh\n# [no heading](of/a/page.md)\n```\n[up](../a.md#b) [out](https://example.org/#x)\n",
    }
    assert links.broken(pages, {"x.png"}) == ["a.md: gone.md", "a.md: #none", "b/c.md: ../a.md#b"]


def test_a_link_is_moved_with_its_page() -> None:
    files: dict[str, str] = {}
    text = "[r](../README.md#install) [f](image.png) [e](https://example.org) `[c](../README.md)` [d](../examples)"
    pages = {"README.md": "guide.md", "examples/README.md": "examples.md"}
    moved = links.moved(text, "docs/a.md", "howto/a.md", pages, files)
    assert moved == (
        "[r](../guide.md#install) [f](../files/docs/image.png) [e](https://example.org) `[c](../README.md)` "
        "[d](../examples.md)"
    )
    assert files == {"docs/image.png": "files/docs/image.png"}
    with pytest.raises(ValueError, match=r"docs/gone\.md"):
        links.moved("[x](gone.md)", "docs/a.md", "a.md", {}, {})


def test_anchors_are_those_of_github() -> None:
    text = "# What `--top-k` does\n## A, b: c\n## A, b: c\n### [Linked](x.md) *words*\n```\n# no heading\n```\n"
    assert links.anchors(text) == {"what---top-k-does", "a-b-c", "a-b-c-1", "linked-words"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_on_its_page(site: Site, name: str) -> None:
    command = COMMANDS[name]
    text = site.pages[command.path]
    written = re.findall(r"^````\{option\} (.+)$", text, re.MULTILINE)
    names = [{part.split(" ")[0] for part in line.split(", ")} for line in written]
    expected = [set(signature_names(each)) for each in command.command.params if not getattr(each, "hidden", False)]
    assert sorted(map(sorted, names)) == sorted(map(sorted, expected))
    for parameter in command.command.params:
        assert prose(parameter.help or "") in text
    assert all(f"({child.path.removeprefix(FOLDER + '/')})" in text for child in command.children)


def test_every_field_of_the_options_is_an_option_of_its_command() -> None:
    for command in COMMANDS.values():
        known = {parameter.name for parameter in command.command.params}
        for cls in command.classes:
            assert {field.name for field in option_fields(cls)} <= known


def test_a_page_has_default_choices_and_range(site: Site) -> None:
    text = site.pages[COMMANDS["classify"].path]
    (rule,) = re.findall(r"^````\{option\} --aoi-rule centre\|any\|within\n(.*?)^````", text, re.MULTILINE | re.DOTALL)
    assert "| `within` | all of it is inside |" in rule and "default: `centre`" in rule
    (top,) = re.findall(r"^````\{option\} --top-k N\n(.*?)^````", text, re.MULTILINE | re.DOTALL)
    assert "default: `2`" in top and "at least 2" in top and "`ClassifyOptions.top_k`" in top


def test_every_name_of_the_api_is_documented() -> None:
    text = api_page()
    for name in set(bimors_cli.__all__) - {"__version__"}:
        value: Any = getattr(bimors_cli, name)
        if inspect.isfunction(value):
            assert f".. autofunction:: bimors_cli.{name}\n" in text
        else:
            assert f"### {name}\n" in text
        if inspect.isclass(value) and issubclass(value, Options):
            section = text.split(f"### {name}\n")[1].split("###")[0]
            assert all(f"| {code(field.name)} |" in section for field in option_fields(value))


def test_every_column_has_a_meaning_and_no_meaning_is_left_over() -> None:
    named = {name for layer in columns.layers() for name in layer.columns}
    assert named == set(columns.MEANINGS)
    assert set(columns.REASON_MEANINGS) == set(REASONS)
    assert {layer.command for layer in columns.layers()} <= set(COMMANDS)


def test_every_key_of_the_provenance_is_explained() -> None:
    assert set(provenance.keys().values()) == {field.name for field in fields(RunProvenance)}
    text = provenance.provenance_page()
    for key, name in provenance.keys().items():
        assert f"| {code(key)} | {provenance.meanings()[name]} |" in text


def test_every_model_of_the_catalogue_has_a_card(site: Site) -> None:
    for entry in entries():
        card = site.pages[f"reference/models/{entry.name}.md"]
        for source in entry.parts.values():
            assert prose(source.licence) in card and prose(source.origin) in card
            assert all(file.sha256 in card for file in source.files if file.sha256)


def test_messages_are_found_in_every_form(tmp_path: Path) -> None:
    (tmp_path / "scene").mkdir()
    (tmp_path / "scene" / "a.py").write_text(
        '_HINT = "use another"\n'
        "def f(x):\n"
        '    warn("%s: %d tiles are lost, %.2f %% of all; use another", x, 3, 4.0)\n'
        '    warn_of_one("tiles", f"{x} is lost")\n'
        "    warn(x)\n"
        '    raise SceneError(f"{x}: bad {x!r}", _HINT)\n'
        '    raise InputError("one" if x else "two", hint=f"do {x}" + " now")\n'
    )
    assert messages.messages(tmp_path) == (
        messages.Message("scene", "…: … tiles are lost, … %% of all; use another"),
        messages.Message("scene", "… is lost"),
        messages.Message("scene", "…: bad …", "use another", "SceneError"),
        messages.Message("scene", "one", "do … now", "InputError"),
        messages.Message("scene", "two", "do … now", "InputError"),
    )


def test_composed_warnings_are_found() -> None:
    for module, names in messages.COMPOSERS.items():
        tree = ast.parse((messages.PACKAGE / module).read_text(encoding="utf-8"))
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert set(names) <= defined, module
    texts = [message.text for message in messages.messages() if message.error is None]
    for words in (
        "season, light or calibration",
        "lacks the grid",
        "out of …: … not used",
        "pixels of different sizes",
    ):
        assert any(words in text for text in texts), words


def test_a_warning_without_a_text_of_its_own_comes_from_a_known_place() -> None:
    # Who shows what another function composed, or what an earlier run warned of. A new one needs a composer in
    # docs/reference/messages.py, or its text in the call of `warn`.
    assert messages.relays() == {
        ("cli/info.py", "info"),
        ("evaluation/accuracy/layer.py", "read_map_layer"),
        ("evaluation/areas/assess_sample.py", "assess_sample"),
        ("evaluation/evaluate.py", "evaluate"),
        ("pipeline/checkpoint/journal.py", "_index_results"),
        ("pipeline/checkpoint/parquet_store.py", "_warn_again"),
        ("pipeline/checkpoint/shard_journals.py", "_read"),
        ("pipeline/engines/multi_device.py", "log"),
        ("pipeline/engines/ray.py", "_record"),
        ("pipeline/inference/predict.py", "_read_batches"),
        ("pipeline/make_plan.py", "_report"),
        ("pipeline/run.py", "warn_of_domain"),
        ("pipeline/run.py", "warn_of_plan"),
        ("results/change/run.py", "change"),
        ("results/preview.py", "preview"),
        ("scene/feature_counts.py", "warn"),
        ("scene/transformation.py", "warn_if_inexact"),
        ("training/checkpoint.py", "_warn_again"),
    }


def test_every_module_that_warns_is_on_the_page() -> None:
    found = messages.messages()
    kinds = {message.error for message in found} - {None}
    assert kinds <= set(vars(errors)) and len(found) > 500
    listed = messages.warnings_page() + messages.errors_page()
    assert all(prose(message.text).replace("|", "\\|") in listed for message in found)


def test_the_questions_quote_what_the_program_prints() -> None:
    # Constants of the package, whatever they are put together from.
    source = " ".join(
        re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8")) for path in (ROOT / "bimors_cli").rglob("*.py")
    )
    source = " ".join(re.sub(r"\{[^{}]*\}|%[sd]", "…", source).split())
    blocks = re.findall(r"^```text\n(.*?)^```", (ROOT / "docs/faq.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) >= 10
    for line in lines:
        for fragment in (part.strip(" :;.,") for part in line.split("…")):
            assert fragment in source, (line, fragment)


def test_cells_and_code_keep_their_marks() -> None:
    assert table(("a",), [("x|y",)]) == "| a |\n| --- |\n| x\\|y |\n"
    assert code("a `b` c") == "``a `b` c``" and code("") == ""
    assert prose("use *.tif or --top-k, a_b <x>") == r"use \*.tif or `--top-k`, a\_b \<x>"


def test_the_program_has_no_command_without_a_page(site: Site) -> None:
    assert {each.path for each in COMMANDS.values()} <= set(site.pages)
    assert isinstance(COMMANDS["models fetch"], Command)
