"""`bimors models` from outside: what is shown, exit codes, and not one connection."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bimors_cli.bundle.catalog import entries
from bimors_cli.bundle.fetch_record import record_of
from bimors_cli.bundle.manifest import PARTS, Bundle, open_bundle
from bimors_cli.cli.main import app


def bimors(*args: object, cwd: Path | None = None) -> Result:
    with contextlib.chdir(cwd or Path.cwd()):
        return CliRunner().invoke(app, [*map(str, args)])


def models(*args: object, cwd: Path | None = None) -> Result:
    return bimors("models", *args, cwd=cwd)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIMORS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "bundles"


@pytest.fixture
def there(home: Path, tiny_bundle: Bundle) -> Path:
    return Path(shutil.copytree(tiny_bundle.folder, home / "tiny"))


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)


def test_list_names_all_that_there_is(there: Path) -> None:
    result = models("list")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 1 + 2 + len(entries()) + 1
    assert lines[1].startswith("mini") and " installed " in lines[1]
    assert lines[2].startswith("bands") and " installed " in lines[2] and "No network" in lines[2]
    assert lines[3].startswith("bimors-b16 ") and "16.8 GB" in lines[3] and "installed" not in lines[3]
    assert any(line.startswith("skyclip-b32") and "> 16.2 GB" in line for line in lines)
    assert lines[-1].startswith("tiny ") and " installed " in lines[-1]
    rows = {row["name"]: row for row in json.loads(models("list", "--json").stdout)}
    assert set(rows) == {"mini", "bands", "tiny", *(entry.name for entry in entries())}
    assert rows["georsclip-h14"] == {
        "name": "georsclip-h14",
        "description": "GeoRSCLIP ViT-H/14, the strongest of the list; BLIP-2 FLAN-T5 XL, BERT",
        "size": rows["georsclip-h14"]["size"],
        "size_is_known": True,
        "licence": "CC, MIT, Apache-2.0",
        "commercial": "ask",
        "memory": rows["georsclip-h14"]["memory"],
        "context_length": 77,
        "installed": False,
        "to_fetch": rows["georsclip-h14"]["size"],
    }


def test_list_and_show_take_80_columns(home: Path) -> None:
    for args in (("list",), *(("show", entry.name) for entry in entries()), ("recommend", "--gsd", "10m")):
        result = models(*args)
        assert result.exit_code == 0, result.stderr
        assert all(len(line) <= 80 or "https://" in line for line in result.stdout.splitlines()), args


def test_show_names_the_source_of_each_fact(home: Path) -> None:
    text = " ".join(models("show", "skyclip-b32").stdout.split())
    assert "commercial use ask" in text and "commercial, clip ask: MIT is the licence of its code" in text
    assert "pixels of training 0.1 to 30 m" in text and "EuroSAT 52.6 %" in text and "arxiv.org/abs/2409.00698" in text
    assert "memory about 18.1 GB on a CPU, 4 bytes a parameter" in text and "bands red, green, blue" in text
    assert "pixels of training not known" in " ".join(models("show", "georsclip-b32").stdout.split())
    bands = " ".join(models("show", "llama3-ms-clip").stdout.split())
    assert "swir2 (mean 1841.64, std 1365.08)" in bands and "pixels of training 10 m" in bands
    facts = json.loads(models("show", "llama3-ms-clip", "--json").stdout)
    assert facts["training"]["pixel_size_m"] == [10, 10] and facts["zero_shot"]["figures"]["EuroSAT"] == 67.9
    assert facts["commercial_use_of_parts"]["clip"]["answer"] == facts["commercial"] == "yes"
    assert facts["band_names"][:3] == ["blue", "green", "red"] and facts["bands"][0]["mean"] == 925.161


def test_a_combination_has_the_facts_of_its_parts(home: Path, tiny_bundle: Bundle) -> None:
    shutil.copytree(tiny_bundle.folder, home / "bimors-b16-opt+none")
    row = next(row for row in json.loads(models("list", "--json").stdout) if row["name"] == "bimors-b16-opt+none")
    assert (row["commercial"], row["installed"], row["to_fetch"]) == ("yes", True, 0)  # of CLIP alone
    facts = json.loads(models("show", "bimors-b16-opt+blip-base", "--json").stdout)
    assert facts["commercial"] == "yes" and facts["folder"] is None and set(facts["sources"]) == set(PARTS)
    assert json.loads(models("show", "bimors-b16-opt", "--json").stdout)["commercial"] == "no"
    assert models("show", "bimors-b16-opt+nothing").exit_code == 2


def test_list_without_any_fetched_bundle(home: Path) -> None:
    result = models("list", "-q")
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 3 + len(entries()) and result.stderr == ""
    assert not home.exists()  # looking makes no folders


def test_show(there: Path) -> None:
    result = models("show", "skyclip-l14")
    assert result.exit_code == 0 and "more than" in result.stdout and "70.5" in result.stdout
    facts = json.loads(models("show", "bimors-b16", "--json").stdout)
    assert "google-bert/bert-base-uncased at 86b5e0934494bd15c9632b12f734a8a67f723594" in facts["sources"].values()
    assert "captioner/config.json" in facts["settled_by_the_first_fetch"] and not facts["installed"]
    assert json.loads(models("show", "tiny", "--json").stdout)["folder"] == str(there)
    assert "words in training" in models("show", there).stdout
    unknown = models("show", "nothing")
    assert unknown.exit_code == 2 and "no bundle or folder" in unknown.stderr


def test_verify_names_the_file_and_why(there: Path) -> None:
    good = models("verify", "tiny")
    assert (good.exit_code, good.stdout) == (0, f"{there}\n") and "all verified" in good.stderr
    with (there / "clip" / "tokenizer.json").open("ab") as stream:
        stream.write(b" ")
    bad = models("verify", "tiny")
    assert bad.exit_code == 1 and bad.stdout == "" and "clip/tokenizer.json" in bad.stderr


def test_remove(there: Path) -> None:
    record_of(there).write_text("{}")
    assert models("remove", "tiny").exit_code == 0 and not there.exists() and record_of(there).exists()
    again = models("remove", "tiny")
    assert again.exit_code == 2 and "no such bundle" in again.stderr
    assert models("remove", "mini").exit_code == 2
    assert models("remove", "../tiny").exit_code == 1


def test_a_bundle_is_carried(there: Path, tmp_path: Path, tiny_bundle: Bundle) -> None:
    result = models("pack", "tiny", cwd=tmp_path)
    assert (result.exit_code, result.stdout) == (0, "tiny.bimors.zip\n"), result.stderr
    assert models("pack", "tiny", cwd=tmp_path).exit_code == 2  # it is there
    assert models("pack", "tiny", "--overwrite", cwd=tmp_path).exit_code == 0
    assert models("unpack", "tiny.bimors.zip", cwd=tmp_path).exit_code == 2  # it is there
    assert models("remove", "tiny").exit_code == 0
    result = models("unpack", "tiny.bimors.zip", cwd=tmp_path)
    assert (result.exit_code, result.stdout) == (0, f"{there}\n"), result.stderr
    assert models("unpack", "tiny.bimors.zip", "--overwrite", cwd=tmp_path).exit_code == 0
    result = models("unpack", "tiny.bimors.zip", "--to", "elsewhere", cwd=tmp_path)
    assert result.exit_code == 0 and open_bundle(tmp_path / "elsewhere").sha256 == tiny_bundle.sha256
    (tmp_path / "bad.zip").write_bytes(b"PK")
    bad = models("unpack", "bad.zip", cwd=tmp_path)
    assert bad.exit_code == 1 and "bad.zip: not a packed bundle" in bad.stderr


def test_fetch_refuses_what_it_does_not_know_and_offline(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = models("fetch", "nothing")
    assert unknown.exit_code == 2 and "models list" in unknown.stderr
    offline = models("fetch", "bimors-b16", "--offline")
    assert offline.exit_code == 2 and "--offline" in offline.stderr and "pack" in offline.stderr
    monkeypatch.setenv("BIMORS_OFFLINE", "1")
    assert models("fetch", "bimors-b16").exit_code == 2
    assert not home.exists()


def test_a_bundle_that_was_not_fetched_says_how(home: Path, tmp_path: Path, make_raster: Any) -> None:
    scene = make_raster(np.ones((3, 32, 32), np.uint8))
    (tmp_path / "labels.txt").write_text("forest\nriver\n")
    result = bimors("classify", scene, "-l", tmp_path / "labels.txt", "--model", "remoteclip-b32", cwd=tmp_path)
    assert result.exit_code == 2 and "hint: bimors models fetch remoteclip-b32" in result.stderr


@pytest.mark.usefixtures("no_sockets")
def test_nothing_but_fetch_makes_a_connection(there: Path, tmp_path: Path, make_raster: Any) -> None:
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 32, 64), dtype=np.uint8))
    (tmp_path / "labels.txt").write_text("forest\nriver\n")
    classify = ("classify", scene, "-l", "labels.txt", "--tile-size", 32, "--offline", "--model")
    for command in (
        ("models", "list"),
        ("models", "show", "bimors-b16"),
        ("models", "show", "tiny"),
        ("models", "verify", "tiny"),
        ("models", "pack", "tiny"),
        ("models", "remove", "tiny"),
        ("models", "unpack", "tiny.bimors.zip"),
        (*classify, "tiny", "-o", "name.gpkg"),
        (*classify, there, "-o", "folder.gpkg"),
    ):
        result = bimors(*command, cwd=tmp_path)
        assert result.exit_code == 0, (command, result.stderr)


def test_listing_imports_no_torch_and_no_hub() -> None:
    program = (
        "import sys; from typer.testing import CliRunner; from bimors_cli.cli.main import app;"
        "assert CliRunner().invoke(app, ['models', 'list']).exit_code == 0;"
        "assert CliRunner().invoke(app, ['models', 'show', 'bimors-b16']).exit_code == 0;"
        "heavy = {'torch', 'transformers', 'open_clip', 'huggingface_hub', 'jsonschema'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_recommend_for_a_scene_and_for_figures(make_raster: Any) -> None:
    import numpy as np

    scene = make_raster(np.zeros((4, 8, 8), np.uint8), name="scene.tif")
    result = models("recommend", str(scene), "--memory", "8GB")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("bimors finetune --model bands")
    same = models("recommend", "--gsd", "10m", "--bands", "naip", "--memory", "8GB", "--json")
    assert [one["command"] for one in json.loads(same.stdout)] == [
        line for line in result.stdout.splitlines() if not line.startswith(" ")
    ]
    for bands in ("s2", "10"):
        result = models("recommend", "--gsd", "10m", "--bands", bands, "--memory", "8GB")
        assert ("bimors models fetch llama3-ms-clip\n" in result.stdout) == (bands == "s2")  # names of bands are needed
    free = models("recommend", "--gsd", "30cm", "--commercial").stdout
    assert "farslip-b32" in free and "commercial use: ask" not in free
    nothing = models("recommend", "--gsd", "30cm", "--commercial", "--memory", "1GB").stderr
    assert "fits this memory and licence" in " ".join(nothing.split())
    assert (
        "no model of the catalog fits this memory" in models("recommend", "--gsd", "30cm", "--memory", "0.5GB").stderr
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "no pixel size is given"),
        (("--gsd", "10"), "--gsd 10: not a length"),
        (("--gsd", "0m"), "not a length"),
        (("--gsd", "10m", "--bands", "many"), "--bands many"),
        (("--gsd", "10m", "--memory", "8"), "--memory 8: not a size"),
    ],
)
def test_recommend_refuses_in_words(args: tuple[str, ...], message: str) -> None:
    result = models("recommend", *args)
    assert result.exit_code == 2 and message in result.stderr
