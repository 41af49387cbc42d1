"""Tests that `make test` leaves to `make test-all`: those that were measured to take long, named in long.txt.

A list and not marks in the files, because it is measured, and written anew as a whole:

    pytest -n 2 -m "not slow and not gpu and not serial" --write-long 1.0

runs the tests on a quiet machine and lists those that take longer than a second, fixtures included. A line is a file, a
test, or a test with its parameters. `CORE` is what `make test` runs however long it takes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

LIST = Path(__file__).with_name("long.txt")
# From labels and a scene to a layer, from examples to an adapter and to figures.
CORE = (
    "tests/cli/test_finetune.py::test_classify_correct_finetune_classify",
    "tests/evaluation/test_evaluate.py::test_all_heads_are_compared_and_everything_is_written",
    "tests/hardening/test_shards.py::test_a_shard_killed_and_resumed",
    "tests/pipeline/test_classify.py",
    "tests/weights/test_mini.py::test_it_has_learned",
)


def names(nodeid: str) -> tuple[str, str, str]:
    """Return the names under which a test can be listed: its file, its function, itself."""
    function = nodeid.partition("[")[0]
    return nodeid.partition("::")[0], function, nodeid


def read_list() -> set[str]:
    """Return the lines of the list."""
    return set(LIST.read_text(encoding="utf-8").splitlines())


def choose(seconds: Mapping[str, float], limit: float, core: Iterable[str] = CORE) -> list[str]:
    """Return the lines for tests that take longer than a limit: a file or function where each of its tests does."""
    kept = set(core)
    long = {test for test, taken in seconds.items() if taken > limit and kept.isdisjoint(names(test))}
    lines = set()
    members = defaultdict(set)
    for test in seconds:
        for name in names(test):
            members[name].add(test)
    for test in long:
        lines.add(next(name for name in names(test) if members[name] <= long))
    return sorted(lines)


class Stopwatch:
    """Adds up what each test takes, its fixtures included, and writes the list when all have run."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the time of a setup, call or teardown."""
        self._seconds[report.nodeid] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the list, and say what it leaves."""
        lines = choose(self._seconds, self._limit)
        LIST.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        left = [taken for test, taken in self._seconds.items() if set(lines).isdisjoint(names(test))]
        terminalreporter.write_line(
            f"{LIST.name}: {len(self._seconds) - len(left)} of {len(self._seconds)} tests; "
            f"the others take {sum(left):.0f} of {sum(self._seconds.values()):.0f} s"
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option that measures."""
    parser.addoption("--write-long", type=float, metavar="S", help="list tests over S seconds in tests/long.txt")


def pytest_configure(config: pytest.Config) -> None:
    """Measure, where that is asked for: in the process that hears of all tests."""
    limit = config.getoption("--write-long")
    if limit is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Stopwatch(limit))


# Before pytest chooses by marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the list."""
    listed = read_list()
    for item in items:
        if not listed.isdisjoint(names(item.nodeid)):
            item.add_marker(pytest.mark.long)
