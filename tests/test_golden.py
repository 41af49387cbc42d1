"""What users and other versions hold us to: the help of every command, and all that lies on disk.

A difference is either a fault, or a decision: then ``BIMORS_UPDATE_GOLDEN=1 pytest tests/test_golden.py`` writes the
files anew, and the difference is read in review. Help may change; what lies on disk must stay readable by the versions
that are out.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import typer
import typer.main
from typer.testing import CliRunner

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from bimors_cli.pipeline.checkpoint.parquet_store import ParquetStore
from tests.conftest import MakeRaster
from tests.pipeline.checkpoint.test_parquet_store import write
from tests.pipeline.planned import planned
from tests.training.test_run import draw_pictures

GOLDEN = Path(__file__).parent / "data" / "golden"
LABELS = "forest | woodland\nriver\t#0000ff\nport\n"

# What differs between two runs of one thing: when, where, on which machine, and numbers of the models.
MASKED = (
    "created",
    "modified",
    "version",
    "command",
    "pid",
    "host",
    "bimors_created",
    "bimors_command",
    "bimors_version",
)
SHA256 = re.compile(r"[0-9a-f]{64}")


def hold(name: str, text: str) -> None:
    """Compare a text with the golden file, or write it."""
    path = GOLDEN / name
    if os.environ.get("BIMORS_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{path} differs"


def hold_json(name: str, value: Any) -> None:
    hold(name, json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def masked(value: Any, folder: Path) -> Any:
    """Put types in the place of what no two runs share; text that is JSON is read."""
    if isinstance(value, dict):
        return {k: f"<{k}>" if k in MASKED else masked(v, folder) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item, folder) for item in value]
    if isinstance(value, float):
        return "<number>" if value % 0.5 else value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            read = json.loads(value)
            if isinstance(read, dict | list):
                return {"as JSON": masked(read, folder)}
        return SHA256.sub("<sha256>", value.replace(str(folder), "<folder>"))
    return value


def commands() -> Iterator[tuple[str, ...]]:
    def walk(command: Any, names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield names
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, (*names, name))

    yield from walk(typer.main.get_command(app), ())


@pytest.mark.parametrize("names", list(commands()), ids=" ".join)
def test_help(names: tuple[str, ...]) -> None:
    plain = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "TERM": "dumb", "NO_COLOR": "1"}
    result = CliRunner().invoke(app, [*names, "--help"], env=plain, prog_name="bimors")
    assert result.exit_code == 0
    hold(f"help/{'-'.join(('bimors', *names))}.txt", "\n".join(map(str.rstrip, result.stdout.splitlines())) + "\n")


@pytest.fixture
def scene(make_raster: MakeRaster, tmp_path: Path) -> Path:
    """Nine tiles of 32 pixels, labels, and an AOI over some of them."""
    (tmp_path / "labels.txt").write_text(LABELS)
    area = shapely.box(500_000, 4_600_000 - 640, 500_640, 4_600_000)
    (tmp_path / "aoi.geojson").write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32618"}},
                "features": [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(area)}],
            }
        )
    )
    return Path(make_raster(np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8)))


def bimors(*args: object, cwd: Path) -> None:
    with contextlib.chdir(cwd):
        result = CliRunner().invoke(app, [*map(str, args)])
    assert result.exit_code == 0, result.stderr


def classify(scene: Path, bundle: Bundle, *args: object) -> None:
    bimors(
        "classify", scene, "-l", "labels.txt", "--model", bundle.folder, "--tile-size", 32, *args, cwd=scene.parent
    )  # fmt: skip


def metadata(path: Path) -> dict[str, str]:
    """Read what a GeoPackage says of how it was made, as any reader of SQLite would."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT metadata FROM gpkg_metadata WHERE metadata LIKE '%run%'").fetchall()
    (text,) = (row[0] for row in rows)
    return dict(re.findall(r'<MDI key="([^"]+)">(.*?)</MDI>', text, re.S)) if text.startswith("<") else json.loads(text)


RUNS: dict[str, tuple[object, ...]] = {
    "defaults": (),
    "columns": ("--no-captions", "--keep-empty", "--probabilities", "--top-k", 3, "--min-confidence", 0.35),
    "zero-shot": ("--head", "zero-shot", "--template", "a photo of a {}.", "--template", "a {} from space."),
    "transductive": ("--refine", "transductive", "--keep-features", "--layer", "settled"),
    "vote": ("--vote", "--overlap", "50%", "--refine", "spatial"),
    "area": ("--aoi", "aoi.geojson", "--aoi-rule", "any", "--dst-crs", "EPSG:4326", "--min-valid", 0.25),
    "pixels": ("-b", "3,2,1", "--stretch", "p5,p95", "--nodata", "0", "--tile-size", "400m"),
}


