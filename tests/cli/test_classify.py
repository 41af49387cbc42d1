"""`bimors classify` from outside: streams, exit codes, signals, kills."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from geopandas.testing import assert_geodataframe_equal
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from tests.hardening.forks import Forks, Run


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("# classes\nforest\nriver\t#0000ff\n\nport\n")
    return path


@pytest.fixture
def scene(make_raster: Any) -> Path:
    return Path(make_raster(np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8)))


def bimors(*args: object, cwd: Path | None = None, stdin: str | None = None) -> Result:
    """Run a command in this process: torch is imported once for all of them."""
    with contextlib.chdir(cwd or Path.cwd()):
        return CliRunner().invoke(app, [*map(str, args)], input=stdin)


def classify(scene: Path, labels: Path, bundle: Bundle, *args: object, **kw: Any) -> Result:
    return bimors("classify", scene, "-l", labels, "--model", bundle.folder, "--tile-size", 32, *args, **kw)


def test_stdout_holds_the_path_alone(scene: Path, labels: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    result = classify(scene, labels, tiny_bundle, cwd=tmp_path)
    assert (result.exit_code, result.stdout) == (0, "scene.gpkg\n"), result.stderr
    assert "9 of 9 tiles labelled" in result.stderr and "captioner" in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.txt", "scene.gpkg", "scene.tif"]
    quiet = classify(scene, labels, tiny_bundle, "-q", "--overwrite", cwd=tmp_path)
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "scene.gpkg\n", "")


def test_the_stream_is_clean_geojson_in_wgs84(scene: Path, tiny_bundle: Bundle) -> None:
    result = classify(scene, Path("-"), tiny_bundle, "-o", "-", stdin="forest\nriver\n")
    assert result.exit_code == 0, result.stderr
    features = [json.loads(line) for line in result.stdout.splitlines()]
    assert [f["properties"]["tile_id"] for f in features] == [f"scene/{i // 3}/{i % 3}" for i in range(9)]
    for feature in features:
        assert all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in feature["geometry"]["coordinates"][0])


def test_globs_make_one_layer(scene: Path, labels: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "b.tif").write_bytes(scene.read_bytes())
    result = classify(Path("*.tif"), labels, tiny_bundle, cwd=tmp_path)
    assert (result.exit_code, result.stdout) == (0, "bimors.gpkg\n"), result.stderr
    assert set(geopandas.read_file(tmp_path / "bimors.gpkg", layer="tiles")["scene"]) == {"scene.tif", "b.tif"}


def test_a_dry_run_writes_nothing(scene: Path, labels: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    result = classify(scene, labels, tiny_bundle, "--dry-run", cwd=tmp_path)
    assert result.exit_code == 0 and result.stdout == ""
    assert "3 rows x 3 columns" in result.stderr and "9 tiles" in result.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no label"),
        (b"forest\n", "only one label"),
        (b"forest\nriver\nForest\n", "line 3"),
        (b"forest\nri\x07ver\n", "line 2"),
        (b"forest\nriver\tblue\n", "line 2"),
        (b"forest\n\xff\xfe\n", "line 2"),
        (b"forest\n" + b"very " * 90 + b"long\n", "line 2"),
    ],
)
def test_a_bad_labels_file_is_refused_by_its_line(
    scene: Path, labels: Path, tiny_bundle: Bundle, tmp_path: Path, content: bytes, says: str
) -> None:
    labels.write_bytes(content)
    result = classify(scene, labels, tiny_bundle, cwd=tmp_path)
    assert result.exit_code == 2 and result.stdout == ""
    assert says in result.stderr and "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.txt", "scene.tif"]


def test_mistakes_are_one_line_and_a_hint(scene: Path, labels: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "there.gpkg").write_bytes(b"precious")
    for args, code in (
        (("-o", tmp_path / "there.gpkg"), 2),
        (("-o", tmp_path / "none" / "x.gpkg"), 1),
        (("-o", tmp_path / "x.xyz"), 2),
        (("--bidx", "1,2"), 2),
        (("--stretch", "5,1"), 2),
        (("--aoi", "none.gpkg"), 2),
        (("--model", "none"), 2),
        (("--adapter", "none"), 2),
        (("--device", "cuda:7"), 2),
    ):
        result = classify(scene, labels, tiny_bundle, *args, cwd=tmp_path)
        assert result.exit_code == code, (args, result.stderr)
        lines = result.stderr.strip().splitlines()
        assert 1 <= len(lines) <= 2 and lines[0].startswith("error: "), (args, result.stderr)
    assert (tmp_path / "there.gpkg").read_bytes() == b"precious"
    missing = classify(tmp_path / "none.tif", labels, tiny_bundle, cwd=tmp_path)
    assert missing.exit_code == 2 and "not found" in missing.stderr
    traceback = classify(tmp_path / "none.tif", labels, tiny_bundle, "-vv", cwd=tmp_path)
    assert "Traceback" in traceback.stderr and traceback.exit_code == 2


def test_offline_refuses_scenes_elsewhere(labels: Path, tmp_path: Path) -> None:
    url = "https://example.com/scene.tif?X-Amz-Signature=secret"
    result = bimors("classify", url, "-l", labels, "--offline", cwd=tmp_path)
    assert result.exit_code == 2 and "--offline" in result.stderr and "secret" not in result.stderr


Start = Callable[..., Run]


@pytest.fixture
def start(forks: Forks, scene: Path, labels: Path, tiny_bundle: Bundle) -> Start:
    """A function that starts a run of 144 tiles in a folder."""
    command = ["classify", scene, "-l", labels, "--model", tiny_bundle.folder, "--tile-size", 8, "--batch-size", 4]
    return lambda folder, *args: forks.start([*command, *args], folder)


def wait_for_lines(run: Run, journal: Path, lines: int) -> None:
    run.when(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= lines, timeout=120)


def test_kill_and_resume_give_the_rows_of_an_undisturbed_run(start: Start, tmp_path: Path) -> None:
    (tmp_path / "calm").mkdir()
    assert start(tmp_path / "calm").wait().code == 0
    journal = tmp_path / "scene.gpkg.bimors-journal"
    done = 0
    for lines in (10, 30, 50):
        run = start(tmp_path, "--resume")
        wait_for_lines(run, journal, done + lines)
        run.send(signal.SIGKILL)
        assert run.wait().code == -signal.SIGKILL
        assert not (tmp_path / "scene.gpkg").exists()
        done = journal.read_bytes().count(b"\n")
    refused = start(tmp_path).wait()
    assert refused.code == 2 and "--resume" in refused.stderr
    other = start(tmp_path, "--resume", "--min-valid", 0.1).wait()
    assert other.code == 2 and "min valid (0.5, now 0.1)" in other.stderr
    assert start(tmp_path, "--resume").wait().code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["calm", "labels.txt", "scene.gpkg", "scene.tif"]
    resumed, undisturbed = (geopandas.read_file(f / "scene.gpkg", layer="tiles") for f in (tmp_path, tmp_path / "calm"))
    assert len(undisturbed) == 12 * 12
    exact = ["tile_id", "label", "caption", "geometry"]
    assert_geodataframe_equal(resumed[exact], undisturbed[exact])
    np.testing.assert_allclose(resumed["confidence"], undisturbed["confidence"], atol=1.01e-4)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_is_done_and_says_how_to_go_on(
    start: Start, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    run = start(tmp_path)
    journal = tmp_path / "scene.gpkg.bimors-journal"
    wait_for_lines(run, journal, 20)
    run.send(number)
    ended = run.wait(timeout=60)
    assert ended.code == code, ended.stderr
    assert "--resume" in ended.stderr and journal.exists()
    assert start(tmp_path, "--resume").wait().code == 0


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("no_crs.tif", "--assume-crs"),
        ("gcps_only.tif", "gdalwarp"),
        ("README.md", "gdal"),
        ("sparse_66000x66000.tif", ""),
        ("truncated.tif", ""),
    ],
)
def test_scenes_that_cannot_be_used(
    scenes: Path, labels: Path, tiny_bundle: Bundle, tmp_path: Path, name: str, hint: str
) -> None:
    result = classify(scenes / name, labels, tiny_bundle, cwd=tmp_path)
    assert result.exit_code == 2 and hint in result.stderr
    assert len(result.stderr.strip().splitlines()) == 2 and not list(tmp_path.glob("*.gpkg*"))


@pytest.mark.shared
def test_a_damaged_scene_is_finished_with_3(scenes: Path, labels: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    result = classify(scenes / "corrupt.tif", labels, tiny_bundle, "--tile-size", 128, cwd=tmp_path)
    assert result.exit_code == 3 and "--resume" in result.stderr and result.stdout == "corrupt.gpkg\n"
    layer = geopandas.read_file(tmp_path / "corrupt.gpkg", layer="tiles")
    assert "read_error" in set(layer["reason"]) and (layer["label"].isna() == layer["reason"].notna()).all()


def test_help_and_info_need_no_torch(scene: Path) -> None:
    for args in (["--help"], ["classify", "--help"], ["--version"], ["info", str(scene)]):
        code = (
            f"import sys; sys.argv = ['bimors', *{args!r}]\n"
            "from bimors_cli.cli.main import main\n"
            "try:\n    main()\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
            "heavy = {'torch', 'transformers', 'open_clip', 'geopandas'} & set(sys.modules)\n"
            "assert not heavy, heavy"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr


def test_the_command_line_itself_needs_no_numpy() -> None:
    """numpy takes 0.1 s and more to import: help, --version and completion do without it."""
    code = "import sys, bimors_cli.cli.main; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_templates_from_the_command_line(scene: Path, labels: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    asked = ["--template", "an aerial photo of a {}.", "--template", "{} from above"]
    refused = classify(scene, labels, tiny_bundle, *asked, cwd=tmp_path)
    assert refused.exit_code == 2 and "not supported with the adapter untrained" in refused.stderr
    assert "--head zero-shot" in refused.stderr and "Traceback" not in refused.stderr
    result = classify(scene, labels, tiny_bundle, *asked, "--head", "zero-shot", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    for template, told in (
        ("forest", "has no {}"),
        ("{} and {}", "more than one {}"),
        ("very " * 90 + "{}", "too long"),
    ):
        refused = classify(
            scene, labels, tiny_bundle, "--template", template, "--head", "zero-shot", "--overwrite", cwd=tmp_path
        )
        assert refused.exit_code == 2 and told in refused.stderr, refused.stderr
    assert (tmp_path / "scene.gpkg").exists()


def test_synonyms_are_read_and_never_shown(scene: Path, tiny_bundle: Bundle) -> None:
    lines = "forest | woodland | trees\t#00ff00\nriver\n"
    result = classify(scene, Path("-"), tiny_bundle, "-o", "-", "--probabilities", stdin=lines)
    assert result.exit_code == 0, result.stderr
    for line in result.stdout.splitlines():
        told = json.loads(line)["properties"]
        assert {told["label"], told["label_2"]} == {"forest", "river"} and "woodland" not in line
        assert abs(told["p_forest"] + told["p_river"] - 1) < 1e-3
    refused = classify(scene, Path("-"), tiny_bundle, "-o", "-", stdin="forest | woods\nriver | Woods\n")
    assert refused.exit_code == 2 and "line 2: 'Woods' is already used (standard input, line 1)" in " ".join(
        refused.stderr.split()
    )
