"""What addresses hold of secrets is in no message, log, journal or layer; and nothing asks a network by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from bimors_cli.redact import redact
from tests.conftest import MakeRaster
from tests.hardening.conftest import Bimors, Server
from tests.hardening.forks import Forks
from tests.scene.reading import rgb


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host/d/scene.tif?X-Amz-Signature=hush&X-Amz-Date=1", "https://host/d/scene.tif"),
        ("https://acc.blob.core.windows.net/c/a.tif?sv=2024&sig=hush%3D", "https://acc.blob.core.windows.net/c/a.tif"),
        ("/vsicurl/https://user:hush@host:8443/a.tif#hush", "/vsicurl/https://host:8443/a.tif"),
        ("http://hush@host/a.tif, and more", "http://host/a.tif, and more"),
        ("/vsizip/{/vsicurl/http://h/a.zip?sig=hush,hush}/b.tif", "/vsizip/{/vsicurl/http://h/a.zip}/b.tif"),
        ('NETCDF:"https://h/x.nc?token=hush":t', 'NETCDF:"https://h/x.nc":t'),
        ("/vsicurl?header.Authorization=hush&url=http%3A%2F%2Fh", "/vsicurl?..."),
        ("scene.tif?sig=hush: HTTP error code 403", "scene.tif HTTP error code 403"),
        ("PG:host=h password=hush dbname=d", "PG:host=h password=... dbname=d"),
        ("Authorization: Bearer hush", "Authorization: ..."),
        ("s3://bucket/a.tif?versionId=hush", "s3://bucket/a.tif"),
        ("a.tif", "a.tif"),
        ("odd?name.tif", "odd?name.tif"),
        ("C:\\d\\a.tif: is it there? no", "C:\\d\\a.tif: is it there? no"),
        ("label 'sign' is already used (labels.txt, line 3)", "label 'sign' is already used (labels.txt, line 3)"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    ("rule", "verbose"), [("token", "-vv"), ("fail-9999-503", "-vv"), ("good", "-vv"), ("good", "-q")]
)
def test_no_run_tells_what_the_address_holds(
    make_raster: MakeRaster,
    server: Server,
    tiny_bundle: Bundle,
    tmp_path: Path,
    forks: Forks,
    verbose: str,
    rule: str,
) -> None:
    """In a process of its own, since a library may write past Python's streams; stdout, stderr and every file."""
    make_raster(rgb(96, 96), tiled=True, blockxsize=64, blockysize=64)
    labels = tmp_path / "labels.txt"
    labels.write_text("forest\nriver\n")
    name = "none.tif" if rule == "good" else "scene.tif"
    url = server.url(rule, name).replace("127.0.0.1", "hush-user:hush-word@127.0.0.1") + "?sig=hush-sig&x=1"
    if rule == "token":
        url = url.replace("sig=hush-sig&x=1", "sig=hush")  # the right one: this run succeeds
    out = tmp_path / "out"
    out.mkdir()
    command = [
        "classify",
        url,
        "-l",
        labels,
        "--model",
        tiny_bundle.folder,
        "--tile-size",
        64,
        "-o",
        out / "a.gpkg",
        verbose,
    ]
    gdal = {name: value for name, value in os.environ.items() if name.startswith("GDAL_") or name == "no_proxy"}
    run = forks.start(command, tmp_path, env=gdal | {"BIMORS_CACHE": str(out / "cache")})
    done = run.wait(traceback=verbose == "-vv")
    assert done.code == {"token": 0, "fail-9999-503": 3, "good": 2}[rule], done.stderr
    assert "hush" not in done.stdout + done.stderr
    for file in out.rglob("*"):
        assert not file.is_file() or b"hush" not in file.read_bytes(), file


def test_an_unforeseen_error_is_told_without_secrets(
    make_raster: MakeRaster, bimors: Bimors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no luck with https://u:hush@h/a.tif?sig=hush")

    monkeypatch.setattr("bimors_cli.scene.raster.open_dataset", fail)
    for verbose in ("-v", "-vv"):
        result = CliRunner().invoke(app, ["info", make_raster(rgb(8, 8)), verbose])
        assert result.exit_code == 1 and "no luck with https://h/a.tif" in result.stderr and "hush" not in result.stderr


NO_NETWORK = """
import socket, sys
def refuse(*args, **kw):
    if isinstance(args[1], tuple): raise AssertionError(f"a connection to {args[1]}")
    return real(*args, **kw)
real = socket.socket.connect
socket.socket.connect = refuse
socket.socket.connect_ex = refuse
def lookup(*args, **kw): raise AssertionError(f"a look-up of {args}")
socket.getaddrinfo = lookup
from bimors_cli.cli.main import main
main()
"""


@pytest.mark.parametrize("command", ["classify", "info", "models"])
def test_nothing_asks_a_network(make_raster: MakeRaster, tiny_bundle: Bundle, tmp_path: Path, command: str) -> None:
    """Sockets refused in Python, and for what is written in C, every server behind a proxy that is not there."""
    scene = make_raster(rgb(64, 64))
    (tmp_path / "labels.txt").write_text("forest\nriver\n")
    arguments = {
        "classify": ["classify", scene, "-l", "labels.txt", "--model", str(tiny_bundle.folder), "-o", "a.gpkg"],
        "info": ["info", scene],
        "models": ["models", "list"],
    }[command]
    nowhere = dict.fromkeys(
        ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "GDAL_HTTP_PROXY"), "http://127.0.0.1:9"
    )
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, **nowhere},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
