"""`bimors labels`."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from bimors_cli.cli.main import app
from bimors_cli.wordlists import read_wordlist, wordlist_names


def run(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["labels", *args])
    return result.exit_code, result.stdout, result.stderr


def test_list() -> None:
    code, out, err = run()
    assert code == 0 and not err and [line.split()[0] for line in out.splitlines()] == list(wordlist_names())
    facts = json.loads(run("--json")[1])
    assert {one["name"]: one["labels"] for one in facts}["corine:2"] == 15 and all(one["source"] for one in facts)


def test_one_list_is_a_labels_file() -> None:
    assert run("nlcd") == (0, read_wordlist("nlcd").as_csv(), "")
    assert json.loads(run("dynamic-world", "--json")[1])[0] == {"name": "Water", "color": "#419bdf"}


def test_an_unknown_list() -> None:
    code, out, err = run("nlcdd")
    assert code == 2 and not out and "did you mean nlcd?" in err
