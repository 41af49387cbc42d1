"""docs/compatibility.md gives the schema numbers and the old names of the code."""

from __future__ import annotations

import re

import bimors_cli
from bimors_cli.bundle import adapter, fetch_record, manifest, stamps
from bimors_cli.evaluation import results
from bimors_cli.options.heads import find_head
from bimors_cli.options.option import option_fields
from bimors_cli.pipeline.checkpoint import journal_format, parquet_store
from bimors_cli.pipeline.inference import cache_db
from bimors_cli.provenance import RunProvenance
from bimors_cli.training.options import FinetuneOptions
from release.dependencies import ROOT

PAGE = (ROOT / "docs/compatibility.md").read_text(encoding="utf-8")
# First column of the table to the number in the code.
SCHEMAS = {
    "bundle manifest": manifest.SCHEMA,
    "adapter manifest": adapter.SCHEMA,
    "results of `evaluate` on heads": results.SCHEMA,
    "fetch record": fetch_record.RECORD_SCHEMA,
    "journal of a run, also of a shard": journal_format.SCHEMA,
    "blocks of a run on a cluster": parquet_store.SCHEMA,
    "cache of captions and features": cache_db.SCHEMA,
    "stamp of a verified bundle": stamps.SCHEMA,
}
WITHOUT_NUMBER = {"layer provenance", "sample design"}


def table(header: str) -> list[list[str]]:
    """Return the cells of the table whose first column has this header."""
    rows = re.search(rf"^\| {header} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, flags=re.M)
    assert rows is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows[1].splitlines()]


def test_schema_numbers_are_those_of_the_code() -> None:
    stated = {row[0]: row[2] for row in table("format")}
    assert stated == {name: str(number) for name, number in SCHEMAS.items()} | dict.fromkeys(WITHOUT_NUMBER, "none")


def test_no_schema_of_the_code_is_missing() -> None:
    """Every constant SCHEMA of the package is in the table above."""
    defined = re.compile(r"^(?:\w+, )?(?:\w+_)?SCHEMA(?:: Final)? = .*\d", flags=re.M)
    files = [path for path in (ROOT / "bimors_cli").rglob("*.py") if defined.search(path.read_text(encoding="utf-8"))]
    assert len(files) == len(SCHEMAS), files


def test_unknown_keys_of_provenance_are_ignored_and_missing_ones_are_none() -> None:
    read = RunProvenance.from_metadata({"version": "9.0", "of_the_future": "{}"})
    assert read == RunProvenance(version="9.0")


def test_old_names_are_accepted() -> None:
    options = [field.option for field in option_fields(FinetuneOptions)]
    flags = {flag for one in options for flag in re.split(r"[ /]", f"{one.flags} {one.former or ''}")}
    for kind, old, new, _ in table("kind"):
        old, new = old.strip("`"), new.strip("`")
        if kind == "value of `--head`":
            assert find_head(old) is find_head(new)
        elif kind == "option of `finetune`":
            assert {old, new} <= flags
        else:
            assert kind == "function" and getattr(bimors_cli, old) is getattr(bimors_cli, new)
