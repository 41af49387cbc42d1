"""Templates: what is one, and what a manifest may say of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.bundle.manifest import MANIFEST, Bundle, bundle_of, read_bundle, write_bundle_manifest
from bimors_cli.errors import BundleError, InputError
from bimors_cli.options.templates import REMOTE_SENSING, check_templates


@pytest.mark.parametrize(
    ("templates", "told"),
    [
        (["a satellite photo"], "--template 'a satellite photo': has no {}"),
        (["a {} beside a {}"], "has more than one {}"),
        (["{}", "a {}.", "{}"], "--template '{}': duplicate template"),
        (["{}" + "x" * 1000], "1,002 characters"),
        (["a\n{}"], "a control character"),
        ([f"{i} {{}}" for i in range(101)], "101 templates; at most 100"),
    ],
)
def test_what_is_no_template(templates: list[str], told: str) -> None:
    with pytest.raises(InputError) as caught:
        check_templates(templates, "--template")
    assert told in caught.value.message and "\n" not in caught.value.message and len(caught.value.message) < 200


def test_those_for_remote_sensing_are_templates() -> None:
    check_templates(REMOTE_SENSING, "")
    assert 8 <= len(REMOTE_SENSING) <= 16


@given(st.text(), st.text())
def test_any_text_around_one_gap_is_one_or_is_refused(before: str, after: str) -> None:
    template = f"{before}{{}}{after}"
    try:
        check_templates([template], "x")
    except InputError as error:
        assert template.count("{}") != 1 or not template.isprintable()
        assert "\n" not in error.message


def manifest(bundle: Bundle, tmp_path: Path, **changes: object) -> Path:
    shutil.copy(bundle.folder / MANIFEST, tmp_path / MANIFEST)
    content = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**content, **changes}))
    return tmp_path


def test_a_bundle_has_its_own_or_those_for_remote_sensing(tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert tiny_bundle.templates == REMOTE_SENSING and tiny_bundle.one_template == "a photo of a {}."
    own = read_bundle(manifest(tiny_bundle, tmp_path, templates=["{}", "a {}."]))
    assert own.templates == own.own_templates == ("{}", "a {}.") and own.sha256 == tiny_bundle.sha256


@pytest.mark.parametrize(
    ("templates", "place"),
    [
        ([], "$.templates"),
        ("{}", "$.templates"),
        (None, "$.templates"),
        ([1], "$.templates[0]"),
        (["{}", "none"], "$.templates[1]"),
        (["{} {}"], "$.templates[0]"),
        (["{}", "{}"], "$.templates"),
        (["\u0007{}"], "a control character"),
    ],
)
def test_a_damaged_manifest_names_the_place(tiny_bundle: Bundle, tmp_path: Path, templates: object, place: str) -> None:
    with pytest.raises(BundleError) as caught:
        read_bundle(manifest(tiny_bundle, tmp_path, templates=templates))
    assert place in caught.value.message


def test_what_is_written_is_read(tiny_bundle: Bundle, tmp_path: Path) -> None:
    for part in ("clip", "captioner", "caption_encoder"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.txt").write_text(part)
    facts = {"name": "x", "description": "", "context": "a", "image_size": 8, "zero_shot_temperature": 1.0}
    for templates in ((), ("{}.",)):
        written = write_bundle_manifest(
            tmp_path,
            **facts,
            vocabulary=None,
            licences={},
            templates=templates,  # type: ignore[arg-type]
        )
        content = json.loads((tmp_path / MANIFEST).read_text())
        assert written == bundle_of(tmp_path, content) and written.own_templates == templates
        assert ("templates" in content) == bool(templates)
    with pytest.raises(BundleError, match=r"\$\.templates\[0\]"):
        write_bundle_manifest(tmp_path, **facts, vocabulary=None, licences={}, templates=["none"])  # type: ignore[arg-type]
