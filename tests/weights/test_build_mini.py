"""The program that builds the embedded bundle, on a handful of made-up images: minutes instead of hours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.manifest import ADAPTER, open_bundle
from bimors_cli.labels import Labels
from bimors_cli.pipeline.inference.load import load_models, make_classifier

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "weights" / "build_mini.py"
# Of a class: the adapter's shots and the images of its temperature come from validation.
PARTS = {"train": 4, "val": 26, "test": 2}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def imagery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of one colour a class, in the layout of the real sets."""
    sys.path.insert(0, str(ROOT / "weights"))
    from recipe.words import RSICD, RSSCN7, display_name

    root = tmp_path_factory.mktemp("imagery")
    generator = np.random.default_rng(0)
    split: dict[str, list[list[object]]] = {part: [] for part in PARTS}
    captions = []
    for label, kind in enumerate(sorted(RSICD)):
        folder = root / "rsicd" / "images" / kind
        folder.mkdir(parents=True)
        colour = generator.integers(30, 220, 3)
        number = 0
        for part, count in PARTS.items():
            for _ in range(count):
                number += 1
                name = f"{kind}_{number}.jpg"
                _draw(folder / name, colour, 150, generator)
                split[part].append([f"{kind}/{name}", label, kind])
                sentence = f"many green trees are near a {display_name(kind)} ."
                captions.append(json.dumps({"image": f"{kind}/{name}", "captions": [sentence] * 5}))
    (root / "rsicd" / "captions.jsonl").write_text("\n".join(captions) + "\n")
    for kind in RSSCN7:
        (root / "rsscn7" / "images" / kind).mkdir(parents=True)
        colour = generator.integers(30, 220, 3)
        for i in range(14):
            _draw(root / "rsscn7" / "images" / kind / f"{i}.jpg", colour, 160, generator)
    (root / "rsitmd_captions.txt").write_text("a road goes through a field .\nsome planes are at an airport .\n" * 20)
    (root / "splits").mkdir()
    (root / "splits" / "rsicd.json").write_text(json.dumps(split))
    return root


def _draw(path: Path, colour: np.ndarray, side: int, generator: np.random.Generator) -> None:
    pixels = np.clip(generator.normal(colour, 20, (side, side, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def build(imagery: Path, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *args, "--imagery", str(imagery), "--splits", str(imagery / "splits")]
    command += ["--work", str(folder / "work"), "--out", str(folder / "mini"), "--threads", "2"]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def weights(folder: Path, part: str) -> bytes:
    return next((folder / "mini" / part).glob("*.safetensors")).read_bytes()


@pytest.mark.timeout(1500)
def test_one_command_builds_a_bundle_with_its_card(imagery: Path, tmp_path: Path) -> None:
    done = build(imagery, tmp_path, "all", "--epochs", "1", "--final")
    assert done.returncode == 0, done.stderr[-3000:]
    bundle = open_bundle(tmp_path / "mini")
    adapter = open_adapter(bundle.part(ADAPTER), bundle)
    models = load_models(bundle, "cpu")
    make_classifier(models, adapter, Labels.of(["river", "beach"]))
    metrics = json.loads((tmp_path / "mini" / "metrics.json").read_text())
    assert metrics["test"]["rsicd"]["bimors"]["accuracy"]["of"] == 60
    card = (tmp_path / "mini" / "README.md").read_text()
    assert f"{metrics['test']['rsicd']['bimors']['accuracy']['per cent']:.2f}" in card
    assert (tmp_path / "mini" / "mlm.json").is_file()


@pytest.mark.timeout(600)
def test_a_stage_is_repeatable_and_goes_on_after_a_cut(imagery: Path, tmp_path: Path) -> None:
    for name in ("through", "cut"):
        (tmp_path / name).mkdir()
        assert build(imagery, tmp_path / name, "tokenizers").returncode == 0
    assert build(imagery, tmp_path / "through", "clip", "--epochs", "3").returncode == 0
    # Cut: the program dies when it has logged its first epoch of three.
    cut = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, os; sys.path.insert(0, sys.argv[1]); from recipe import loop; save = loop.save_checkpoint\n"
            "def die(*a, **k):\n    save(*a, **k)\n    os._exit(9)\n"
            "loop.save_checkpoint = die\nimport build_mini; build_mini.main(sys.argv[2:])",
            str(PROGRAM.parent), "clip", "--epochs", "3",
            "--imagery", str(imagery), "--splits", str(imagery / "splits"),
            "--work", str(tmp_path / "cut" / "work"), "--out", str(tmp_path / "cut" / "mini"), "--threads", "2",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert cut.returncode == 9, cut.stderr[-2000:]
    assert build(imagery, tmp_path / "cut", "clip", "--epochs", "3").returncode == 0
    assert weights(tmp_path / "cut", "clip") == weights(tmp_path / "through", "clip")
