"""The list of tests that `make test` leaves out: how it is chosen, and that it names tests that exist."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from tests.long import CORE, choose, names, read_list

ROOT = Path(__file__).resolve().parents[1]
SECONDS = {
    "tests/a.py::test_one": 3.0,
    "tests/a.py::test_two": 0.1,
    "tests/b.py::test_case[1]": 2.0,
    "tests/b.py::test_case[2]": 2.0,
    "tests/b.py::test_other[x]": 0.1,
    "tests/b.py::test_other[a::b[c]]": 2.0,
    "tests/c.py::test_one": 5.0,
    "tests/c.py::test_two[1]": 5.0,
}


def test_a_line_is_a_file_a_function_or_a_case_of_which_every_test_is_long() -> None:
    lines = choose(SECONDS, 1.0, core=())
    assert lines == ["tests/a.py::test_one", "tests/b.py::test_case", "tests/b.py::test_other[a::b[c]]", "tests/c.py"]
    listed = {test for test in SECONDS if not set(lines).isdisjoint(names(test))}
    assert listed == {test for test, taken in SECONDS.items() if taken > 1.0}
    assert choose(SECONDS, 5.0, core=()) == []


def test_core_paths_are_never_listed() -> None:
    lines = choose(SECONDS, 1.0, core=("tests/c.py::test_two", "tests/b.py"))
    assert lines == ["tests/a.py::test_one", "tests/c.py::test_one"]


@cache
def functions(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}


def test_the_list_and_the_core_name_tests_that_exist() -> None:
    for line in (*read_list(), *CORE):
        file, function, _ = names(line)
        assert functions(file) and ("::" not in function or function.rpartition("::")[2] in functions(file)), line


def test_no_core_path_is_listed() -> None:
    listed = read_list()
    assert not [one for one in CORE if not listed.isdisjoint(names(one))]
    assert not [line for line in listed if not set(CORE).isdisjoint(names(line))]