@pytest.mark.parametrize("name", RUNS)
def test_run_key(name: str, scene: Path, tiny_bundle: Bundle) -> None:
    """What decides the rows, as the layer keeps it: --resume goes by it."""
    classify(scene, tiny_bundle, *RUNS[name])
    written = metadata(scene.parent / "scene.gpkg")
    hold_json(f"run-{name}.json", masked({"run": _unescaped(written["bimors_run"])}, scene.parent)["run"]["as JSON"])


def _unescaped(text: str) -> str:
    return text.replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def test_geopackage(scene: Path, tiny_bundle: Bundle) -> None:
    """The provenance's keys, and the tables beside the layer."""
    classify(scene, tiny_bundle, "--keep-features", "--probabilities")
    written = {name: _unescaped(value) for name, value in metadata(scene.parent / "scene.gpkg").items()}
    hold_json("provenance.json", masked(written, scene.parent))
    hold("geopackage.sql", schema(scene.parent / "scene.gpkg"))


def schema(path: Path) -> str:
    """Return the tables of a SQLite file as its statements, but for those that GDAL makes for an index."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute(
            "SELECT sql FROM sqlite_master WHERE sql NOT NULL AND type IN ('table', 'index') AND name NOT LIKE 'rtree%'"
            " AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'gpkg_%' ORDER BY name"
        ).fetchall()
    return "\n".join(row[0] for row in rows) + "\n"


@pytest.mark.parametrize("command", ["caption", "tiles"])
def test_run_key_of_other_layers(command: str, scene: Path, tiny_bundle: Bundle) -> None:
    model = ("--model", tiny_bundle.folder) if command == "caption" else ()
    bimors(command, scene, "--tile-size", 32, "-o", "out.gpkg", *model, cwd=scene.parent)
    written = {name: _unescaped(value) for name, value in metadata(scene.parent / "out.gpkg").items()}
    hold_json(f"provenance-{command}.json", masked(written, scene.parent))


def test_journal(scene: Path, tiny_bundle: Bundle) -> None:
    """Header, with the options that make a shard's run again, session and records."""
    more = ("--keep-features", "--probabilities", "--refine", "transductive", "--bidx", "1,2,3", "--template", "{}!")
    classify(scene, tiny_bundle, "--shard", "1/2", "--head", "zero-shot", *more)
    lines = (scene.parent / "scene.gpkg.1-of-2.bimors-journal").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch("[0-9a-f]{8} .*", line) for line in lines)
    values = [json.loads(line[9:]) for line in lines]
    for record in values[2:]:
        if "warnings" in record:
            continue
        record[3] = [[0, 0.1] for _ in record[3]]
        record[4] = "<caption>"
        record[5] = [0.1 for _ in record[5]]
        record[6:] = [f"<{len(data)} characters of base64>" for data in record[6:]]
    model = values[0]["options"]
    model["model"] = "<model>"
    hold_json("journal.json", masked(values, scene.parent))


def test_caption_cache(scene: Path, tiny_bundle: Bundle, caption_cache: Path) -> None:
    classify(scene, tiny_bundle)
    hold("caption_cache.sql", schema(caption_cache))


def test_ray_run_and_its_files(make_raster: MakeRaster, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """What a run on a cluster writes to --blocks: run.json, and the columns of its Parquet files."""
    parquet = pytest.importorskip("pyarrow.parquet")
    plan = planned(make_raster, tiny_bundle, tmp_path / "out.gpkg").plan
    with ParquetStore(plan) as blocks:
        write(plan)
        run = json.loads((blocks.path / "run.json").read_text(encoding="utf-8"))
        files = [path.relative_to(blocks.path).as_posix() for path in blocks.path.rglob("*") if path.is_file()]
        columns = parquet.read_schema(next(blocks.path.rglob("*.parquet"))).to_string()
    names = sorted({re.sub(r"\w{8}(?=\.parquet)|(?<=begun-)\w{8}", "<id>", name) for name in files})
    hold_json("blocks.json", masked({"run.json": run, "files": names, "columns": columns.splitlines()}, tmp_path))


@pytest.mark.parametrize("head", ["bimors", "cache"])
def test_adapter_manifest(head: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
    data = draw_pictures(tmp_path / "data", {"beach": 220, "forest": 60}, count=8)
    bimors(
        "finetune", data, "--shots", 2, "--epochs", 1, "--head", head, "-o", "coast", "--model", tiny_bundle.folder,
        cwd=tmp_path,
    )  # fmt: skip
    hold_json(f"adapter-{head}.json", masked(json.loads((tmp_path / "coast" / "adapter.json").read_text()), tmp_path))


def test_bundle_manifest(tiny_bundle: Bundle, tmp_path: Path) -> None:
    content = json.loads((tiny_bundle.folder / "manifest.json").read_text(encoding="utf-8"))
    for entry in content["files"]:
        entry["size"] = "<size>"
    hold_json("bundle.json", masked(content, tmp_path))
