"""`bimors bench` from outside: figures on standard output, the rest on standard error."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app


def bench(*args: object) -> Result:
    return CliRunner().invoke(app, ["bench", "--device", "cpu", *map(str, args)])


def test_a_table_that_ends_with_the_slowest_stage(tiny_bundle: Bundle) -> None:
    result = bench("--model", tiny_bundle.folder, "--labels", 4, "--tiles", 9, "--scene-size", "2240x448")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("tiny on cpu, ") and "4 labels, 9 tiles of 32 px" in lines[0]
    names = ["captioner", "caption encoder", "image tower", "head"]
    assert [line[:15].strip() for line in lines[3:7]] == names
    rest = result.stdout
    shown = ("captions cached", "first tiles", "of the ceiling", "MB at most, of the process", "2240 x 448 px")
    for told in (*shown, "20 tiles"):
        assert told in rest
    assert lines[-1].removeprefix("the slowest stage is the ") in names
    assert "measuring" in result.stderr


def test_json_for_programs(tiny_bundle: Bundle) -> None:
    result = bench("--model", tiny_bundle.folder, "--labels", 4, "--tiles", 9, "--json", "-q")
    assert result.exit_code == 0 and result.stderr == ""
    found = json.loads(result.stdout)
    assert list(found) == [
        "model",
        "device",
        "precision",
        "threads",
        "torch",
        "labels",
        "tiles",
        "picture_size_px",
        "loading_s",
        "first_tiles_s",
        "tiles_per_second",
        "tiles_per_second_captions_cached",
        "ceiling_gflop_per_s",
        "share_of_ceiling",
        "stages",
        "memory_peak_bytes",
        "device_memory_peak_bytes",
        "scene",
        "slowest_stage",
        "warnings",
    ]
    assert found["tiles_per_second_captions_cached"] > found["tiles_per_second"] > 0
    assert set(found["stages"][0]) == {"name", "ms_per_tile", "gflop_per_tile", "share_of_ceiling", "batch_size"}
    assert found["slowest_stage"] in [stage["name"] for stage in found["stages"]]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--labels", 1), "error: --labels 1: must be at least 2"),
        (("--scene-size", "40km"), "error: --scene-size 40km: not a size"),
        (("--model", "nosuch"), "error: "),
        (("--device", "cuda:99"), "error: --device cuda:99"),
    ],
)
def test_a_mistake_is_one_line_and_a_hint(args: tuple[object, ...], told: str) -> None:
    result = bench(*args)
    assert result.exit_code == 2 and result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("measuring")]
    assert lines[0].startswith(told) and len(lines) <= 2
